"""PGD in L0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss, find_slope
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.ascent import Ascent
from ..parts.climb import kept
from ..parts.options import at_least, positive


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
        ball, slope = problem.ball("pgd0", "l0"), find_slope(self.loss)
        walk = Ascent(problem, ball.random(problem.streams) if problem.starts is None else ball.project(problem.starts))
        for step in range(self.steps):
            outputs = walk.ask()
            grad = walk.gradient(slope(outputs, walk.problem.goal))
            (grad,) = kept(walk.leave(), grad)
            if not len(walk):
                break
            ball = walk.problem.ball("pgd0")
            span = ball.upper - ball.lower
            total = (grad.abs() * (span > 0)).flatten(1).sum(1).clamp_min(torch.finfo(grad.dtype).tiny)
            length = self.step_size * ball.radius * (1 - 0.9 * step / self.steps) / total
            noise = (walk.problem.streams.uniform(tuple(grad.shape[1:])).to(grad.dtype) - 0.5) * span * 2e-3
            walk.point = ball.project(walk.point + wide(length, grad) * grad * span + noise)
        return walk.finish()
