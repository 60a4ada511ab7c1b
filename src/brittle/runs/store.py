"""The run folder: a plan, finished units, and one line for each start. A file that exists is complete.

    plan.json                     the plan and what it resolved to
    invocations.jsonl             one line a start
    diagnosis.json                what was found on the model itself, where it was looked at
    units/<id>.parquet            the rows of one unit
    units/<id>.safetensors        its kept examples, written before the rows

Every file is written to a temporary name beside it, synced to the disk and renamed. Whatever kills the process, what is
found afterwards is whole, and what is not found runs again.
"""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import InputError
from ..files import TEMPORARY, write_durably
from .cells import Unit, cells, sample_ids
from .extension import conflicts
from .plan import Plan, dump, load_plan
from .rows import SCHEMA, Row, from_table, to_table

Arrays = Mapping[str, np.ndarray[Any, Any]]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store:
    """A run folder: `Store(folder)` reads it, `with Store(folder).open(plan) as store:` also writes."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.units = self.folder / "units"
        self._lock = FileLock(self.folder / ".lock", timeout=0)

    def open(self, plan: Plan) -> Self:
        """Take the folder for this process, make it ready for `plan`, and clear away what a crash left behind.

        Raises InputError when the folder cannot be made, when another process is running in it, or when it holds a run
        that `plan` does not extend (see `extension.conflicts`).
        """
        try:
            self.units.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InputError(
                f"another process is running in {str(self.folder)!r}; wait for it, or give another --out"
            ) from None
        except OSError as error:
            raise InputError(f"{str(self.folder)!r} cannot hold a run: {error.strerror}; give another --out") from None
        try:
            self._adopt(plan)
            self._clear()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self) -> Plan:
        """The plan of this run. InputError when the folder holds none."""
        path = self.folder / "plan.json"
        if not path.is_file():
            raise InputError(f"{str(self.folder)!r} holds no run: it has no plan.json; give what --out named")
        return load_plan(path)

    def write(self, unit: Unit, rows: Sequence[Row], kept: Arrays) -> None:
        """Make a unit durable: `kept` (x_adv (K, *S) float32 and id (K,) int64; nothing when K = 0), then the rows.

        Raises InputError when the disk is full; nothing half-written stays, and all earlier units are safe.
        """
        if len(kept.get("id", ())):
            tensors = {name: np.ascontiguousarray(array) for name, array in kept.items()}
            self._write(self.units / f"{unit.id}.safetensors", save(tensors, metadata={"cell": unit.cell.key}))
        buffer = io.BytesIO()
        pq.write_table(to_table(list(rows)), buffer, compression="zstd", write_page_checksum=True)
        self._write(self.units / f"{unit.id}.parquet", buffer.getvalue())

    def done(self, *, errors: bool = True) -> set[tuple[str, int]]:
        """(cell key, id) of every row there is; without error rows when `errors` is False."""
        found: set[tuple[str, int]] = set()
        for table in self._tables():
            columns = (table[name].to_pylist() for name in ("cell", "id", "error"))
            found.update((cell, i) for cell, i, error in zip(*columns, strict=True) if errors or not error)
        return found

    def of(self, wanted: Collection[str]) -> dict[str, dict[int, Row]]:
        """The rows of some cells by cell key and sample id; a row without an error takes precedence over an error row."""
        found: dict[str, dict[int, Row]] = {key: {} for key in wanted}
        for table in self._tables():
            for row in from_table(table.filter(pc.is_in(table["cell"], pa.array(sorted(wanted), pa.string())))):
                there = found[row.cell].get(row.id)
                if there is None or (there.error and not row.error):
                    found[row.cell][row.id] = row
        return found

    def rows(self, plan: Plan | None = None) -> list[Row]:
        """One row for each (cell, id) of the plan (by default the folder's) that is there: cells in its order, ids ascending.

        A row without an error takes precedence over an error row. Attacks bear the names and roles of the plan, which
        may have been changed since the row was written.
        """
        plan = plan or self.plan()
        chosen: dict[tuple[str, int], Row] = {}
        for table in self._tables():
            for row in from_table(table):
                at = (row.cell, row.id)
                if at not in chosen or (chosen[at].error and not row.error):
                    chosen[at] = row
        found: list[Row] = []
        for cell in cells(plan):
            mine = (chosen[cell.key, i] for i in sample_ids(plan) if (cell.key, i) in chosen)
            found += (
                row
                if (row.attack, row.role) == (cell.name, cell.role)
                else replace(row, attack=cell.name, role=cell.role)
                for row in mine
            )
        return found

    def kept(self) -> dict[str, dict[int, np.ndarray[Any, Any]]]:
        """Kept examples by cell key and id, each (*S) float32; only of units that are complete."""
        found: dict[str, dict[int, np.ndarray[Any, Any]]] = {}
        for path in sorted(self.units.glob("*.safetensors")):
            if not path.with_suffix(".parquet").is_file():
                continue
            try:
                with safe_open(path, framework="np") as file:
                    key, ids, x_adv = file.metadata()["cell"], file.get_tensor("id"), file.get_tensor("x_adv")
            except (SafetensorError, OSError, KeyError, TypeError) as error:
                warnings.warn(f"kept examples in {str(path)!r} cannot be read ({error}); left out", stacklevel=2)
                continue
            found.setdefault(key, {}).update(zip(ids.tolist(), x_adv, strict=True))
        return found

    def invocation(self, *, command: str, started: datetime, seconds: float, workers: int, device: str = "cpu") -> None:
        """Append one line to invocations.jsonl: what was started, when, for how long, with which versions, on what."""
        versions = {name: _version(name) for name in ("brittle", "torch", "numpy", "pyarrow")}
        machine = {
            "platform": platform.platform(),
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        }
        line = {
            "command": command,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "versions": {"python": platform.python_version(), **versions},
            "machine": {**machine, "device": device},
            "workers": workers,
        }
        path = self.folder / "invocations.jsonl"
        earlier = path.read_bytes() if path.is_file() else b""
        self._write(path, earlier + json.dumps(line).encode() + b"\n")

    def note(self, diagnosis: Mapping[str, Any]) -> None:
        """Keep what was found on the model itself, in diagnosis.json; what was there before gives way."""
        self._write(self.folder / "diagnosis.json", json.dumps(diagnosis, indent=2).encode() + b"\n")

    def _adopt(self, plan: Plan) -> None:
        path = self.folder / "plan.json"
        if path.is_file():
            try:
                old = load_plan(path)
            except InputError as error:
                raise InputError(
                    f"{error}; delete that file and run the same command again, finished units stay"
                ) from None
            _refuse(self.folder, old, plan)
        text = dump(plan).encode()
        if not path.is_file() or path.read_bytes() != text:
            self._write(path, text)

    def _clear(self) -> None:
        """Remove temporary files and examples without rows; set unreadable rows aside, so that they run again."""
        for path in (*self.folder.glob(f"*{TEMPORARY}"), *self.units.glob(f"*{TEMPORARY}")):
            path.unlink()
        for path in sorted(self.units.glob("*.parquet")):
            try:
                _read(path)
            except pa.ArrowException as error:
                path.replace(path.with_name(path.name + ".corrupt"))
                warnings.warn(f"{str(path)!r} cannot be read ({error}); set aside, its samples run again", stacklevel=4)
        for path in self.units.glob("*.safetensors"):
            if not path.with_suffix(".parquet").is_file():
                path.unlink()

    def _tables(self) -> Iterator[pa.Table]:
        """The rows of every unit, in the order of the units' names."""
        for path in sorted(self.units.glob("*.parquet")):
            try:
                yield _read(path)
            except (
                pa.ArrowException,
                FileNotFoundError,
            ) as error:  # damaged since, or just set aside by another process
                warnings.warn(f"{str(path)!r} cannot be read ({error}); its rows are left out", stacklevel=3)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_durably(path, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise InputError(
                f"no space is left for {str(path)!r} ({error.strerror}); {len(self.done())} rows are safe, "
                "free some space and run the same command again: it goes on from there"
            ) from error


def _read(path: Path) -> pa.Table:
    """One unit's rows in the schema's columns; pyarrow.ArrowException where the file is damaged or something else."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise  # the file was not looked at
        raise pa.ArrowInvalid(str(error)) from None  # arrow complains about the content in many ways
    lacking = set(SCHEMA.names) - set(table.column_names)
    if lacking:
        raise pa.ArrowInvalid(f"it lacks the columns {', '.join(sorted(lacking))}")
    return table.select(SCHEMA.names).cast(SCHEMA)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def refuse_another(folder: Path, plan: Plan) -> None:
    """Raises InputError where the folder holds a run that differs from `plan` in more than its attacks; said before time is spent."""
    try:
        old = load_plan(folder / "plan.json")
    except InputError:  # there is none, or the store will say what is wrong with it
        return
    _refuse(folder, old, replace(plan, attacks=old.attacks, draws=old.draws))


def _refuse(folder: Path, old: Plan, plan: Plan) -> None:
    differing = conflicts(old, plan)
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise InputError(f"{str(folder)!r} holds another run: {', '.join(differing[:3])}{more}; give another --out")
