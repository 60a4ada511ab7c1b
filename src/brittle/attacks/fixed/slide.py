"""Sparse L1 descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss, find_slope
from ...core.problem import Problem
from ..parts.ascent import Ascent
from ..parts.climb import kept
from ..parts.options import at_least, between, positive


@dataclass(frozen=True, kw_only=True)
class SLIDE:
    """PGD in L1 whose step is shared equally among the features of largest gradient.

    Tramer and Boneh, NeurIPS 2019, arXiv:1904.13000, section 4 and algorithm 1 (sparse L1 descent): the `share` of features with the
    largest |gradient| move by the sign of it, and together by the step. Deviations: the projection is the exact one onto ball and box
    together; a feature at its limit, which could not move, is passed over; a won sample leaves; the best point is returned.

    Cost: at most 1 forward and 1 backward a step, and 1 forward. Norm: L1.
    """

    steps: int = 100
    step_size: float | None = None  # input units; None: 2.5 radii / steps
    share: float = 0.01
    loss: str = "cross_entropy"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Tramer 2019, arXiv:1904.13000"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size")
        between(self, 0, 1, "share", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, slope = problem.ball("slide", "l1"), find_slope(self.loss)
        walk = Ascent(problem, ball.random(problem.streams) if problem.starts is None else ball.project(problem.starts))
        count = max(1, round(self.share * ball.x[:1].numel()))
        for _ in range(self.steps):
            outputs = walk.ask()
            grad = walk.gradient(slope(outputs, walk.problem.goal))
            (grad,) = kept(walk.leave(), grad)
            if not len(walk):
                break
            ball, point = walk.problem.ball("slide"), walk.point
            length = 2.5 * ball.radius / self.steps
            if self.step_size is not None:
                length = torch.full_like(length, self.step_size)
            room = torch.where(grad > 0, ball.upper - point, point - ball.lower) > 0
            strength = (grad.abs() * room).flatten(1)
            strongest = strength.topk(count, dim=1)
            chosen = strongest.values > 0
            each = length[:, None] / chosen.sum(1, keepdim=True).clamp_min(1)
            move = torch.zeros_like(strength).scatter_(1, strongest.indices, each * chosen)
            walk.point = ball.project(point + grad.sign() * move.view_as(point))
        return walk.finish()
