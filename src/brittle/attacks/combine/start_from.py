"""An attack that begins where another has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ..parts.options import positive


@dataclass(frozen=True)
class StartFrom:
    """`first` looks for a point, at `reach` times the radius, and `then` begins there.

    A decision-based attack on a target needs a start that is taken for the target; a minimum-norm attack that stalls near x gets away
    when it begins at a strong attack's point. Both see the same victim, with the access of the more demanding.
    Cost: that of both attacks.
    """

    first: Attack
    then: Attack
    reach: float = 1.0

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        positive(self, "reach", why="leaves no room to start from")

    @property
    def access(self) -> Access:
        """That of the more demanding attack."""
        return Access.most(self.first.access, self.then.access)

    @property
    def minimises(self) -> bool:
        """Whether the second attack does."""
        return self.then.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        there = self.first(problem.within(problem.region.radius * self.reach).forked(0))
        return self.then(problem.starting(there).forked(1))
