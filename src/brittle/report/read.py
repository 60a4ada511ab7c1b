"""Read a run folder: what was planned, every row of the plan that is there, and the examples that were kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..findings import Finding
from ..runs.cells import cells, sample_ids
from ..runs.plan import Plan
from ..runs.rows import CELL, SCHEMA
from ..runs.store import Store
from .numbers import Cost, Summary, summarise

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """A run folder's content, finished or not. `plan` is that of plan.json as plain data."""

    folder: Path
    plan: Mapping[str, Any]
    rows: pa.Table  # in the columns of runs/rows.py, one row for each cell and id
    invocations: tuple[Mapping[str, Any], ...]
    diagnosis: Mapping[str, Any]  # on the model itself, as in diagnosis.json; empty where it was not looked at
    unreadable: tuple[str, ...]  # a sentence for each thing that is damaged; rows in it count as missing

    @property
    def findings(self) -> tuple[Finding, ...]:
        """On the model itself."""
        return tuple(Finding(**finding) for finding in self.diagnosis.get("findings", ()))

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of those that were put to the model."""
        return tuple(self.diagnosis.get("checks", ()))

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the stages that the findings called for."""
        return tuple(stage["name"] for stage in self.diagnosis.get("stages", ()))

    @property
    def unproved(self) -> str:
        """Why no proofs were looked for, in short; empty where they were, or where the model was not looked at."""
        why = str(self.diagnosis.get("proof", {}).get("why_none", ""))
        return why.partition(";")[0].rstrip(".")

    @property
    def looked(self) -> Cost | None:
        """What the diagnosis was charged, and the seconds of the whole look at the model; None where there was none."""
        if not self.diagnosis:
            return None
        samples, each = self.diagnosis["samples"], (self.diagnosis["forwards"], self.diagnosis["backwards"])
        return Cost(*each, round(samples * each[0]), round(samples * each[1]), float(self.diagnosis["seconds"]))

    @cached_property
    def summary(self) -> Summary:
        """Its numbers and the reasons to doubt them."""
        return summarise(self.rows, self.plan, self.findings, self.added, self.unproved)


def read_run(folder: Path | str) -> Run:
    """Everything but the kept examples. InputError where the folder holds no run, or a plan that cannot be read.

    What is damaged is left out, as if it had not run yet, and said: in `Run.unreadable` and as a warning.
    """
    store = Store(folder)
    plan = store.plan()
    damage: list[str] = []

    def left_out(sentence: str) -> None:
        damage.append(sentence)
        warnings.warn(sentence, stacklevel=2)

    rows = planned_rows(pa.concat_tables([SCHEMA.empty_table(), *store.tables(left_out)]), plan)
    starts, noted = store.invocations(left_out), store.noted(left_out)
    return Run(store.folder, asdict(plan), rows, starts, noted, tuple(damage))


def read_kept(run: Run) -> dict[str, dict[int, Array]]:
    """Kept examples by cell and sample id: `read_kept(run)[cell][id]` is (*S) float32 in the victim's input range."""
    shape = tuple(run.plan["resolved"].get("shape", ()))
    return {
        cell: {index: x for index, x in examples.items() if x.shape == shape or not shape}
        for cell, examples in Store(run.folder).kept().items()
    }


def planned_rows(table: pa.Table, plan: Plan) -> pa.Table:
    """The rows of the plan's cells and samples under the plan's names: of each cell and id the first.

    Does what `Store.rows` does, on columns: a run may have millions of rows.
    """
    planned = {cell.key: cell for cell in cells(plan)}
    ids = sample_ids(plan)
    asked = pc.and_(pc.greater_equal(table["id"], ids.start), pc.less(table["id"], ids.stop))
    table = table.filter(pc.and_(asked, pc.is_in(table["cell"], pa.array(list(planned), pa.string()))))
    if not len(table):
        return table
    keys, code = np.unique(table["cell"].to_numpy(), return_inverse=True)
    samples = table["id"].to_numpy()
    order = np.lexsort((samples, code))  # stable: of the same cell and sample the first comes first
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(code[order]) != 0) | (np.diff(samples[order]) != 0)
    table, code = table.take(order[first]), code[order[first]]
    columns = [planned[key].columns for key in keys]
    for column in CELL[1:]:
        place, field = table.schema.get_field_index(column), SCHEMA.field(column)
        values = np.array([found[column] for found in columns], dtype=field.type.to_pandas_dtype())
        table = table.set_column(place, field, pa.array(values[code], field.type))
    return table
