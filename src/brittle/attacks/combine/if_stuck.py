"""Another attack where the first has stood still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ...errors import InputError
from ..parts.options import positive
from .first_then import first_then


@dataclass(frozen=True)
class IfStuck:
    """`first`, and `then`, afresh, on samples that it hardly moved: whose goal margin is still below -`stuck` times that of x.

    Where a loss is saturated or a gradient vanishes an ascent ends where it began, and says nothing of how near the boundary is; elsewhere
    `then` would be spent on every sample that is simply far. Of a sample that is not won the point of the highest goal margin is
    returned.

    Cost: that of `first` and 2 forwards, then at most that of `then` and 1 forward.
    """

    first: Attack
    then: Attack
    stuck: float = 0.88

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        positive(self, "stuck", why="leaves nobody out")
        if self.first.minimises or self.then.minimises:
            raise InputError("IfStuck is for attacks at a fixed budget; put WithinRadius around one that minimises")

    @property
    def access(self) -> Access:
        """That of the more demanding part, and never less than scores."""
        return Access.most(self.first.access, self.then.access, Access.SCORES)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        return first_then(
            problem, self.first, self.then, lambda best, untouched: best <= self.stuck * untouched, warm=False
        )  # fmt: skip
