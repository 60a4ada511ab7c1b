"""The judge: what an attack's answer is worth, measured again by other code, in full precision, and uncharged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import check_finite
from .goal import Goal
from .problem import Region
from .victim import Victim


@dataclass(frozen=True, eq=False)
class Verdict:
    """Per sample (B,): `success` needs both the goal and feasibility."""

    success: Tensor
    feasible: Tensor
    size: Tensor
    margin: Tensor
    predicted: Tensor
    confidence: Tensor  # softmax probability of the predicted class


@torch.no_grad()
def judge(victim: Victim, region: Region, goal: Goal, point: Tensor) -> Verdict:
    """Measure a point (B, *P) of the region. Infeasible or non-finite points never count as a success."""
    outputs = victim(region.render(point))
    check_finite(outputs, "adversarial inputs")
    outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    confidence, predicted = outputs.softmax(1).max(1)
    margin = goal.margin(outputs)
    feasible = region.contains(point)
    return Verdict((margin > 0) & feasible, feasible, region.size(point), margin, predicted, confidence)
