"""A task whose rows are plain functions of the cell and the id, and ways to kill a run of it. Needs no torch."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brittle import files
from brittle.errors import InputError
from brittle.runs.cells import Cell
from brittle.runs.plan import AttackEntry, Plan
from brittle.runs.rows import Row
from brittle.runs.runner import run
from brittle.runs.store import Store
from brittle.runs.values import encode


@dataclasses.dataclass(frozen=True)
class Ball:
    name: str
    eps: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ascent:
    steps: int = 10
    step: float | None = None
    weights: tuple[float, ...] = (0.5, 1.0)


def plan_of(samples: int | None = 7, **changes: Any) -> Plan:
    """Five cells: clean, noise and `ascent` at two radii each."""
    fields: dict[str, Any] = {
        "victim": "fake",
        "data": "fake",
        "threat": encode(Ball("linf", 0.2)),
        "eps": 0.2,
        "grid": (0.1, 0.2),
        "attacks": (
            AttackEntry(name="ascent", value=encode(Ascent())),
            AttackEntry(name="noise", role="noise", value=encode(Ascent(steps=0))),
        ),
        "samples": samples,
        "shard": 3,
        "keep": 2,
        "resolved": {"victim_digest": "v", "data_digest": "d", "source_digest": "s", "count": 60, "version": "1"},
    }
    return Plan(**{**fields, **changes})


class FakeTask:
    """Sleeps `seconds` in every unit (in clean ones 0.1 at most); the samples in `bad` raise what `raises` makes.

    `calls` lists what was run.
    """

    def __init__(
        self, seconds: float = 0.0, bad: Sequence[int] = (), raises: Callable[[int], BaseException] = RuntimeError
    ) -> None:
        self.seconds, self.bad, self.raises = seconds, frozenset(bad), raises
        self.calls: list[tuple[str, int]] = []

    def run(self, cell: Cell, ids: Sequence[int]) -> tuple[list[Row], dict[str, np.ndarray[Any, Any]]]:
        time.sleep(min(self.seconds, 0.1) if cell.role == "clean" else self.seconds)
        for i in ids:
            if i in self.bad:
                raise self.raises(str(i)) if self.raises is InputError else self.raises(i)
        self.calls += [(cell.key, i) for i in ids]
        noise = [np.random.default_rng([int(cell.key[:8], 16), i]) for i in ids]
        rows = [
            Row(
                cell=cell.key,
                attack=cell.name,
                role=cell.role,
                threat=cell.threat_name,
                eps=cell.eps,
                id=i,
                label=i % 3,
                success=bool(rng.random() < 0.5),
                size=float(rng.random()),
                seconds=time.perf_counter(),  # what may differ between runs
            )
            for i, rng in zip(ids, noise, strict=True)
        ]
        x_adv = np.stack([np.random.default_rng([7, int(cell.key[:8], 16), i]).random((2, 3)) for i in ids])
        return rows, {"x_adv": x_adv.astype(np.float32), "id": np.array(ids, dtype=np.int64)}


def build(plan: Plan) -> FakeTask:
    """For worker processes; the plan's data name may carry the seconds to sleep: `fake?seconds=0.1`."""
    if plan.victim == "missing":
        raise InputError("there is no victim 'missing'")
    if plan.victim == "fatal":
        os._exit(3)
    return FakeTask(float(plan.data.partition("seconds=")[2] or 0))


def facts(rows: Sequence[Row]) -> list[str]:
    """Rows as text without `seconds`, in their order (text, for nan equals nothing)."""
    return [repr(dataclasses.replace(row, seconds=0.0)) for row in rows]


def content(folder: Path) -> dict[str, Any]:
    """All that a finished run must reproduce: the rows and the kept examples."""
    store = Store(folder)
    kept = {f"{key}/{i}": x.tolist() for key, by_id in store.kept().items() for i, x in sorted(by_id.items())}
    return {"rows": facts(store.rows()), "kept": dict(sorted(kept.items()))}


def finish(folder: Path, plan: Plan, task: FakeTask | None = None, **options: Any) -> list[Row]:
    with Store(folder).open(plan) as store:
        run(plan, store, task or build(plan), **options)
        return store.rows()


def main() -> None:
    """FOLDER SECONDS WORKERS: run the larger plan; 130 after Ctrl-C, also where a shell started the tests in the background, which
    has its children ignore that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, seconds, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    try:
        finish(folder, large(seconds), workers=workers, build=build)
    except KeyboardInterrupt:
        sys.exit(130)


def large(seconds: str = "0") -> Plan:
    return plan_of(samples=60, data=f"fake?seconds={seconds}")


def small(shard: int = 2) -> Plan:
    attacks = (AttackEntry(name="ascent", value=encode(Ascent())),)
    return plan_of(samples=3, grid=(0.2,), attacks=attacks, keep=1, shard=shard)


def every_write_point(mode: str) -> int:
    """For k = 1, 2, ...: end a run at its k-th disk operation, look at what lies there, resume, compare; the last k.

    `mode` is "exit" (the process is gone, between any two instructions that matter) or "full" (from the k-th operation
    on the disk is full). Every run is a forked child of this process, which itself touches no thread pool.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _in_child(lambda: _save(root / "expected.json", (finish(root / "whole", small()), content(root / "whole"))[1]))
        expected = json.loads((root / "expected.json").read_text())
        for k in range(1, 1000):
            folder = root / str(k)
            code = _in_child(lambda k=k, folder=folder: _ended_at(k, mode, folder))
            if code == 0:
                return k - 1
            assert code == 9, f"{mode} at operation {k}: exit code {code}"
            resumed = _in_child(lambda folder=folder: _resumes(folder, expected))
            assert resumed == 0, f"{mode} at operation {k}: what was resumed differs"
    raise AssertionError("no end")


def _resumes(folder: Path, expected: dict[str, Any]) -> None:
    there = Store(folder).done() if (folder / "plan.json").is_file() else set()
    task = FakeTask()
    finish(folder, small(shard=3), task)
    assert there.isdisjoint(task.calls), "what was done ran again"
    assert len(set(task.calls)) == len(task.calls)
    assert content(folder) == expected
    assert not list(folder.rglob("*.tmp"))


def _ended_at(k: int, mode: str, folder: Path) -> None:
    operations = iter(range(1, 100000))

    def point() -> None:
        at = next(operations)
        if mode == "exit" and at == k:
            os._exit(9)
        if mode == "full" and at >= k:
            raise OSError(errno.ENOSPC, "No space left on device")

    class File:
        def __init__(self, path: Path, how: str) -> None:
            self.file = builtins.open(path, how, buffering=0)  # noqa: SIM115

        def __enter__(self) -> File:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            point()
            self.file.write(data[: len(data) // 2])
            point()
            self.file.write(data[len(data) // 2 :])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    def before_and_after(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            point()
            result = function(*arguments)
            if mode == "exit":  # an operation that has succeeded does not fail
                point()
            return result

        return called

    files.open = File  # type: ignore[attr-defined]
    os.replace, os.fsync = before_and_after(os.replace), before_and_after(os.fsync)
    try:
        finish(folder, small())
    except InputError as error:
        stopped = str(error)
    else:
        return
    assert mode == "full", stopped
    assert f" {len(Store(folder).done())} rows are safe" in stopped, stopped
    assert not list(temporaries(folder))
    os._exit(9)


def _in_child(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _save(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data))


def temporaries(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.tmp")
