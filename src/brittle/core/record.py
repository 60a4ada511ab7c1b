"""The best point that was ever asked about, kept beside the attack where a budget may end it in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .incumbent import Incumbent

if TYPE_CHECKING:
    from .norms import Norm
    from .problem import Problem


@dataclass(eq=False)
class Record:
    """For each of B samples: the best point seen, and whether a query of its was refused.

    Best is the smallest that wins for an attack that minimises; for others the one of the highest margin inside the region.
    """

    best: Incumbent
    minimises: bool
    refused: Tensor  # (B,) bool
    norm: Norm | None = None  # that sizes are measured in; None: that of the region
    unit: float = 1.0  # what they are divided by, so that those of several balls compare

    @classmethod
    def at(cls, origin: Tensor, minimises: bool) -> Record:
        return cls(Incumbent.at(origin), minimises, torch.zeros(len(origin), dtype=torch.bool, device=origin.device))

    def see(self, problem: Problem, point: Tensor, outputs: Tensor) -> None:
        """What the victim answered (B', C) at points (B', *P) of the problem's rows."""
        margin = problem.goal.margin(outputs).double()
        if self.minimises:
            size = problem.region.size(point) if self.norm is None else self.norm.size((point - problem.x).double())
            score = torch.where(margin > 0, -size.double() / self.unit, -torch.inf)
        else:
            score = torch.where(problem.region.contains(point), margin, -torch.inf)
        self.best.offer(point, score, problem.door.rows)

    def of(self, rows: Tensor | None) -> Tensor:
        """Which of the rows were refused before (B',) bool: once refused, always refused."""
        return self.refused if rows is None else self.refused[rows]

    def refuse(self, spent: Tensor, rows: Tensor | None) -> None:
        """Note which of the rows asked for more than their budget."""
        if rows is None:
            self.refused |= spent
        else:
            self.refused[rows[spent]] = True
