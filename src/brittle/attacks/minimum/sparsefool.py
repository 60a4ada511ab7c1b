"""SparseFool: flatten the boundary, and move the fewest features onto it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.norms import L0, L1, L2
from ...core.problem import Problem
from ..parts.hunt import finite
from ..parts.linearise import crossing, inner, nearest_plane
from ..parts.options import at_least
from ..parts.query import query
from ..parts.walk import Walk

OVERSHOOT = 0.02


@dataclass(frozen=True, kw_only=True)
class SparseFool:
    """Repeat: find the boundary in L2 as DeepFool does, and reach its tangent plane with the steepest features, each to its limit.

    Modas et al., SparseFool: a few pixels make a big difference, CVPR 2019, arXiv:1811.02248, algorithms 1 and 2. The plane is moved
    `reach` (the paper's lambda) times as far away as the boundary; algorithm 1, which moves one feature after the other to the end of its
    room, is the smallest move onto a plane in L1 (`kernels/planes.py`).

    Deviations: the inner DeepFool stays in the box, with the step of `deepfool`; `search` forwards at the end make what won smaller, in L0
    by bisecting how many of the most useful features it takes: with a long reach they are more than that.
    Cost: at most `inner` times 2 forwards and 1 + `candidates` backwards a step and 1 forward, and 1 + `search` forwards. Norms: l1, l0.
    """

    steps: int = 20
    reach: float = 3.0  # paper: lambda; larger is surer and less sparse
    inner: int = 50  # steps of DeepFool
    candidates: int = 9  # classes DeepFool looks at, the likeliest first
    search: int = 6  # forwards of the last search; the paper has none

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Modas et al. 2019, arXiv:1811.02248"

    def __post_init__(self) -> None:
        at_least(self, steps=1, inner=1, candidates=1, search=0)
        at_least(self, reach=1, why="stops short of the boundary")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        walk = Walk.begin(problem, "sparsefool", "l1", "l0")
        plane, use = L1.plane, torch.zeros_like(problem.x)  # of each feature, in what won
        assert plane is not None
        for _ in range(self.steps):
            if not len(walk):
                break
            here, region = walk.point, walk.region
            there, normal = self._boundary(walk.problem, here)
            away = inner(normal, there - here)
            gap = self.reach * away.clamp_min(0) + 1e-6 * away.abs()
            low, high = (region.lower - here).flatten(1), (region.upper - here).flatten(1)
            walk.point = torch.clamp(
                here + plane(normal.flatten(1), gap, low, high).view_as(here), region.lower, region.upper
            )
            asked = torch.lerp(region.x, walk.point, 1 + OVERSHOOT)
            torch.clamp(asked, region.lower, region.upper, out=asked)
            use[walk.rows] = normal * (asked - region.x)
            walk.leave(asked, walk.problem.goal.margin(walk.problem.oracle(asked)))
        if problem.ball("sparsefool").norm is not L0:
            return walk.finish(self.search)
        return _fewest(problem, walk.answer, walk.margin, use, self.search)

    def _boundary(self, problem: Problem, point: Tensor) -> tuple[Tensor, Tensor]:
        """Where DeepFool crosses the boundary in L2 (B, *S), and the gradient of the margin there."""
        there, normal = point.clone(), torch.zeros_like(point)
        rows = torch.arange(len(point), device=point.device)
        for _ in range(self.inner):
            region, here = problem.ball("sparsefool"), there[rows]
            seen, value, slope = nearest_plane(problem, here, L2, self.candidates)
            euclidean = region.only((region.lower < region.upper).expand_as(here), L2)
            here = crossing(euclidean, here, seen, value, finite(slope, region.free), OVERSHOOT)
            answer = query(problem, here, "margin")
            there[rows], normal[rows] = here, finite(answer.grad, region.free)
            stay = (~(answer.margin > 0)).nonzero().squeeze(1)
            if not len(stay):
                break
            problem, rows = problem.select(stay), rows[stay]
        return there, normal


def _fewest(problem: Problem, point: Tensor, margin: Tensor, use: Tensor, rounds: int) -> Tensor:
    """The winning points (B, *S) with only as many of their changes, the most useful first, as a bisection finds to win."""
    rows = (margin > 0).nonzero().squeeze(1)
    problem, best, low = problem.select(rows), point[rows], torch.zeros_like(margin[rows])
    changed = best != problem.x
    high = changed.flatten(1).sum(1).to(low.dtype)
    rank = (
        torch.where(changed, use[rows], -torch.inf)
        .flatten(1)
        .argsort(dim=1, descending=True, stable=True)
        .argsort(dim=1)
    )
    for _ in range(rounds if len(rows) else 0):
        middle = ((low + high) / 2).floor()
        fewer = torch.where((rank < middle[:, None]).view_as(best), best, problem.x)
        won = problem.goal.margin(problem.oracle(fewer)) > 0
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    kept = torch.where((rank < high[:, None]).view_as(best), best, problem.x)
    point = point.clone()
    point[rows] = kept
    return point
