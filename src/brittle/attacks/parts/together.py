"""Many questions about each sample at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.problem import Problem

TOGETHER = 512  # rows sent to the victim at a time


def outputs_together(problem: Problem, points: Tensor) -> Tensor:
    """The victim's outputs (B, M, C) at M points of each sample (B, M, *S), inputs as those of a ball are. M forwards each."""
    count, many = points.shape[:2]
    if problem.record is not None:  # under a budget somebody keeps account of each single question
        return torch.stack([problem.oracle(points[:, place]) for place in range(many)], dim=1)
    owner = torch.arange(count, device=points.device).repeat_interleave(many)
    parts = zip(torch.split(owner, TOGETHER), torch.split(points.flatten(0, 1), TOGETHER), strict=True)
    outputs = torch.cat([problem.door.select(rows)(problem.region.made(rows, part)) for rows, part in parts])
    return outputs.view(count, many, outputs.shape[1])
