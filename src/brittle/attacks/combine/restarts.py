"""Run an attack again, with other random numbers, on what it has not won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.oracle import Access
from ...core.problem import Attack, Problem
from ...errors import InputError


@dataclass(frozen=True)
class Restarts:
    """Up to `restarts` runs a sample; keeps the point of the highest goal margin. A sample that is won runs no more.

    Cost: that of the attack a run, and 1 forward to look at what it returned.
    """

    attack: Attack
    restarts: int = 5

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise InputError(f"restarts={self.restarts} would run nothing; give 1 or more")
        if self.attack.minimises:
            raise InputError("Restarts keeps the highest margin, which a minimum-norm attack does not look for")

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        best = Incumbent.at(problem.region.origin)
        rows = torch.arange(problem.x.shape[0], device=problem.x.device)
        for run in range(self.restarts):
            left = problem.select(rows)
            point = self.attack(left.forked(run))
            with torch.no_grad():
                best.offer(point, problem.goal.select(rows).margin(left.oracle(point)), rows)
            rows = rows[best.score[rows] <= 0]
            if not len(rows):
                break
        return best.point


def restarted(attack: Attack, restarts: int) -> Attack:
    """The attack itself for one run, `Restarts` of it for more."""
    wrapped: Any = attack if restarts == 1 else Restarts(attack, restarts)
    return wrapped  # type: ignore[no-any-return]
