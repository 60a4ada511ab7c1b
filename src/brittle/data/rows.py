"""The rows of an array that stays in its file: what is asked for is read, and nothing is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
PART = 2**22  # bytes that are read at a time where everything is


def as_it_is(rows: Array) -> Array:
    return rows


@dataclass(frozen=True, eq=False)
class StoredRows:
    """An array (N, *S) of `dtype`, in the order of C, from byte `start` of a file on; indexed by a slice or an array of rows.

    shown: how a batch of its rows looks from outside, a function of arrays (B, *S). keep: held as long as the rows are, such as the
    temporary folder that the file lies in. Raises InputError where the file is no longer the one that was opened.
    """

    path: Path
    start: int
    dtype: np.dtype[Any]
    stored: tuple[int, ...]
    state: tuple[int, int]  # size and time of the file when it was opened, see `state_of`
    shown: Callable[[Array], Array] = as_it_is
    keep: tempfile.TemporaryDirectory[str] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.stored[0], *self.shown(np.empty((0, *self.stored[1:]), np.uint8)).shape[1:])

    def __len__(self) -> int:
        return self.stored[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        if isinstance(rows, slice):
            begin, end, _ = rows.indices(len(self))
            runs = [(begin, max(begin, end))]
        else:
            runs = list(_runs(rows))
        read = np.empty((sum(end - begin for begin, end in runs), *self.stored[1:]), self.dtype)
        place = 0
        with self.path.open("rb") as file:
            if state_of(os.fstat(file.fileno())) != self.state:
                raise InputError(f"{self.path} has changed since it was opened; open the data again")
            for begin, end in runs:
                part = read[place : place + end - begin]
                file.seek(self.start + begin * self._width)
                if file.readinto(part.data.cast("B") if part.size else b"") != part.nbytes:
                    raise InputError(f"{self.path} ends before its row {end}; open the data again")
                place += end - begin
        return self.shown(read)

    @property
    def _width(self) -> int:
        """Bytes of a row."""
        return prod(self.stored[1:]) * self.dtype.itemsize


def state_of(found: os.stat_result) -> tuple[int, int]:
    """What another file of the same name would differ in."""
    return found.st_size, found.st_mtime_ns


def parts(rows: Array | StoredRows) -> Iterator[Array]:
    """All rows in order, in pieces of so many bytes that memory does not grow with their number."""
    step = max(1, PART // max(1, prod(rows.shape[1:]) * rows.dtype.itemsize))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _runs(rows: Array) -> Iterator[tuple[int, int]]:
    """`[3, 4, 5, 9]` as (3, 6), (9, 10): rows that lie together are read together."""
    if not len(rows):
        return
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, breaks):
        yield int(run[0]), int(run[-1]) + 1
