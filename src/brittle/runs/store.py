"""The run folder: a plan, finished units, and one line for each start. A file that exists is complete, and sealed (see seal.py).

    plan.json                     the plan and what it resolved to
    invocations.jsonl             one line a start
    diagnosis.json                what was found on the model itself, where it was looked at
    units/<id>.parquet            the rows of one unit
    units/<id>.safetensors        its kept examples, written before the rows
    failed/<n>-<id>.parquet       of the n-th start: rows that ended in an error, and rows of later stages, which rest on them

Every file is written to a temporary name beside it, synced to the disk and renamed. Whatever kills the process, what is
found afterwards is whole, and what is not found runs again. An error is no verdict: the next start tries again, and what it finds
takes the error's place.
"""

from __future__ import annotations

import errno
import os
import platform
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from ..errors import InputError, printable
from ..files import TEMPORARY, write_durably
from ..outside import reading
from . import seal
from .cells import Unit, cells, sample_ids
from .extension import conflicts
from .lying import Damaged, listed, named, parsed
from .noted import Invocation, Noted, Resolved, checked
from .plan import Plan, dump, plan_from
from .rows import Row, from_table
from .units import Arrays, examples_from_bytes, examples_to_bytes, rows_from_bytes, rows_to_bytes

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SET_ASIDE = ".corrupt"


def _warned(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)


