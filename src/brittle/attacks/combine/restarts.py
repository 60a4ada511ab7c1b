"""Run an attack again, with other random numbers, on what it has not won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ..parts.options import at_least
from .answers import offer_answer


@dataclass(frozen=True)
class Restarts:
    """Up to `restarts` runs a sample; keeps the point of the highest goal margin, and a sample that is won runs no more.

    Of an attack that minimises, all runs are made and the smallest winning point is kept.

    Cost: that of the attack a run, and 1 forward to look at what it returned.
    """

    attack: Attack
    restarts: int = 5

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        at_least(self, restarts=1)

    @property
    def minimises(self) -> bool:
        """Whether the attack does."""
        return self.attack.minimises

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        best = Incumbent.at(problem.region.origin)
        rows = torch.arange(problem.x.shape[0], device=problem.x.device)
        for run in range(self.restarts):
            left = problem.select(rows).forked(run)
            offer_answer(best, left, self.attack(left), rows, self.minimises)
            if not self.minimises:
                rows = rows[best.score[rows] <= 0]
            if not len(rows):
                break
        return best.point


def restarted(attack: Attack, restarts: int) -> Attack:
    """The attack itself for one run, `Restarts` of it for more."""
    return attack if restarts == 1 else Restarts(attack, restarts)
