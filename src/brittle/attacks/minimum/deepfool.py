"""DeepFool: step onto the nearest linearised decision boundary until it is crossed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ..parts.linearise import crossing, nearest_plane
from ..parts.options import at_least
from ..parts.shrink import shrunk


@dataclass(frozen=True, kw_only=True)
class DeepFool:
    """Until the goal is reached: the smallest move onto the nearest linearised boundary, and a little further.

    Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599, algorithm 2; section 3.3 for norms other than l2. Norms: linf, l2, l1.

    Deviations: points are clipped to the input box (the paper has none), and where clipping takes away more than the overshoot adds the
    step goes further (`crossing`), because it would never cross; a sample that is won leaves; `search` forwards at the end pull it back
    onto the boundary, where the paper keeps the overshoot.
    Cost: at most 2 forwards and `candidates` backwards a step, 1 forward before and `search` after.
    """

    steps: int = 50
    overshoot: float = 0.02  # paper: eta
    candidates: int = 9  # other classes looked at, the likeliest first; the authors' code takes 9
    search: int = 3  # forwards of the final search; the paper has none

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Moosavi-Dezfooli 2016, arXiv:1511.04599"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        at_least(self, overshoot=0, why="stops short of the boundary")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("deepfool", "linf", "l2", "l1")
        answer = region.origin.clone()
        clean = problem.goal.margin(problem.oracle(answer))
        margin = clean.clone()
        point = answer if problem.starts is None else torch.clamp(problem.starts, region.lower, region.upper)
        rows = (clean <= 0).nonzero().squeeze(1)
        whole, problem, point = problem, problem.select(rows), point[rows]
        for step in range(self.steps + 1):
            if not len(rows):
                break
            if step or problem.starts is not None:
                here = problem.goal.margin(problem.oracle(point))
                won = here > 0
                answer[rows[won]], margin[rows[won]] = point[won], here[won]
                stay = (~won).nonzero().squeeze(1)
                problem, rows, point = problem.select(stay), rows[stay], point[stay]
            if step < self.steps and len(rows):
                ball = problem.ball("deepfool")
                outputs, value, normal = nearest_plane(problem, point, ball.norm, self.candidates)
                point = crossing(ball, point, outputs, value, normal, self.overshoot)
        margin[clean > 0] = -torch.inf  # these are won at size zero
        return shrunk(whole, answer, margin, clean, self.search)
