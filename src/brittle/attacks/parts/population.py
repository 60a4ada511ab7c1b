"""Populations: several candidates of each sample asked about at once, of which the best is kept, and who is won leaves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from .together import outputs_together


def asked_together(problem: Problem, points: Tensor, loss: str, best: Incumbent, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The loss (B, M) at M candidates of each sample (B, M, *S), and whether one of them wins (B,) bool; M forwards.

    The candidate of the highest margin is offered to `best`, where these samples are known as `rows`. Minus infinity where the victim
    answers NaN. The loss `margin` is the goal's own, with its confidence.
    """
    count, many = points.shape[:2]
    each = torch.arange(count, device=points.device)
    goal = problem.classes.select(each.repeat_interleave(many))
    outputs = outputs_together(problem, points).flatten(0, 1)
    margin = height = goal.margin(outputs).nan_to_num_(nan=-math.inf).view(count, many)
    if loss != "margin" or goal.towards is not None:
        height = find_loss(loss)(outputs, goal).nan_to_num(nan=-math.inf).view(count, many)
    top, place = margin.max(1)
    best.offer(points[each, place], top, rows)
    return height, top > 0


def projected(ball: NormBall, points: Tensor) -> Tensor:
    """M points of each sample (B, M, *S), each projected onto the sample's ball; they may be overwritten."""
    if ball.norm.nearest is None:
        low, high = ball.limits
        return torch.clamp(points, low[:, None], high[:, None], out=points)
    owner = torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1])
    return ball.select(owner).project(points.flatten(0, 1)).view(points.shape)
