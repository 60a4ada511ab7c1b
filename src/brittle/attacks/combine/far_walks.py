"""From far away to the region, then on inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from ..parts.options import at_least
from .answers import offer_answer
from .far_starts import far_place


@dataclass(frozen=True, kw_only=True)
class FarWalks:
    """A minimum-norm `walk` from x and from `starts` far places; where one ends outside, `climb` goes on from the nearest point inside.

    The far places are those of FarStarts, which says why gradients at x are not to be believed where a model was trained against them.
    The question here is that of a fixed radius: a sample that is won leaves, a walk may be short, because the climb finishes what it
    began, and of a sample that is not won the point of the highest goal margin is returned. near: also from where the walk itself
    begins; without, another run of the same seed may add its far places to those of a first. This is brittle's own; measured in
    benchmarks/RESULTS.md.

    Cost: at most (near + starts) x (that of both attacks + 2 forwards).
    """

    walk: Attack
    climb: Attack
    starts: int = 3
    near: bool = True

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "brittle"

    def __post_init__(self) -> None:
        at_least(self, starts=0 if self.near else 1)
        if not self.walk.minimises or self.climb.minimises:
            raise InputError(
                "FarWalks takes a walk that minimises and a climb at a fixed budget, such as brendel_bethge and apgd"
            )

    @property
    def access(self) -> Access:
        """That of the more demanding part."""
        return Access.most(self.walk.access, self.climb.access)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("FarWalks")
        best = Incumbent.at(ball.x)
        rows = torch.arange(len(ball.x), device=ball.x.device)
        for run in range(0 if self.near else 1, self.starts + 1):
            part = problem.select(rows).forked(run)
            begin = part.starting(far_place(part, run - 1)) if run else part
            point = part.region.project(self.walk(begin))
            offer_answer(best, part, point, rows)
            left = (best.score[rows] <= 0).nonzero().squeeze(1)
            if len(left):
                rows, part = rows[left], part.select(left).starting(point[left])
                offer_answer(best, part, self.climb(part), rows)
            rows = rows[best.score[rows] <= 0]
            if not len(rows):
                break
        return best.point
