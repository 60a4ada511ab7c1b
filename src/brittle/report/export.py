"""The rows of a run as one file for other programs: CSV, JSON or Parquet, in the columns of docs/architecture.md."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import InputError, MissingPackage, unknown
from ..files import write_whole
from .read import read_run


def export(run: str | Path, out: str | Path, format: str | None = None) -> Path:
    """Write every row of a run, finished or not, to the file `out`, whole or not at all; returns its path.

    format: csv (NaN and infinity as nan and inf), json (an array of objects; NaN and infinity, which JSON lacks, as null) or parquet; None:
    as the name of the file ends. InputError where the format is another, the folder holds no run, or the file cannot be written.
    """
    path = Path(out)
    chosen = format or path.suffix.removeprefix(".")
    if chosen not in _WRITERS:
        if format is None:
            raise InputError(f"{str(path)!r} does not end in .csv, .json or .parquet; say which with --format")
        raise unknown("format", chosen, _WRITERS)
    data = _WRITERS[chosen](read_run(run).rows)
    write_whole(path, data)
    return path


def frame(run: str | Path) -> Any:
    """Every row of a run as a pandas DataFrame. MissingPackage where pandas is not installed."""
    try:
        import pandas  # noqa: F401, to_pandas asks for it only at the end
    except ImportError:
        raise MissingPackage("pandas", "a DataFrame of the rows", "pandas") from None
    return read_run(run).rows.to_pandas()


def as_text(cell: str) -> str:
    """A cell of text that no spreadsheet takes for a formula: behind an apostrophe where it begins like one."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _csv(rows: pa.Table) -> bytes:
    for place, column in enumerate(rows.schema):
        if column.type == pa.string():
            safe = pa.array([as_text(cell) for cell in rows[column.name].to_pylist()], pa.string())
            rows = rows.set_column(place, column, safe)
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(rows, buffer)
    return buffer.getvalue()


def _json(rows: pa.Table) -> bytes:
    lines = (
        json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False) for row in rows.to_pylist()
    )
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


_WRITERS = {"csv": _csv, "json": _json, "parquet": _parquet}
