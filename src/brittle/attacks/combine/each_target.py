"""Run an attack once for each of the likeliest other classes, steered towards it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import without
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ..parts.options import at_least
from .answers import offer_answer


@dataclass(frozen=True)
class EachTarget:
    """The attack's losses steer to one class after the other, the likeliest first by the clean outputs; any class but the label wins.

    Gowal et al. 2019, arXiv:1910.09338, algorithm 1; Croce and Hein, ICML 2020, arXiv:2003.01690, section 5.1 (APGD-T, FAB-T). At a fixed
    budget a sample that is won leaves, and the point of the highest goal margin is kept; of an attack that minimises every run is made,
    and the smallest winning point is kept. With a target in the goal the attack just runs once.

    Cost: that of the attack and 1 forward a class, and 1 forward for the clean outputs.
    """

    attack: Attack
    targets: int = 9

    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        at_least(self, targets=1)

    @property
    def access(self) -> Access:
        """That of the attack, and never less than the scores that rank the classes."""
        return Access.most(self.attack.access, Access.SCORES)

    @property
    def minimises(self) -> bool:
        """Whether the attack does."""
        return self.attack.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        goal = problem.classes
        if goal.targeted:
            return self.attack(problem)
        best, origin = Incumbent.at(problem.region.origin), problem.region.origin
        outputs = problem.oracle(origin)
        won = goal.margin(outputs) > 0
        others = without(outputs, goal.labels).nan_to_num(nan=-torch.inf)
        classes = others.topk(min(self.targets, outputs.shape[1] - 1), dim=1).indices  # (B, targets)
        rows = (~won).nonzero().squeeze(1)
        for run in range(classes.shape[1]):
            if not len(rows):
                break
            left = problem.select(rows).forked(run)
            steered = replace(left, goal=replace(left.classes, towards=classes[rows, run]))
            offer_answer(best, left, self.attack(steered), rows, self.minimises)
            if not self.minimises:
                rows = rows[best.score[rows] <= 0]
        return best.point


def each_target(attack: Attack, targets: int) -> Attack:
    """`EachTarget` of the attack, as the type checker wants it."""
    wrapped: Any = EachTarget(attack, targets)
    return wrapped  # type: ignore[no-any-return]
