"""Run what a plan still lacks, in this process or in several, and write every unit as soon as it is finished."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from ..errors import InputError, Unreachable, printable
from .cells import Cell, Unit, cells, missing, sample_ids, units_of
from .chain import carried, joined, settled
from .plan import Plan
from .rows import Row
from .store import Store
from .units import Arrays

LONGEST = 2000  # characters of an error that are kept


class Task(Protocol):
    """Runs samples of a cell: rows in the order of `ids`, and examples `x_adv` (K, *S) float32 with `id` (K,) int64.

    A row may depend on the cell and its id alone, never on who else is in `ids`: shards, batches and processes then
    change nothing.
    """

    def run(self, cell: Cell, ids: Sequence[int]) -> tuple[list[Row], dict[str, np.ndarray[Any, Any]]]: ...


Build = Callable[[Plan], Task]
Progress = Callable[[int, int, str], None]  # rows done, rows in all, name of the cell


def run(
    plan: Plan,
    store: Store,
    task: Task,
    *,
    workers: int = 1,
    build: Build | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Bring the open `store` to completion; only what is missing runs. The rows are then in the store, and not in memory.

    With `workers` > 1 that many processes run units side by side, each with its own task from `build(plan)`; `build`
    must then be a function that another process can import. An exception costs only the samples that raise it: they
    become error rows, which are no verdicts: they are kept apart, and the next start tries them again, with the rows of later stages, which
    rest on them. But when nothing at all has worked so far and a whole
    unit fails for one and the same reason, that reason is raised as InputError instead. Ctrl-C leaves every finished
    unit on the disk.
    """
    done = store.done()
    lacking = [(cell, missing(plan, cell, done)) for cell in cells(plan)]
    clean, chained = lacking[0][0], [(cell, ids) for cell, ids in lacking if cell.after and ids]
    needed = {key for cell, _ in chained for key in (clean.key, cell.after)}
    total = len(lacking) * len(sample_ids(plan))
    book = _Book(
        store=store,
        keep={*sample_ids(plan)[: plan.keep]},
        known=store.of(needed) if needed else {},
        finished=total - sum(len(ids) for _, ids in lacking),
        total=total,
        on_progress=on_progress,
    )
    try:
        with _engine(plan, task, workers, build) as outcomes:
            units = [unit for cell, ids in lacking if not cell.after for unit in units_of(cell, ids, plan.shard)]
            for outcome in _unless_nothing_works(outcomes(units), bool(done), len(sample_ids(plan)) == 1):
                book.enter(outcome)
            for cell, ids in chained:
                before, untouched = book.known[cell.after], book.known[clean.key]
                over = [i for i in ids if settled(before[i], untouched[i], cell.reach)]
                if over:
                    book.enter(_Outcome(Unit(cell, tuple(over)), [carried(before[i], cell) for i in over], {}))
                for outcome in outcomes(units_of(cell, sorted({*ids} - {*over}), plan.shard)):
                    book.enter(_joined(before, outcome))
                if cell.after != clean.key:
                    del book.known[cell.after]  # only its successor asks for it
    except BrokenProcessPool:
        raise InputError(
            f"a worker process died, perhaps for lack of memory; {len(store.done())} rows are safe, "
            "run the same command again with fewer workers or a smaller batch size"
        ) from None
    store.settle()


@dataclass(frozen=True)
class _Outcome:
    unit: Unit
    rows: list[Row]
    kept: Arrays


@dataclass(kw_only=True)
class _Book:
    """Enters what is finished: into the store, into what later stages ask for, and into the count."""

    store: Store
    keep: set[int]
    known: dict[str, dict[int, Row]]  # by cell and id, of the cells that a later stage asks for
    finished: int  # rows
    total: int
    on_progress: Progress | None
    failed: dict[str, set[int]] = field(
        default_factory=dict
    )  # by cell: ids without a verdict, and those that rest on such a row

    def enter(self, outcome: _Outcome) -> None:
        unit, rows = outcome.unit, outcome.rows
        resting = self.failed.get(unit.cell.after, set())
        self.store.write(unit, rows, _chosen(outcome.kept, self.keep), resting)
        self.failed.setdefault(unit.cell.key, set()).update(row.id for row in rows if row.error or row.id in resting)
        if unit.cell.key in self.known:
            self.known[unit.cell.key].update((row.id, row) for row in rows)
        self.finished += len(rows)
        if self.on_progress:
            self.on_progress(self.finished, self.total, unit.cell.name)


def _unless_nothing_works(outcomes: Iterator[_Outcome], worked: bool, alone: bool) -> Iterator[_Outcome]:
    """The outcomes; InputError where nothing has worked yet and a whole unit, of more than one sample unless it is `alone`, fails alike."""
    for outcome in outcomes:
        worked = worked or any(not row.error for row in outcome.rows)
        errors = {row.error for row in outcome.rows}
        if not worked and len(errors) == 1 and (len(outcome.rows) > 1 or alone):
            raise InputError(errors.pop())
        yield outcome


