"""Whatever kills a run, what it wrote is whole, and resuming it gives the rows of a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from brittle.runs.store import Store
from fake_task import content, finish, large, temporaries

TESTS = Path(__file__).parent


def start(folder: Path, seconds: float, workers: int = 1, **options: Any) -> subprocess.Popen[bytes]:
    code = "import fake_task; fake_task.main()"
    return subprocess.Popen([sys.executable, "-c", code, str(folder), str(seconds), str(workers)], cwd=TESTS, **options)


def wait_for_rows(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while len(list((folder / "units").glob("*.parquet"))) < count:
        assert process.poll() is None, "it ended early"
        time.sleep(0.01)


def undisturbed(folder: Path, seconds: float) -> object:
    finish(folder, large(str(seconds)))
    return content(folder)


def killed_and_resumed(folder: Path, kills: int, seconds: float, seed: int, workers: int = 1) -> None:
    """Kill `kills` times at random moments around the writing of the first new units, then let it finish."""
    rng = random.Random(seed)
    for _ in range(kills):
        there = len(list((folder / "units").glob("*.parquet")))
        process = start(folder, seconds, workers)
        try:
            wait_for_rows(folder, there + 1, process)
            time.sleep(rng.uniform(0, 2 * seconds))
        finally:
            process.kill()
            process.wait()
        before = Store(folder).done()
        assert len(before) >= there, "rows were lost"
    assert start(folder, seconds, workers).wait(timeout=120) == 0


@pytest.mark.slow
def test_killed_at_random_moments_the_rows_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path / "run", kills=6, seconds=0.02, seed=0)
    assert content(tmp_path / "run") == undisturbed(tmp_path / "whole", 0.02)
    assert not list(temporaries(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "workers"), [(30, 1), (5, 2)])
def test_killed_many_times(tmp_path: Path, kills: int, workers: int) -> None:
    killed_and_resumed(tmp_path / "run", kills, seconds=0.01, seed=kills, workers=workers)
    assert content(tmp_path / "run") == undisturbed(tmp_path / "whole", 0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "points"), [("exit", 7 * 8), ("full", 7 * 5)])  # a plan, 4 units, 2 with examples
def test_a_run_may_end_at_every_single_write_point(mode: str, points: int) -> None:
    code = f"import fake_task; print(fake_task.every_write_point({mode!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == points


def test_a_file_size_limit_is_a_sentence_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from fake_task import finish, plan_of
finish(Path(sys.argv[1]), plan_of(samples=3))
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
finish(Path(sys.argv[1]), plan_of(samples=60, shard=60))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=TESTS, capture_output=True, text=True)
    assert "15 rows are safe" in done.stderr.splitlines()[-1]
    assert "again" in done.stderr.splitlines()[-1]
    assert not list(temporaries(tmp_path))
    assert len(Store(tmp_path).rows()) == 15


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    process = start(tmp_path, 0.1, workers=2)
    wait_for_rows(tmp_path, 1, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.slow
def test_an_interrupt_ends_the_run_and_its_workers_at_once_and_loses_no_unit(tmp_path: Path) -> None:
    process = start(tmp_path, 60, workers=2, stderr=subprocess.PIPE, start_new_session=True)
    wait_for_rows(tmp_path, 20, process)  # all of clean; every further unit takes a minute
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr == b""
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert len(Store(tmp_path).done()) == 60
    assert not list(temporaries(tmp_path))


def test_a_second_process_is_told_that_the_folder_is_taken(tmp_path: Path) -> None:
    process = start(tmp_path, 0.2)
    try:
        wait_for_rows(tmp_path, 1, process)
        code = "import fake_task; fake_task.main()"
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), "0.2", "1"], cwd=TESTS, capture_output=True, text=True
        )
        assert second.returncode == 1
        assert "another process is running in" in second.stderr.splitlines()[-1]
    finally:
        process.kill()
        process.wait()
    with Store(tmp_path).open(large("0.2")) as store:  # a dead process holds no folder
        assert store.rows()
