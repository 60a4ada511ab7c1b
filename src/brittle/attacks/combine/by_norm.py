"""The version of an attack that was made for the norm at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ...errors import InputError


@dataclass(frozen=True)
class ByNorm:
    """Under the norms that are named another attack, elsewhere `attack`. Cost: that of the attack."""

    attack: Attack
    l2: Attack | None = None
    l1: Attack | None = None
    l0: Attack | None = None

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if len({attack.minimises for attack in self._all}) > 1:
            raise InputError("ByNorm holds either attacks that minimise or attacks at a fixed budget, not some of each")

    @property
    def access(self) -> Access:
        """The most that one of them needs."""
        return Access.most(*(attack.access for attack in self._all))

    @property
    def minimises(self) -> bool:
        """Whether the attacks do."""
        return self.attack.minimises

    @property
    def _all(self) -> list[Attack]:
        return [attack for attack in (self.attack, self.l2, self.l1, self.l0) if attack is not None]

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        norm = getattr(problem.region, "norm", None)
        special = None if norm is None else getattr(self, norm.name, None)
        return (self.attack if special is None else special)(problem)
