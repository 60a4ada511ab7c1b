"""Run an attack under each ball of a union."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from .answers import offer_answer


@dataclass(frozen=True)
class EachMember:
    """Under a union of balls, the attack under one ball after the other, as it would run under that ball alone; elsewhere just the attack.

    Tramer and Boneh, NeurIPS 2019, arXiv:1904.13000, section 2: the worst of the attacks of all balls. At a fixed budget a sample that is
    won leaves, and the point of the highest goal margin is kept; of an attack that minimises every run is made, and the winning point
    of the smallest scale is kept. `norms`: the balls under which it runs (None: all), for an attack that does not take the others.
    InputError where the union has none of them.

    Cost: that of the attack and 1 forward a ball.
    """

    attack: Attack
    norms: tuple[str, ...] | None = None

    paper: ClassVar[str] = "combinator"

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    @property
    def minimises(self) -> bool:
        """Whether the attack does."""
        return self.attack.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        balls = problem.members
        if not balls:
            return self.attack(problem)
        names = [ball.ball("EachMember").norm.name for ball in balls]
        places = [place for place, name in enumerate(names) if self.norms is None or name in self.norms]
        if not places:
            raise InputError(
                f"the attack is for {' and '.join(self.norms or ())}, the union has {' and '.join(names)}; give it one of these norms"
            )
        best = Incumbent.at(problem.region.origin)
        rows = torch.arange(len(problem.x), device=problem.x.device)
        for place in places:
            left = problem.select(rows)
            offer_answer(best, left, self.attack(left.members[place]), rows, self.minimises)
            if not self.minimises:
                rows = rows[best.score[rows] <= 0]
                if not len(rows):
                    break
        return best.point


def each_member(attack: Attack, norms: tuple[str, ...] | None = None) -> Attack:
    """`EachMember` of the attack, as the type checker wants it."""
    wrapped: Any = EachMember(attack, norms)
    return wrapped  # type: ignore[no-any-return]
