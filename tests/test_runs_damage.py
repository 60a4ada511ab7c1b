"""Damage in a run folder is never taken for content, whoever reads it: what was flipped is said, and the rest is as it was."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import brittle
from brittle.errors import InputError
from brittle.report.page import write_report
from brittle.report.read import read_kept, read_run
from brittle.runs.rows import from_table
from brittle.runs.seal import check, from_json, sealed, to_json
from brittle.runs.store import Store
from fake_task import FakeTask, content, facts, finish, plan_of
from report_synthetic import synthetic_plan, write_run


def flipped(path: Path, count: int) -> Iterator[tuple[int, int]]:
    """The file with one bit turned, in `count` places that are always the same; afterwards as it was."""
    data = path.read_bytes()
    for place in np.random.default_rng(5).permutation(8 * len(data))[:count].tolist():
        byte, bit = divmod(place, 8)
        path.write_bytes(data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :])
        yield byte, bit
    path.write_bytes(data)


def heard(read: Any) -> tuple[Any, list[str]]:
    """What was read, and the warnings of that; for a refusal, None and its sentence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read()
        except InputError as error:
            return None, [str(error)]
    return found, [str(warning.message) for warning in caught]


def test_every_flipped_bit_of_a_unit_is_found_by_both_readers_of_rows(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(40))
    unit = min((tmp_path / "units").glob("*.parquet"))
    lost = {(row.cell, row.id) for row in from_table(pq.read_table(unit))}
    rest = facts([row for row in Store(tmp_path).rows() if (row.cell, row.id) not in lost])
    for _ in flipped(unit, 60):
        for read in (lambda: Store(tmp_path).rows(), lambda: from_table(read_run(tmp_path).rows)):
            rows, said = heard(read)
            assert sorted(facts(rows)) == sorted(rest)
            assert [unit.name in sentence for sentence in said] == [True]


@pytest.mark.parametrize("name", ["plan.json", "diagnosis.json", "invocations.jsonl", "units/*.safetensors"])
def test_every_flipped_bit_of_the_other_files_is_found(tmp_path: Path, name: str) -> None:
    plan = synthetic_plan(12)
    write_run(tmp_path, plan)
    with Store(tmp_path).open(plan) as store:
        store.note({"key": "k", "findings": [], "forwards": 1.0, "backwards": 1.0, "samples": 8, "seconds": 1.0, "checks": [],
                    "stages": [], "proof": {"entry": None, "why_none": ""}})  # fmt: skip
    path = min(tmp_path.glob(name))
    for _ in flipped(path, 20):
        _, said = heard(lambda: read_kept(read_run(tmp_path)))
        assert len(said) == 1 or (path.suffix == ".jsonl" and said)  # a flipped line break is two lines
        assert path.name in said[0]


def test_a_damaged_unit_is_named_by_every_command_and_runs_again(tmp_path: Path) -> None:
    whole, run = write_run(tmp_path / "whole", synthetic_plan(12)), tmp_path / "run"
    shutil.copytree(whole, run)
    unit = min((run / "units").glob("*.parquet"))
    for _ in flipped(unit, 3):
        path, said = heard(lambda: brittle.export(run, tmp_path / "rows.json"))
        assert len(json.loads(path.read_text())) == 12 * 20
        assert unit.name in said[0]
        page, said = heard(lambda: write_report(run, tmp_path / "page.html"))
        assert unit.name in page.read_text()
        assert unit.name in said[0]
        found, said = heard(lambda: brittle.diff(whole, run))
        assert found is None
        assert "is not finished (240 of 252 rows; " in said[0]
        assert unit.name in said[0]


def test_what_was_set_aside_is_run_again_to_the_same_rows(tmp_path: Path) -> None:
    finish(tmp_path / "whole", plan_of())
    expected = content(tmp_path / "whole")
    for byte, bit in flipped(min((tmp_path / "whole" / "units").glob("*.parquet")), 12):
        folder = tmp_path / f"{byte}-{bit}"
        shutil.copytree(tmp_path / "whole", folder)
        task = FakeTask()
        _, said = heard(lambda folder=folder, task=task: finish(folder, plan_of(), task))
        assert "set aside, its samples run again" in said[0]
        assert 1 <= len(task.calls) <= 3
        assert content(folder) == expected


def test_no_command_reads_a_unit_but_by_the_one_reader() -> None:
    root = Path(brittle.__file__).parent
    readers = {
        path.relative_to(root).as_posix()
        for room in ("report", "runs", "cli")
        for path in (root / room).rglob("*.py")
        if any(
            word in path.read_text() for word in ("read_table", "ParquetFile", "safe_open", "safetensors.numpy import")
        )
    }
    assert readers == {"runs/units.py"}


def test_a_seal_covers_every_byte_and_is_asked_for() -> None:
    data = to_json({"a": 1, "text": "brittle-seal:" + "0" * 64})
    assert from_json(data)["a"] == 1
    with pytest.raises(ValueError, match="its seal is broken"):
        check(data.replace(b'"a": 1', b'"a": 2'))
    with pytest.raises(ValueError, match="no seal"):
        check(b"{}")
    with pytest.raises(ValueError, match="not an object"):
        from_json(sealed(b'["brittle-seal:' + b"0" * 64 + b'"]'))
