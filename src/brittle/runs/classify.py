"""The classification task as the runner wants it: a cell and ids in, rows and kept examples out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..core.problem import Attack, Threat
from ..data.open import open_data
from ..tasks.classification import Classification, Results
from ..threats import box
from ..victims.open import open_victim
from ..victims.preprocess import as_taken
from .cells import Cell, sample_ids
from .plan import Plan
from .rows import Row
from .values import decode

_MEASURED = [f.name for f in fields(Results) if f.name != "x_adv"]


@dataclass(frozen=True, eq=False)
class ClassifyCells:
    """Runs cells of a plan on an opened victim and data; keeps the adversarial examples of the ids in `keep`."""

    task: Classification
    keep: frozenset[int]

    def run(self, cell: Cell, ids: Sequence[int]) -> tuple[list[Row], dict[str, np.ndarray[Any, Any]]]:
        threat: Threat = box() if cell.threat is None else decode(cell.threat, "the threat")
        if cell.role == "proof":
            return self._prove(cell, ids, threat), {}
        attack: Attack | None = None if cell.attack is None else decode(cell.attack, f"the attack {cell.name}")
        results = self.task.run(attack, threat, ids, cell.seed)
        columns = {name: getattr(results, name).tolist() for name in _MEASURED}
        rows = [
            Row(**cell.columns, id=index, **{name: column[i] for name, column in columns.items()})
            for i, index in enumerate(ids)
        ]
        kept = [i for i, index in enumerate(ids) if index in self.keep]
        return rows, {
            "x_adv": results.x_adv[kept].float().numpy(),
            "id": np.asarray([ids[i] for i in kept], dtype=np.int64),
        }

    def _prove(self, cell: Cell, ids: Sequence[int], threat: Threat) -> list[Row]:
        """Rows that say whether a sample is proved, and what that took; a proof looks for no point."""
        proved, seconds = self.task.prove(decode(cell.attack, f"the proof {cell.name}"), threat, ids)
        return [
            Row(
                **cell.columns,
                id=index,
                label=-1,
                clean_correct=True,
                feasible=True,
                proved=bool(found),
                seconds=float(took),
            )
            for index, found, took in zip(ids, proved, seconds, strict=True)
        ]


def build(plan: Plan, device: str | None = None, trust: bool = False) -> ClassifyCells:
    """Open what the plan's strings name; a worker process does this for itself."""
    data = open_data(plan.data)
    victim = open_victim(plan.victim, device=device, trust=trust, bounds=data.bounds)
    data = as_taken(data, victim)
    return cells_of(plan, Classification(victim, data, plan.goal, plan.batch_size, draws=plan.draws))


def cells_of(plan: Plan, task: Classification) -> ClassifyCells:
    """The task, keeping what the plan says is to be kept."""
    return ClassifyCells(task, frozenset(sample_ids(plan)[: plan.keep]))
