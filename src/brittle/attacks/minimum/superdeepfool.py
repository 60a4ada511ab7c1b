"""SuperDeepFool: DeepFool, and from the boundary point that it finds, back onto the line from the input along the boundary's normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ..parts.linearise import crossing, inner, move_onto, nearest_plane
from ..parts.options import at_least
from ..parts.shrink import shrunk


@dataclass(frozen=True, kw_only=True)
class SuperDeepFool:
    """Alternate: DeepFool until the boundary is crossed, then project x onto the boundary as it lies there; until that point wins.

    Abdolahpourrostam et al., NeurIPS 2024, arXiv:2303.12481, algorithm 2, SDF(infinity, 1), and its final line search. Norm: l2.

    Deviations: the projection is the nearest point inside the input box (the paper has no box); the smallest winning point of all is
    returned, not the last, and projections start from x each time, where the authors' code adds them up, which crosses the boundary
    sooner and ends 1 to 6 % larger; the line search is a false position, not a bisection. Steps of both kinds count.
    Cost: at most 2 forwards and `candidates` backwards a step, 2 forwards and `search` besides.
    """

    steps: int = 30
    overshoot: float = 0.02  # of DeepFool's moves
    candidates: int = 9  # other classes looked at, the likeliest first
    search: int = 5  # forwards of the line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Abdolahpourrostam 2024, arXiv:2303.12481"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        at_least(self, overshoot=0, why="stops short of the boundary")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("superdeepfool", "l2")
        whole, x = problem, region.origin
        clean = problem.goal.margin(problem.oracle(x))
        margin, best = torch.full_like(clean, -torch.inf), Incumbent.at(x)
        rows = (clean <= 0).nonzero().squeeze(1)
        begin = x if problem.starts is None else torch.clamp(problem.starts, region.lower, region.upper)
        problem, point = problem.select(rows), begin[rows]
        projected = torch.zeros_like(rows, dtype=torch.bool)
        for step in range(self.steps + 1):
            if not len(rows):
                break
            here = problem.goal.margin(problem.oracle(point))
            won = here > 0
            size = region.norm.size(point - x[rows]).double()
            better = won & (size < best.size[rows])
            best.offer_smaller(point, size, won, rows)
            margin[rows[better]] = here[better]
            stay = (~(won & projected)).nonzero().squeeze(1)
            problem, rows, point, won = problem.select(stay), rows[stay], point[stay], won[stay]
            if step < self.steps:
                point, projected = self._moved(problem, point, won), won
        return shrunk(whole, best.point, margin, clean, self.search)

    def _moved(self, problem: Problem, point: Tensor, won: Tensor) -> Tensor:
        """DeepFool's step for what has not won yet, the projection of x for what has."""
        moved = torch.empty_like(point)
        for crossed in (False, True):
            rows = (won == crossed).nonzero().squeeze(1)
            if not len(rows):
                continue
            part, here = problem.select(rows), point[rows]
            ball = part.ball("superdeepfool")
            outputs, value, normal = nearest_plane(part, here, ball.norm, 1 if crossed else self.candidates)
            if crossed:
                onto = ball.x + move_onto(ball, ball.x, normal, inner(normal, here - ball.x))
                moved[rows] = torch.clamp(onto, ball.lower, ball.upper)
            else:
                moved[rows] = crossing(ball, here, outputs, value, normal, self.overshoot)
        return moved
