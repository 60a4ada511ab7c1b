"""A dear attack where a cheap one like it comes near."""

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
        return first_then(
            problem, self.first, self.then, lambda best, untouched: best > self.reach * untouched, warm=True
        )  # fmt: skip
