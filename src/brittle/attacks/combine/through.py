"""An attack on a mended victim: one of the same decisions, whose gradients can be followed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ...errors import InputError
from ..remedies.door import MendedDoor, Remedy


@dataclass(frozen=True)
class Through:
    """The attack sees the victim with the remedies around it, the first innermost; the judge sees the victim as it is.

    Each forward and backward pass of the victim is charged, those of Smoothed too. Mending looks into the victim, whatever the attack
    needs, so that its access is that of gradients. Cost: that of the attack; with Smoothed, 1 + draws forwards and `draws` backwards for
    each of its gradients.
    """

    attack: Attack
    remedies: tuple[Remedy, ...]

    access: ClassVar[Access] = Access.GRADIENT
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if not self.remedies:
            raise InputError("Through without remedies is the attack itself; give one or more, or leave it out")
        if self.attack.access is Access.LABELS:
            raise InputError(
                f"Through mends scores and gradients, and {type(self.attack).__name__} asks for labels alone; give the attack as it is"
            )

    @property
    def minimises(self) -> bool:
        """Whether the attack does."""
        return self.attack.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        return self.attack(
            replace(problem, door=MendedDoor.of(problem.door, self.remedies, problem.streams, problem.goal))
        )
