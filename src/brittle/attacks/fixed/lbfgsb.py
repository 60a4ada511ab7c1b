"""L-BFGS-B: a quasi-Newton method on the loss inside the Linf ball, which is a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import Problem
from ...kernels.lbfgs import minimise
from ...kernels.shapes import wide
from ..parts.options import at_least
from ..parts.query import query


@dataclass(frozen=True, kw_only=True)
class LBFGSB:
    """From x, the highest loss in the Linf ball cut by the input box, by L-BFGS with bounds; keeping the best point, leaving where won.

    Sabour et al., Adversarial manipulation of deep representations, ICLR 2016, arXiv:1511.05122, section 2, equations 1 and 2, where the
    loss is minus the squared distance to a guide's features (`brittle.mimic`); it takes any goal and loss. Deviations: the solver is
    batched, its unit is what the gradient at x promises over the ball, and with a goal to reach a sample stops there.
    A quasi-Newton method amplifies rounding: where a network of kinks rounds otherwise in another batch, a long run may end
    elsewhere, as near in the mean; `apgd` does not.
    Cost: a forward and a backward for each point that the solver asks about, line searches included, and for the first. Norm: linf.
    """

    steps: int = 100  # points that the solver may ask about
    memory: int = 8  # pairs of the history
    loss: str = "margin"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Sabour et al. 2016, arXiv:1511.05122"

    def __post_init__(self) -> None:
        at_least(self, steps=1, memory=1)
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("lbfgsb", "linf")
        start = region.origin.clone() if problem.starts is None else region.project(problem.starts)
        first = query(problem, start, self.loss)
        best, everyone = Incumbent.at(region.origin), torch.arange(len(start), device=start.device)
        best.offer(start, first.margin)
        low, high = (limit.expand_as(start) for limit in region.limits)
        room = torch.where(first.grad > 0, high - start, start - low)  # along the gradient
        promised = (first.grad.abs() * room).flatten(1).sum(1)
        unit = torch.where(promised > 0, promised, 1)
        steepest = first.grad.abs().flatten(1).amax(1) / unit
        curved = region.radius / torch.where(steepest > 0, steepest, 1)

        def ask(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            """Minus the loss in its unit, and the slope of that; flat and bottomless where won, so that the solver ends there."""
            here = problem if len(rows) == len(everyone) else problem.select(rows)
            point = points.view(-1, *start.shape[1:])
            margin, loss, grad = query(here, point, self.loss)
            best.offer(point, margin, rows)
            won, scale = margin > 0, unit[rows]
            slope = grad.mul_(wide(torch.where(won, 0, -1 / scale), grad))
            return torch.where(won, -torch.inf, -loss / scale), slope.flatten(1)

        minimise(ask, start.flatten(1), low.flatten(1), high.flatten(1), curved, self.steps, self.memory)
        return best.point
