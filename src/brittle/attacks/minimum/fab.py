"""FAB: from projection to projection onto the linearised decision boundary, never far from the nearest point of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.linearise import inner, move_onto, nearest_plane
from ..parts.options import at_least, between
from ..parts.shrink import shrunk


@dataclass(frozen=True, kw_only=True)
class FAB:
    """Move to where the nearest linearised boundary, the box and the norm say, biased towards the clean input; step back where won.

    Croce and Hein, ICML 2020, arXiv:1907.02044, algorithm 1: equations 7 (the plane), 8 (biased step) and 9 (backward step), and the final
    search of section 3.3. Norms: linf, l2, l1. A goal that names a class is taken as FAB-T: that class's boundary alone.

    Deviations: the plane is that of the point asked last, where won not asked again after the step back, which spares a forward a step
    and is no weaker; the step back grows shorter with the steps (paper: 0.9 throughout), which looks further first and ends nearer:
    smaller by 1 to 4 % on most networks; the likeliest `candidates` classes are looked at rather than all, one after the other.
    Cost: a run 1 forward and `candidates` backwards a step, and 1 forward; besides 1 forward before and `search` after.
    """

    steps: int = 100
    restarts: int = 1  # the first run begins at x (or the problem's starts), the others at random around it
    candidates: int = 9  # other classes whose boundary is looked at, the likeliest first
    bias: float = 0.1  # paper: alpha_max
    overshoot: float = 0.05  # paper: eta - 1
    back_first: float = 0.7  # paper: beta, the part of the perturbation that is kept after a win, in the first step
    back_last: float = 0.98  # and in the last
    search: int = 3  # forwards of the final search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Croce 2020, arXiv:1907.02044"

    def __post_init__(self) -> None:
        at_least(self, steps=1, restarts=1, candidates=1, search=0)
        between(self, 0, 1, "bias", "back_first", "back_last", ends="[]")
        at_least(self, overshoot=0, why="stops short of the boundary")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("fab", "linf", "l2", "l1")
        answer = region.origin.clone()
        clean = problem.goal.margin(problem.oracle(answer))
        rows = (clean <= 0).nonzero().squeeze(1)
        if not len(rows):
            return answer
        problem = problem.select(rows)
        best, margin = Incumbent.at(answer[rows]), torch.full_like(clean[rows], -torch.inf)
        for run in range(self.restarts):
            self._run(problem, self._start(problem, run, best.size), best, margin)
        answer[rows] = shrunk(problem, best.point, margin, clean[rows], self.search)
        return answer

    def _start(self, problem: Problem, run: int, size: Tensor) -> Tensor:
        """x, then random points at up to half the distance of the best one (section 3.3)."""
        region = problem.ball("fab")
        if run == 0:
            return region.origin if problem.starts is None else torch.clamp(problem.starts, region.lower, region.upper)
        radius = torch.minimum(size.to(region.radius.dtype), region.radius) / 2
        diameter = (region.upper - region.lower).amax() * region.norm.rounding(region.x[0].numel())
        return region.within(radius.minimum(diameter)).random(problem.streams)

    def _run(self, problem: Problem, point: Tensor, best: Incumbent, margin: Tensor) -> None:
        """Offers every winning point to `best`, and writes the margin of what is kept into `margin` (B,)."""
        region, goal = problem.ball("fab"), problem.goal
        x, norm = region.x, region.norm

        def seen(outputs: Tensor) -> Tensor:
            here, before = goal.margin(outputs), best.score
            best.offer_smaller(point, norm.size(point - x), here > 0)
            margin.copy_(torch.where(best.score > before, here, margin))
            return here > 0

        for step in range(self.steps):
            outputs, value, normal = nearest_plane(problem, point, norm, self.candidates)
            won = seen(outputs)
            back = self.back_first + (self.back_last - self.back_first) * step / self.steps
            value = value - inner(normal, point)  # the plane is value + <normal, .> = 0
            point = torch.lerp(x, point, wide(torch.where(won, back, 1.0).to(x.dtype), x))
            onto, direct = (move_onto(region, at, normal, -value - inner(normal, at)) for at in (point, x))
            far, direct_far = norm.size(onto), norm.size(direct)
            weight = wide((far / (far + direct_far).clamp_min(1e-30)).clamp_max(self.bias), x)
            onto.mul_(1 + self.overshoot).add_(point)
            direct.mul_(1 + self.overshoot).add_(x)
            point = torch.clamp(onto.lerp_(direct, weight), region.lower, region.upper, out=onto)
        seen(problem.oracle(point))
