"""One attack after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from .answers import offer_answer


@dataclass(frozen=True)
class Cascade:
    """Attacks in a row, from cheap to dear, each on what those before it have left over.

    At a fixed budget a sample that is won leaves, and the point of the highest goal margin is kept. Where all attacks minimise, every
    sample sees every attack, with the smallest size found so far as its radius, and the smallest winning point is kept. `warm`: an attack
    begins where those before it have ended, if it takes a start, rather than afresh.

    Cost: that of the attacks, and 1 forward each to look at what it returned.
    """

    attacks: tuple[Attack, ...]
    warm: bool = False

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if not self.attacks:
            raise InputError("a Cascade of no attacks would do nothing; give one or more")
        if len({attack.minimises for attack in self.attacks}) > 1:
            raise InputError(
                "a Cascade holds either attacks that minimise or attacks at a fixed budget; put Bisect around the latter"
            )

    @property
    def access(self) -> Access:
        """The most that one of the attacks needs."""
        return Access.most(*(attack.access for attack in self.attacks))

    @property
    def minimises(self) -> bool:
        """Whether the attacks do."""
        return self.attacks[0].minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        best = Incumbent.at(problem.region.origin)
        rows = torch.arange(len(problem.x), device=problem.x.device)
        for place, attack in enumerate(self.attacks):
            left = problem.select(rows).forked(place)
            if self.minimises:
                size = torch.where(best.found, best.size, torch.inf).to(left.region.radius.dtype)
                left = left.within(torch.minimum(left.region.radius, size))
            if self.warm and place:
                left = left.starting(best.point[rows])
            offer_answer(best, left, attack(left), rows, self.minimises)
            if not self.minimises:
                rows = rows[best.score[rows] <= 0]
                if not len(rows):
                    break
        return best.point
