"""PGD whose step is Adam's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss, find_slope
from ...core.problem import Problem
from ...kernels.adam import Adam
from ...kernels.shapes import wide
from ...kernels.sizes import linf
from ..parts.ascent import Ascent
from ..parts.options import at_least, positive


@dataclass(frozen=True, kw_only=True)
class AdamPGD:
    """From a random start, steps along the mean gradient over the root of its mean square, feature by feature; project back.

    Uesato et al., ICML 2018, arXiv:1802.05666, who attack with projected gradient descent by Adam (Kingma and Ba, ICLR 2015,
    arXiv:1412.6980, algorithm 1). A feature whose gradient keeps its sign moves by the step, one whose gradient changes sign by less.
    Deviations: gradients are measured against the sample's first one, so that Adam's constant means the
    same for any loss; a won sample leaves; the best point is returned. Linf, whose steepest step is that of every feature by itself.

    Cost: at most 1 forward and 1 backward a step, and 1 forward. Norm: Linf.
    """

    steps: int = 40
    step_size: float | None = None  # input units; None: a quarter of the radius, but no less than crosses the ball
    loss: str = "margin"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Uesato 2018, arXiv:1802.05666"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, slope = problem.ball("adam_pgd", "linf"), find_slope(self.loss)
        walk = Ascent(
            problem, ball.random(problem.streams) if problem.starts is None else ball.project(problem.starts).clone()
        )
        adam, unit = Adam.like(walk.point), torch.ones_like(ball.radius)
        share = max(0.25, 2.5 / self.steps)
        for step in range(self.steps):
            outputs = walk.ask()
            grad = walk.gradient(slope(outputs, walk.problem.goal))
            if step == 0:
                unit = linf(grad)
                unit = torch.where(unit > 0, 1 / unit, 1)
            stay = walk.leave()
            if stay is not None:
                grad, unit, adam = grad[stay], unit[stay], adam.select(stay)
            if not len(walk):
                break
            adam.see(grad.mul_(wide(unit, grad)))
            length = walk.region.radius * share if self.step_size is None else self.step_size
            walk.point = walk.region.project(adam.descend_(walk.point, -length))
        return walk.finish()
