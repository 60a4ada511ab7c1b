"""The row: one flat record for each sample under one attack and one threat. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

_ARROW = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}


@dataclass(frozen=True, kw_only=True)
class Row:
    """See the table in docs/architecture.md for what each column means."""

    cell: str
    attack: str
    role: str  # clean, noise, attack, stage or proof
    threat: str
    eps: float
    id: int
    label: int
    target: int = -1
    clean_correct: bool = False
    success: bool = False
    feasible: bool = False
    size: float = float("nan")
    margin: float = float("nan")
    predicted: int = -1
    confidence: float = float("nan")
    proved: bool = False
    forwards: int = 0
    backwards: int = 0
    aside_forwards: int = 0
    aside_backwards: int = 0
    seconds: float = 0.0
    error: str = ""


CELL = ("cell", "attack", "role", "threat", "eps")  # columns that are the same in every row of a cell
COST = ("forwards", "backwards", "aside_forwards", "aside_backwards", "seconds")
SCHEMA = pa.schema([pa.field(f.name, _ARROW[str(f.type)], nullable=False) for f in fields(Row)])


def to_table(rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table in the schema's column order."""
    return pa.Table.from_pylist(
        [vars(row) for row in rows], schema=SCHEMA
    )  # flat: asdict would copy every number deeply


def from_table(table: pa.Table) -> list[Row]:
    """The inverse of `to_table`; refuses a table with other columns."""
    records: list[dict[str, Any]] = table.cast(SCHEMA).to_pylist()
    return [Row(**record) for record in records]
