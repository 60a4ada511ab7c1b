"""PGD in L0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.oracle import Access
from ...core.problem import Problem
from ..parts.options import at_least, positive
from ..parts.query import query


@dataclass(frozen=True, kw_only=True)
class PGD0:
    """Gradient steps over all features, each followed by the projection that keeps the `eps` changes that matter most.

    Croce and Hein, ICCV 2019, arXiv:1909.05040, section 4.1: the step is the gradient scaled to L1 length `step_size`, with a little noise
    added, so that features which are zeroed by the projection can come back. Deviations: the step is in shares of the input range times
    the number of features changed, and shrinks linearly to a tenth; a won sample leaves; the best point is returned. A pixel's channels
    are features of their own, as everywhere under l0.

    Cost: at most 1 forward and 1 backward a step, and 1 forward. Norm: L0.
    """

    steps: int = 100
    step_size: float = 1.0  # of radius x input range
    loss: str = "margin"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce 2019, arXiv:1909.05040"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("pgd0", "l0")
        point = ball.random(problem.streams) if problem.starts is None else ball.project(problem.starts)
        best, rows = Incumbent.at(ball.x), torch.arange(len(point), device=point.device)
        shape = point.shape[1:]
        for step in range(self.steps):
            margin, _, grad = query(problem, point, self.loss)
            best.offer(point, margin, rows)
            left = (margin <= 0).nonzero().squeeze(1)
            if len(left) < len(rows):
                rows, problem, ball, point, grad = (
                    rows[left],
                    problem.select(left),
                    ball.select(left),
                    point[left],
                    grad[left],
                )
            if not len(rows):
                return best.point
            wide = ball.upper - ball.lower
            total = (grad.abs() * (wide > 0)).flatten(1).sum(1).clamp_min(torch.finfo(grad.dtype).tiny)
            length = self.step_size * ball.radius * (1 - 0.9 * step / self.steps) / total
            noise = (problem.streams.uniform(tuple(shape)).to(point.dtype) - 0.5) * wide * 2e-3
            point = ball.project(point + (length.view(-1, *(1,) * len(shape)) * grad) * wide + noise)
        best.offer(point, problem.goal.margin(problem.oracle(point)), rows)
        return best.point
