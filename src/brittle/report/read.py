"""Read a run folder: what was planned, every row of the plan that is there, and the examples that were kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..findings import Finding
from ..runs.cells import cells
from ..runs.plan import Plan
from ..runs.rows import SCHEMA
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
    diagnosis: Mapping[
        str, Any
    ]  # what was found on the model itself, as in diagnosis.json; empty where it was not looked at
    unreadable: tuple[str, ...]  # names of damaged units, whose rows count as missing

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
    """Everything but the kept examples. InputError where the folder holds no run, or a plan that cannot be read."""
    folder = Path(folder)
    plan = Store(folder).plan()
    tables, unreadable = [SCHEMA.empty_table()], []
    for path in sorted((folder / "units").glob("*.parquet")):
        try:
            tables.append(pq.read_table(path).select(SCHEMA.names).cast(SCHEMA))
        except (pa.ArrowException, OSError, KeyError):
            unreadable.append(path.name)
    rows = planned_rows(pa.concat_tables(tables), plan)
    return Run(folder, asdict(plan), rows, _invocations(folder), _diagnosis(folder), tuple(unreadable))


def read_kept(run: Run) -> dict[str, dict[int, Array]]:
    """Kept examples by cell and sample id: `read_kept(run)[cell][id]` is (*S) float32 in the victim's input range."""
    return Store(run.folder).kept()


def planned_rows(table: pa.Table, plan: Plan) -> pa.Table:
    """The rows of the plan's cells under the plan's names: one for each cell and id, without an error if there is such.

    Does what `Store.rows` does, on columns: a run may have millions of rows.
    """
    planned = {cell.key: cell for cell in cells(plan)}
    table = table.filter(pc.is_in(table["cell"], pa.array(list(planned), pa.string())))
    if not len(table):
        return table
    keys, code = np.unique(table["cell"].to_numpy(), return_inverse=True)
    ids = table["id"].to_numpy()
    order = np.lexsort((table["error"].to_numpy() != "", ids, code))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(code[order]) != 0) | (np.diff(ids[order]) != 0)
    table, code = table.take(order[first]), code[order[first]]
    for column in ("attack", "role"):
        names = np.array([planned[key].name if column == "attack" else planned[key].role for key in keys], dtype=object)
        place = table.schema.get_field_index(column)
        table = table.set_column(place, SCHEMA.field(column), pa.array(names[code], pa.string()))
    return table


def _diagnosis(folder: Path) -> Mapping[str, Any]:
    """The content of diagnosis.json; empty where there is no such file, or a damaged one."""
    path = folder / "diagnosis.json"
    if not path.is_file():
        return {}
    try:
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = {"findings", "checks", "stages", "proof", "samples", "forwards", "backwards", "seconds"} <= {*noted}
    except (ValueError, TypeError):
        return {}
    return noted if whole else {}


def _invocations(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The lines of invocations.jsonl that are whole; a damaged line is no reason to refuse a report."""
    path = folder / "invocations.jsonl"
    found: list[Mapping[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return tuple(found)
