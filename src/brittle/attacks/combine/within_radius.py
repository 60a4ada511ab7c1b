"""An attack that looks for the smallest perturbation, among those at a fixed budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ...errors import InputError


@dataclass(frozen=True)
class WithinRadius:
    """The attack's smallest perturbation, taken as an answer at the radius: what is larger is pulled back to it, and has lost as a rule.

    Cost: that of the attack.
    """

    attack: Attack

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        if not self.attack.minimises:
            raise InputError(
                "WithinRadius is for attacks that minimise; one at a fixed budget is in the radius already"
            )

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        return problem.region.project(self.attack(problem))
