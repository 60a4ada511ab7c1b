"""A dear attack where a cheap one like it comes near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from ..parts.options import positive
from .answers import offer_answer


@dataclass(frozen=True)
class IfNear:
    """`first`, and `then` from where it ended, but only on samples that it brought near: to a goal margin above -reach times that of x.

    A random search of a few hundred queries stays far behind gradients on most models, and there thousands of queries more find nothing
    that gradients do not. Where gradients are masked it is soon as near as they are, and there they do. Of a sample that is not won the
    point of the highest goal margin is returned.

    Cost: that of `first` and 2 forwards, then at most that of `then` and 1 forward.
    """

    first: Attack
    then: Attack
    reach: float = 0.3

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        positive(self, "reach", why="is near to nothing")
        if self.first.minimises or self.then.minimises:
            raise InputError("IfNear is for attacks at a fixed budget; put WithinRadius around one that minimises")

    @property
    def access(self) -> Access:
        """That of the more demanding part, and never less than scores."""
        return Access.most(self.first.access, self.then.access, Access.SCORES)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        best = Incumbent.at(problem.region.origin)
        untouched = problem.goal.margin(problem.oracle(problem.region.origin)).double()
        best.offer(problem.region.origin, untouched)
        rows = (untouched <= 0).nonzero().squeeze(1)
        part = problem.select(rows)
        if len(rows):
            offer_answer(best, part, self.first(part.forked(0)), rows)
        rows = ((best.score <= 0) & (best.score > self.reach * untouched)).nonzero().squeeze(1)
        if len(rows):
            part = problem.select(rows).forked(1).starting(best.point[rows])
            offer_answer(best, part, self.then(part), rows)
        return best.point
