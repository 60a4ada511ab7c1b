"""What a remote model was asked and answered, on the disk: no crash makes a question be paid for twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...files import make_folder, regular_file, status
from ...outside import reading

Answer = np.ndarray[Any, np.dtype[np.float32]]


class OverBudget(InputError):
    """The budget does not allow so many rows more; nothing was sent."""


_TABLES = """
create table if not exists answers (question blob primary key, answer blob not null) without rowid;
create table if not exists facts (name text primary key, value text not null) without rowid;
insert or ignore into facts values ('sent', '0');
"""


class Journal:
    """Answers by question, the count of rows that were sent, and facts about the model, in one SQLite file.

    Whatever was entered is synced to the disk before the call returns. Several processes may use one journal: they share the account.
    """

    def __init__(self, path: Path, model: str) -> None:
        """Open or make the file for the model of this digest. InputError where it holds another model's answers or cannot be used."""
        self.path = path
        make_folder(path.parent)
        if status(path) is not None:
            regular_file(path, "another file as journal=FILE")
        with self._used():
            self._base = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = full")  # WAL alone syncs at its checkpoints, not at every commit
            self._base.executescript(_TABLES)
        if self.fact("model", model) != model:
            raise InputError(f"the journal {path} holds another model's answers; give another file as journal=FILE")

    def answers(self, questions: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that there are, each (C,)."""
        found: dict[bytes, Answer] = {}
        with self._used():
            for start in range(0, len(questions), 500):  # SQLite takes so many values at once
                part = questions[start : start + 500]
                marks = ",".join("?" * len(part))
                rows = self._base.execute(f"select question, answer from answers where question in ({marks})", part)
                found.update((question, np.frombuffer(answer, np.float32)) for question, answer in rows)
            if len({len(answer) for answer in found.values()}) > 1:
                raise ValueError("its answers have different lengths")
        return found

    def enter(self, questions: Sequence[bytes], answers: Iterable[Answer]) -> None:
        """Keep an answer (C,) to each question."""
        rows = [(question, answer.tobytes()) for question, answer in zip(questions, answers, strict=True)]
        with self._transaction():
            self._base.executemany("insert or ignore into answers values (?, ?)", rows)

    @property
    def sent(self) -> int:
        """Rows sent so far, in all processes and all runs."""
        with self._used():
            return int(self._base.execute("select value from facts where name = 'sent'").fetchone()[0])

    def charge(self, rows: int, budget: int | None) -> None:
        """Enter rows as sent, before they are: a crash in between charges too much, never too little. OverBudget beyond the budget."""
        with self._transaction():
            sent = self.sent
            if budget is not None and sent + rows > budget:
                raise OverBudget(
                    f"the budget of {budget} rows does not allow {rows} more: {sent} were sent, as {self.path} says; "
                    "give a larger budget=, and another --out: what was answered is not asked again"
                )
            self._base.execute("update facts set value = ? where name = 'sent'", (str(sent + rows),))

    def refund(self, rows: int) -> None:
        """Take a charge back: no connection was made, so nothing was sent."""
        with self._transaction():
            self._base.execute("update facts set value = ? where name = 'sent'", (str(self.sent - rows),))

    def fact(self, name: str, found: Any = None) -> Any:
        """What is known under a name; what was `found` (plain data, if any) becomes known, unless something is."""
        if found is not None:
            with self._transaction():
                self._base.execute("insert or ignore into facts values (?, ?)", (name, json.dumps(found)))
        with self._used():
            row = self._base.execute("select value from facts where name = ?", (name,)).fetchone()
            return None if row is None else json.loads(row[0])

    @contextmanager
    def _used(self) -> Iterator[None]:
        with reading(f"the journal {self.path} cannot be used", "give another file as journal=FILE"):
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._used():
            self._base.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._base.execute("rollback")
                raise
            self._base.execute("commit")
