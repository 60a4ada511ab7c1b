"""DDN: decoupled direction and norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ...errors import InputError
from ...kernels.shapes import wide
from ..parts.options import at_least, between, positive
from ..parts.query import query
from ..parts.shrink import shrunk


@dataclass(frozen=True, kw_only=True)
class DDN:
    """Step along the gradient for the direction; shrink the length by a factor where the point wins, lengthen it where not.

    Rony et al., CVPR 2019, arXiv:1811.09600, algorithm 1: delta_k = delta_{k-1} + alpha g / ||g||, rescaled to the length eps_k =
    (1 -+ gamma) eps_{k-1}, alpha from `step_size` to a hundredth of it along a cosine. Lengths are in units of the input range, which is
    [0, 1] in the paper. `levels`: round to that many values a feature, as their released images are (256), 0 for none.

    Deviations: no rounding unless asked for; the best point is pulled in along its way at the end (`search` forwards); gamma falls with
    the step, so that the length settles instead of jumping by 5 % to the end; a sample that is won untouched is asked once; where the
    gradient is zero, the direction is random.
    Cost: 1 forward and 1 backward a step, and 1 + `search` forwards. Norm: l2.
    """

    steps: int = 500
    step_size: float = 1.0  # paper: alpha
    start: float = 1.0  # paper: eps_0
    gamma: float = 0.05
    loss: str = "cross_entropy"
    levels: int = 0
    search: int = 3

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Rony 2019, arXiv:1811.09600"

    def __post_init__(self) -> None:
        at_least(self, steps=1, search=0)
        positive(self, "step_size", "start")
        between(self, 0, 1, "gamma")
        if self.levels == 1 or self.levels < 0:
            raise InputError(f"levels={self.levels} leaves no image; give 2 or more, such as 256, or 0 for none")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("ddn", "l2")
        answer = region.origin.clone()
        clean = problem.goal.margin(problem.oracle(answer))
        rows = (~(clean > 0)).nonzero().squeeze(1)
        if not len(rows):
            return answer
        problem, clean = problem.select(rows), clean[rows]
        best, margin = Incumbent.at(answer[rows]), torch.full_like(clean, -torch.inf)
        self._walk(problem, best, margin)
        answer[rows] = shrunk(problem, best.point, margin, clean, 0 if self.levels else self.search)
        return answer

    def _walk(self, problem: Problem, best: Incumbent, margin: Tensor) -> None:
        """Offers every winning point to `best`, and writes the margin of what is kept into `margin` (B,)."""
        region = problem.ball("ddn")
        x, size = region.x, region.norm.size
        unit = (region.upper - region.lower).flatten(1).amax(1).expand(len(x))
        point = x.clone() if problem.starts is None else problem.starts.clamp(region.lower, region.upper)
        length = unit * self.start if problem.starts is None else size(point - x)
        for step in range(self.steps):
            point = self._rounded(point, region.lower, region.upper)
            here, _, grad = query(problem, point, self.loss)
            delta = point - x
            won, before = here > 0, best.score
            best.offer_smaller(point, size(delta), won)
            margin.copy_(torch.where(best.score > before, here, margin))
            share = (1 + math.cos(math.pi * step / self.steps)) / 2
            gamma = self.gamma * (0.02 + 0.98 * share)
            length = length * torch.where(won, 1 - gamma, 1 + gamma)
            if region.free is not None:
                grad = grad * region.free
            slope = size(grad)
            if not bool(slope.all()):
                grad = _alive(problem, grad, slope)
                slope = size(grad)
            stride = unit * (self.step_size * (0.01 + 0.99 * share))
            delta.addcmul_(grad, wide(stride / slope.clamp_min_(1e-30), x))
            point = torch.addcmul(x, delta, wide(length / size(delta).clamp_min_(1e-30), x), out=delta)
            torch.clamp(point, region.lower, region.upper, out=point)

    def _rounded(self, point: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        if not self.levels:
            return point
        scale = (upper - lower).clamp_min(torch.finfo(point.dtype).tiny) / (self.levels - 1)
        return torch.clamp(lower + torch.round((point - lower) / scale) * scale, lower, upper)


def _alive(problem: Problem, grad: Tensor, slope: Tensor) -> Tensor:
    """A random direction where the gradient's size (B,) is zero; the same numbers whoever is beside it."""
    random = problem.streams.fork(0).normal(tuple(grad.shape[1:])).to(grad.dtype)
    return torch.where(wide(slope == 0, grad), random, grad)
