"""Warm starts from one radius to the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from .answers import offer_answer


@dataclass(frozen=True)
class Widening:
    """The attack at growing shares of the radius, each time from where the last one ended; a sample that is won leaves.

    Cost: at most that of the attack, and 1 forward, for each share.
    """

    attack: Attack
    shares: tuple[float, ...] = (0.5, 0.75, 1.0)

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        shares = (0.0, *self.shares)
        if len(shares) < 2 or any(not a < b for a, b in pairwise(shares)) or shares[-1] > 1:
            raise InputError(f"shares={self.shares} do not rise to the radius; give for example (0.5, 1.0)")
        if self.attack.minimises:
            raise InputError("Widening is for attacks at a fixed budget; one that minimises finds its radius itself")

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        best = Incumbent.at(problem.region.origin)
        rows = torch.arange(len(problem.x), device=problem.x.device)
        for place, share in enumerate(self.shares):
            left = problem.select(rows).within(problem.region.radius[rows] * share).forked(place)
            offer_answer(best, left, self.attack(left.starting(best.point[rows]) if place else left), rows)
            rows = rows[best.score[rows] <= 0]
            if not len(rows):
                break
        return best.point
