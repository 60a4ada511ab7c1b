"""The version of an attack that was made for the norm at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.oracle import Access
from ...core.problem import Attack, Problem
from ...errors import InputError


@dataclass(frozen=True)
class ByNorm:
    """Under the norm named `norm` one attack, elsewhere the `other`. Cost: that of the attack."""

    norm: str
    attack: Attack
    other: Attack

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if self.attack.minimises != self.other.minimises:
            raise InputError("ByNorm holds either two attacks that minimise or two at a fixed budget, not one of each")

    @property
    def access(self) -> Access:
        """The more that one of the two needs."""
        return Access.most(self.attack.access, self.other.access)

    @property
    def minimises(self) -> bool:
        """Whether the attacks do."""
        return self.other.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        norm = getattr(problem.region, "norm", None)
        return self.attack(problem) if norm is not None and norm.name == self.norm else self.other(problem)