def _joined(before: dict[int, Row], outcome: _Outcome) -> _Outcome:
    """What a stage found, joined with what was known of its samples; its examples where they are the better ones."""
    rows = [joined(before[row.id], row) for row in outcome.rows]
    fresh = {row.id for row, new in zip(rows, outcome.rows, strict=True) if row.margin == new.margin}
    return _Outcome(outcome.unit, rows, _chosen(outcome.kept, fresh))


def _attempt(task: Task, unit: Unit) -> _Outcome:
    """Run a unit; where it fails, its halves, down to the samples that fail alone: these become error rows."""
    try:
        rows, kept = task.run(unit.cell, unit.ids)
        if [row.id for row in rows] != list(unit.ids):
            raise RuntimeError(f"the task returned rows for {[row.id for row in rows]} instead of {list(unit.ids)}")
        return _Outcome(unit, rows, kept)
    except (Unreachable, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a library's panic and a model's sys.exit are no Exception
        sentence = _sentence(error)
    # Outside the except block: the frames of the failure, and the memory they hold, are gone by now.
    if len(unit.ids) == 1:
        return _Outcome(unit, [_error_row(unit.cell, unit.ids[0], sentence)], {})
    middle = len(unit.ids) // 2
    halves = [_attempt(task, Unit(unit.cell, ids)) for ids in (unit.ids[:middle], unit.ids[middle:])]
    arrays = [half.kept for half in halves if half.kept]
    kept = {name: np.concatenate([a[name] for a in arrays]) for name in (arrays[0] if arrays else ())}
    return _Outcome(unit, halves[0].rows + halves[1].rows, kept)


def _sentence(error: BaseException) -> str:
    said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return printable(said[:LONGEST])


def _error_row(cell: Cell, index: int, sentence: str) -> Row:
    return Row(**cell.columns, id=index, label=-1, error=sentence)


def _chosen(kept: Arrays, keep: set[int]) -> Arrays:
    """The examples of the samples in `keep`; a task may give more."""
    if "id" not in kept:
        return {}
    wanted = np.isin(kept["id"], list(keep))
    return {name: array[wanted] for name, array in kept.items()}


@contextmanager
def _engine(
    plan: Plan, task: Task, workers: int, build: Build | None
) -> Iterator[Callable[[list[Unit]], Iterator[_Outcome]]]:
    """From units to their outcomes as they come, in this process or in several."""
    if workers > 1:
        with _pool(plan, workers, build) as outcomes:
            yield outcomes
    else:
        yield lambda units: (_attempt(task, unit) for unit in units)


@contextmanager
def _pool(plan: Plan, workers: int, build: Build | None) -> Iterator[Callable[[list[Unit]], Iterator[_Outcome]]]:
    """The workers live only while this process holds one end of a pipe."""
    try:
        if build is None:
            raise TypeError("it is given as an object")
        pickle.dumps(build)
    except Exception as error:  # pickle raises many kinds
        raise InputError(
            f"workers={workers} needs a victim that every process can open for itself ({error}); name it by a string, "
            "or give workers=1"
        ) from None
    context = multiprocessing.get_context("spawn")
    listening, held = context.Pipe(duplex=False)
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(plan, build, threads, listening))

    def outcomes(units: list[Unit]) -> Iterator[_Outcome]:
        queue = iter(units)
        pending = {pool.submit(_work, unit) for unit in islice(queue, 2 * workers)}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(_work, unit) for unit in islice(queue, len(finished))}
            for future in finished:
                yield future.result()

    try:
        yield outcomes
        pool.shutdown()
    finally:
        held.close()  # after an interruption this ends the workers at once, in the middle of what they do
        listening.close()
        pool.shutdown(cancel_futures=True)


_plan_and_build: tuple[Plan, Build]
_task: Task | None = None  # this worker's own


def _start(plan: Plan, build: Build, threads: int, listening: Connection) -> None:
    """Set up a worker process."""
    import signal

    import torch

    global _plan_and_build
    _plan_and_build = plan, build
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, args=(listening,), daemon=True).start()


def _end_with_parent(listening: Connection) -> None:
    """Wait for the other end of the pipe to close: the parent is done with us, or dead."""
    listening.poll(None)
    os._exit(1)


def _work(unit: Unit) -> _Outcome:
    """Run one unit in a worker, opening the victim first if that was not yet done."""
    global _task
    if _task is None:
        plan, build = _plan_and_build
        try:
            _task = build(plan)
        except Exception as error:  # not every exception survives the way to the parent; its sentence does
            raise InputError(_sentence(error)) from None
    return _attempt(_task, unit)
