"""Rows laid out by sample: for each attack and radius one array per measured quantity, all in the same order of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..runs.plan import CHAINED

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One attack at one radius; every array is (N,), aligned with the cube's ids. Absent samples: not `present`."""

    cell: str
    present: Bools
    error: Bools
    correct: Bools
    success: Bools
    feasible: Bools
    size: Floats
    margin: Floats
    proved: Bools
    forwards: Ints
    backwards: Ints
    aside: Ints  # forwards plus backwards of a surrogate
    seconds: Floats
    errors: tuple[str, ...]  # the different sentences

    @cached_property
    def measured(self) -> Bools:
        return self.present & ~self.error

    def resting_on(self, failed: Bools) -> Column:
        """As the column of a stage after one that `failed` (N,): what it did not fool, that one might have, and is no more measured."""
        return replace(self, error=self.error | (failed & self.present & ~self.success))

    @cached_property
    def asked(self) -> Bools:
        """(N,) a query was charged. A stage asks nothing about samples that are settled, and its row says how they stand."""
        return self.present & (self.forwards > 0)

    @cached_property
    def gradients(self) -> int:
        """The most backwards charged to one sample: 0 for attacks without gradients, 1 for one-step attacks."""
        return int(self.backwards.max(initial=0))


@dataclass(frozen=True)
class Cube:
    """All rows of a run that belong to its plan: `columns[name, eps]` for the attacks and the noise, and `clean`."""

    ids: Ints  # (N,) ascending
    labels: Ints  # (N,) true classes
    grid: tuple[float, ...]
    names: tuple[str, ...]  # in the plan's order
    roles: dict[str, str]
    clean: Column
    columns: dict[tuple[str, float], Column]

    @cached_property
    def rows(self) -> int:
        return sum(int(column.present.sum()) for column in (self.clean, *self.columns.values()))

    @cached_property
    def known(self) -> Bools:
        """(N,) some row without an error tells whether the untouched sample is classified correctly."""
        return _any([column.measured for column in (self.clean, *self.columns.values())])

    @cached_property
    def correct(self) -> Bools:
        """(N,) the untouched sample is classified as its label."""
        columns = (self.clean, *self.columns.values())
        return _any([column.correct & column.measured for column in columns])

    @cached_property
    def whole(self) -> Bools:
        """(N,) measured in every column in which anything was measured."""
        begun = [column.measured for column in self.columns.values() if column.measured.any()]
        return ~_any([~measured for measured in begun]) if begun else np.zeros(len(self.ids), dtype=bool)

    @cached_property
    def doubtful(self) -> Bools:
        """(N,) an error stands in for some measurement."""
        return _any([column.error for column in (self.clean, *self.columns.values())])

    def proved_at(self, eps: float) -> Bools:
        """(N,) proved at this radius or a larger one."""
        found = np.zeros(len(self.ids), dtype=bool)
        for (_, radius), column in self.columns.items():
            if radius >= eps:
                found |= column.proved
        return found

    def proof_at(self, eps: float) -> bool:
        """Whether proofs were looked for at this radius or a larger one."""
        return any(self.roles[name] == "proof" and radius >= eps for name, radius in self.columns)

    @cached_property
    def chain(self) -> tuple[str, ...]:
        """Names of stages and proofs."""
        return tuple(name for name in self.names if self.roles[name] in CHAINED)

    def broken_by(self, names: Sequence[str], eps: float) -> Bools:
        """(N,) right when untouched, and fooled by one of these attacks at this radius or a smaller one."""
        found = np.zeros(len(self.ids), dtype=bool)
        for (name, radius), column in self.columns.items():
            if name in names and radius <= eps:
                found |= column.success & column.measured
        return found & self.correct


def _any(arrays: Sequence[Bools]) -> Bools:
    found: Bools = np.logical_or.reduce(arrays)
    return found


def cube_of(rows: pa.Table, grid: tuple[float, ...], planned: Sequence[tuple[str, str]]) -> Cube:
    """Lay out the rows of the planned attacks (of all, where the plan lists none) at the grid's radii."""
    roles = rows["role"].to_numpy()
    attacks = rows["attack"].to_numpy()
    radii = rows["eps"].to_numpy()
    others = dict(zip(attacks[roles != "clean"].tolist(), roles[roles != "clean"].tolist(), strict=True))
    wanted = dict(planned) or others
    ids = np.unique(rows["id"].to_numpy())
    columns: dict[tuple[str, float], Column] = {}
    for name in wanted:
        for eps in grid:
            chosen = (attacks == name) & (roles != "clean") & np.isclose(radii, eps, rtol=1e-9, atol=0.0)
            if chosen.any():
                columns[name, eps] = _column(rows.filter(pa.array(chosen)), ids)
    clean = _column(rows.filter(pc.equal(rows["role"], "clean")), ids)
    for eps in grid:
        open_ = np.zeros(len(ids), dtype=bool)
        for at in ((name, eps) for name, role in wanted.items() if role == "stage" and (name, eps) in columns):
            columns[at] = columns[at].resting_on(open_)
            open_ = columns[at].error
    labels = np.full(len(ids), -1, dtype=np.int64)
    known = rows.filter(pc.greater_equal(rows["label"], 0))  # an error row knows no label
    labels[np.searchsorted(ids, known["id"].to_numpy())] = known["label"].to_numpy()
    return Cube(ids, labels, grid, tuple(wanted), wanted, clean, columns)


def _column(rows: pa.Table, ids: Ints) -> Column:
    """Scatter rows to their samples' places."""
    places = np.searchsorted(ids, rows["id"].to_numpy())

    def laid(name: str, fill: bool | int | float) -> NDArray[np.generic]:
        values = rows[name].to_numpy()
        out = np.full(len(ids), fill, dtype=np.asarray(fill).dtype)
        out[places] = values
        return out

    sentences = rows["error"].to_pylist()
    present = np.zeros(len(ids), dtype=bool)
    present[places] = True
    error = np.zeros(len(ids), dtype=bool)
    error[places] = [bool(sentence) for sentence in sentences]
    flags = {name: laid(name, False).astype(np.bool_) for name in ("success", "feasible", "proved")}
    return Column(
        cell=str(rows["cell"][0]) if len(rows) else "",
        present=present,
        error=error,
        correct=laid("clean_correct", False).astype(np.bool_),
        success=flags["success"],
        feasible=flags["feasible"],
        proved=flags["proved"],
        size=laid("size", np.nan).astype(np.float64),
        margin=laid("margin", np.nan).astype(np.float64),
        forwards=laid("forwards", 0).astype(np.int64),
        backwards=laid("backwards", 0).astype(np.int64),
        aside=laid("aside_forwards", 0).astype(np.int64) + laid("aside_backwards", 0).astype(np.int64),
        seconds=laid("seconds", 0.0).astype(np.float64),
        errors=tuple(dict.fromkeys(filter(None, sentences))),
    )
