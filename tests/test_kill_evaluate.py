"""A real evaluation, killed with SIGKILL at random moments and started again until it is done."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brittle.app.train import train_and_save
from brittle.runs.rows import Row
from brittle.runs.store import Store

KILLS = int(os.environ.get("BRITTLE_KILLS", "8"))


def _facts(folder: Path) -> list[Row]:
    return [dataclasses.replace(row, seconds=0.0) for row in Store(folder).rows()]


@pytest.mark.slow
def test_killed_and_resumed_an_evaluation_gives_the_rows_of_an_undisturbed_one(tmp_path: Path) -> None:
    """BRITTLE_KILLS sets how often; the run is made long enough, by small shards, to be killed in the middle."""
    train_and_save("digits", tmp_path / "net.safetensors", epochs=10)
    code = "import torch; torch.set_num_threads(1); from brittle.cli import main; main()"
    command = [sys.executable, "-c", code, "evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--grid"]
    command += ["0.05,0.1", "--attack", "uniform_noise", "--attack", "pgd:steps=300,stop=false", "--shard", "7"]

    def start(out: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--out", out], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    assert start("undisturbed").wait() == 0
    wanted, draw, kills, advanced = _facts(tmp_path / "undisturbed"), random.Random(0), 0, set()
    units = tmp_path / "killed" / "units"
    while kills < KILLS:
        process = start("killed")
        before, begun = len(list(units.glob("*.parquet"))) if units.exists() else 0, time.monotonic()
        while process.poll() is None and time.monotonic() - begun < 60:  # wait until it has written something new
            if units.exists() and len(list(units.glob("*.parquet"))) > before:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.25))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        advanced.add(len(list(units.glob("*.parquet"))))
    assert kills >= min(KILLS, 5)
    assert len(advanced) == kills  # every start went on from where the one before was killed
    assert start("killed").wait() == 0
    assert _facts(tmp_path / "killed") == wanted