class Store:
    """A run folder: `Store(folder)` reads it, `with Store(folder).open(plan) as store:` also writes.

    Readers leave out what is damaged and say so to `left_out`, by default as a warning.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.units = self.folder / "units"
        self.failed = self.folder / "failed"
        self._lock = FileLock(self.folder / ".lock", timeout=0)
        self._start = 1  # one more than that of any start whose failures are there

    def open(self, plan: Plan) -> Self:
        """Take the folder for this process, make it ready for `plan`, and clear away what a crash left behind.

        Raises InputError when the folder cannot be made, when another process is running in it, when something in it cannot be read, or
        when it holds a run that `plan` does not extend (see `extension.conflicts`).
        """
        name = named(self.folder)
        with reading(f"{name} cannot hold a run", "give another --out"):
            try:
                for folder in (self.units, self.failed):
                    folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
            except Timeout:
                raise InputError(f"another process is running in {name}; wait for it, or give another --out") from None
        try:
            with reading(f"the run in {name} cannot be gone on with", "mend that, or give another --out"):
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
        """The plan of this run. InputError when the folder holds none, or one that is damaged."""
        path = self.folder / "plan.json"
        with reading(f"{named(self.folder)} cannot be looked at", "give what --out named"):
            if not os.path.lexists(path):
                raise InputError(f"{named(self.folder)} holds no run: it has no plan.json; give what --out named")
        try:
            return parsed(path, lambda data: _whole(plan_from(seal.from_json(data))))
        except InputError as error:
            raise InputError(
                f"{error}; delete that file and run the same command again, finished units stay"
            ) from error

    def write(self, unit: Unit, rows: Sequence[Row], kept: Arrays, resting: Collection[int] = ()) -> None:
        """Make a unit durable: `kept` (x_adv (K, *S) float32 and id (K,) int64; nothing when K = 0), then the rows.

        Error rows, and those of the samples `resting` on one, are kept apart, without examples, until a start tries them again.
        Raises InputError when the disk is full; nothing half-written stays, and all earlier units are safe.
        """
        apart = [row for row in rows if row.error or row.id in resting]
        good = [row for row in rows if not row.error and row.id not in resting]
        if good:
            done = Unit(unit.cell, tuple(row.id for row in good))
            wanted = np.isin(kept.get("id", np.zeros(0, np.int64)), done.ids)
            if wanted.any():
                examples = {name: array[wanted] for name, array in kept.items()}
                self._write(self.units / f"{done.id}.safetensors", examples_to_bytes(unit.cell.key, examples))
            self._write(self.units / f"{done.id}.parquet", rows_to_bytes(good))
        if apart:
            name = f"{self._start:06d}-{Unit(unit.cell, tuple(row.id for row in apart)).id}.parquet"
            self._write(self.failed / name, rows_to_bytes(apart))

    def settle(self) -> None:
        """Forget what failed in earlier starts: this one has tried all of it again."""
        for path in listed(self.failed, ".parquet"):
            if path.name < f"{self._start:06d}":
                path.unlink()

    def done(self) -> set[tuple[str, int]]:
        """(cell key, id) of every row that is a verdict."""
        found: set[tuple[str, int]] = set()
        for table in self._tables(listed(self.units, ".parquet"), _warned):
            found.update(zip(table["cell"].to_pylist(), table["id"].to_pylist(), strict=True))
        return found

    def of(self, wanted: Collection[str]) -> dict[str, dict[int, Row]]:
        """The verdicts on some cells by cell key and sample id."""
        found: dict[str, dict[int, Row]] = {key: {} for key in wanted}
        for table in self._tables(listed(self.units, ".parquet"), _warned):
            for row in from_table(table.filter(pc.is_in(table["cell"], pa.array(sorted(wanted), pa.string())))):
                found[row.cell].setdefault(row.id, row)
        return found

    def tables(self, left_out: Callable[[str], None] = _warned) -> Iterator[pa.Table]:
        """The rows of every unit, then those that failed, the latest first: of several rows of a cell and id the first one counts."""
        yield from self._tables(listed(self.units, ".parquet"), left_out)
        yield from self._tables(listed(self.failed, ".parquet")[::-1], left_out)

    def rows(self, plan: Plan | None = None) -> list[Row]:
        """One row for each (cell, id) of the plan (by default the folder's) that is there: cells in its order, ids ascending.

        A verdict takes precedence over an error row. Attacks bear the names and roles of the plan, which may have been changed since the
        row was written.
        """
        plan = plan or self.plan()
        chosen: dict[tuple[str, int], Row] = {}
        for table in self.tables():
            for row in from_table(table):
                chosen.setdefault((row.cell, row.id), row)
        found: list[Row] = []
        for cell in cells(plan):
            mine = (chosen[cell.key, i] for i in sample_ids(plan) if (cell.key, i) in chosen)
            same = {name: value for name, value in cell.columns.items() if name != "cell"}
            found += (
                row if all(getattr(row, name) == value for name, value in same.items()) else replace(row, **same)
                for row in mine
            )
        return found

    def kept(self, left_out: Callable[[str], None] = _warned) -> dict[str, dict[int, np.ndarray[Any, Any]]]:
        """Kept examples by cell key and id, each (*S) float32; only of units that are complete."""
        found: dict[str, dict[int, np.ndarray[Any, Any]]] = {}
        for path in listed(self.units, ".safetensors"):
            if not os.path.lexists(path.with_suffix(".parquet")):
                continue
            try:
                key, examples = parsed(path, examples_from_bytes)
            except InputError as error:
                left_out(f"{error}; its examples are left out")
                continue
            found.setdefault(key, {}).update(examples)
        return found

    def noted(self, left_out: Callable[[str], None] = _warned) -> Mapping[str, Any]:
        """What `note` kept, in the form of `noted.Noted`; empty where there is nothing, or something damaged."""
        path = self.folder / "diagnosis.json"
        if not os.path.lexists(path):
            return {}
        try:
            return parsed(path, lambda data: checked(seal.from_json(data), Noted))
        except InputError as error:
            left_out(f"{error}; what was found on the model itself is left out")
            return {}

    def invocations(self, left_out: Callable[[str], None] = _warned) -> tuple[Mapping[str, Any], ...]:
        """Every start, in the form of `noted.Invocation`; damaged lines are left out."""
        path = self.folder / "invocations.jsonl"
        if not os.path.lexists(path):
            return ()
        found: list[Mapping[str, Any]] = []
        try:
            lines = parsed(path, lambda data: data.splitlines(keepends=True))
        except InputError as error:
            lines = []
            left_out(f"{error}; when the run was started is left out")
        for number, line in enumerate(lines, 1):
            try:
                with reading(f"line {number} of {named(path)} cannot be read", "it is left out"):
                    found.append(checked(seal.from_json(line), Invocation))
            except InputError as error:
                left_out(str(error))
        return tuple(found)

    def invocation(self, *, command: str, started: datetime, seconds: float, workers: int, device: str = "cpu") -> None:
        """Append one line to invocations.jsonl: what was started, when, for how long, with which versions, on what."""
        versions = {name: _version(name) for name in ("brittle", "torch", "numpy", "pyarrow")}
        machine = {
            "platform": platform.platform(),
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        }
        line = Invocation(
            printable(command),
            started.isoformat(timespec="seconds"),
            round(seconds, 3),
            {"python": platform.python_version(), **versions},
            {**machine, "device": device},
            workers,
        )
        path = self.folder / "invocations.jsonl"
        earlier = parsed(path, bytes) if os.path.lexists(path) else b""
        self._write(path, earlier + seal.to_json(asdict(line)))

    def note(self, diagnosis: Mapping[str, Any]) -> None:
        """Keep what was found on the model itself, in diagnosis.json; what was there before gives way."""
        self._write(self.folder / "diagnosis.json", seal.to_json(diagnosis, indent=2))

    def _adopt(self, plan: Plan) -> None:
        path = self.folder / "plan.json"
        if os.path.lexists(path):
            old = self.plan()
            _refuse(self.folder, old, plan)
            if old == plan:
                return
        self._write(path, dump(plan).encode())

    def _clear(self) -> None:
        """Remove temporary files and examples without rows; set damaged rows aside, so that they run again."""
        for folder in (self.folder, self.units, self.failed):
            for path in listed(folder, TEMPORARY):
                path.unlink()
        starts = [path.name.partition("-")[0] for path in listed(self.failed, ".parquet")]
        self._start = 1 + max((int(start) for start in starts if start.isdecimal()), default=0)
        for path in listed(self.units, ".parquet"):
            try:
                parsed(path, rows_from_bytes)
            except Damaged as error:
                path.replace(path.with_name(path.name + _SET_ASIDE))
                _warned(f"{error}; set aside, its samples run again")
            except InputError as error:
                raise InputError(f"{error}; mend that, or move it away, and run the same command again") from error
        for path in listed(self.units, ".safetensors"):
            if not os.path.lexists(path.with_suffix(".parquet")):
                path.unlink()

    def _tables(self, paths: Sequence[Path], left_out: Callable[[str], None]) -> Iterator[pa.Table]:
        for path in paths:
            try:
                yield parsed(path, rows_from_bytes)
            except InputError as error:  # damaged since, or just taken away by another process
                left_out(f"{error}; its rows are left out")

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_durably(path, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise InputError(
                    f"{named(path)} cannot be written ({error.strerror}); see that the folder is yours"
                ) from error
            raise InputError(
                f"no space is left for {named(path)} ({error.strerror}); {len(self.done())} rows are safe, "
                "free some space and run the same command again: it goes on from there"
            ) from error


def _whole(plan: Plan) -> Plan:
    """The plan, if it is one that can have run; an exception where not."""
    checked(plan.resolved, Resolved)
    for cell in cells(plan):
        checked(cell.columns, dict[str, str | float])
    return plan


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def refuse_another(folder: Path, plan: Plan) -> None:
    """Raises InputError where the folder holds a run that differs from `plan` in more than its attacks; said before time is spent."""
    try:
        old = Store(folder).plan()
    except InputError:  # there is none, or the store will say what is wrong with it
        return
    _refuse(folder, old, replace(plan, attacks=old.attacks, draws=old.draws))


def _refuse(folder: Path, old: Plan, plan: Plan) -> None:
    differing = conflicts(old, plan)
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise InputError(f"{named(folder)} holds another run: {', '.join(differing[:3])}{more}; give another --out")
