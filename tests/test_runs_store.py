"""The run folder: what is written is read back, what is damaged is set aside, what is not this run's is refused."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from brittle.errors import InputError
from brittle.runs.cells import cells, missing, units_of
from brittle.runs.plan import AttackEntry
from brittle.runs.store import Store
from brittle.runs.values import encode
from fake_task import Ascent, FakeTask, content, facts, finish, plan_of, temporaries


def test_rows_come_in_the_order_of_cells_and_ids(tmp_path: Path) -> None:
    rows = finish(tmp_path, plan_of())
    assert [(row.cell, row.id) for row in rows] == [(cell.key, i) for cell in cells(plan_of()) for i in range(7)]
    assert facts(Store(tmp_path).rows()) == facts(rows)


def test_a_folder_whose_name_looks_like_a_partition_reads_the_same(tmp_path: Path) -> None:
    assert facts(finish(tmp_path / "eps=3" / "id=4", plan_of())) == facts(finish(tmp_path / "plain", plan_of()))


def test_the_first_examples_of_every_cell_are_kept(tmp_path: Path) -> None:
    task = FakeTask()
    finish(tmp_path, plan_of(keep=4), task)
    kept = Store(tmp_path).kept()
    assert {key: sorted(by_id) for key, by_id in kept.items()} == {c.key: [0, 1, 2, 3] for c in cells(plan_of())}
    cell = cells(plan_of())[2]
    _, arrays = task.run(cell, [2, 3])
    assert kept[cell.key][3].dtype == np.float32
    np.testing.assert_array_equal(kept[cell.key][3], arrays["x_adv"][1])


def test_nothing_is_kept_when_nothing_shall_be(tmp_path: Path) -> None:
    finish(tmp_path, plan_of(keep=0))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other columns"])
def test_damaged_rows_are_set_aside_and_run_again(tmp_path: Path, damage: str) -> None:
    finish(tmp_path, plan_of())
    expected = content(tmp_path)
    path = sorted((tmp_path / "units").glob("*.parquet"))[3]
    data = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        path.write_bytes(data[:40] + bytes([data[40] ^ 255]) + data[41:])
    else:
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["margin"]), path)
    with pytest.warns(UserWarning, match="its rows are left out"):
        assert len(Store(tmp_path).rows()) < len(expected["rows"])  # reading alone moves nothing
    task = FakeTask()
    with pytest.warns(UserWarning, match="set aside"):
        finish(tmp_path, plan_of(), task)
    assert 1 <= len(task.calls) <= 3
    assert content(tmp_path) == expected
    assert len(list(tmp_path.rglob("*.corrupt"))) == 1


def test_no_flipped_byte_passes_for_other_rows(tmp_path: Path) -> None:
    finish(tmp_path, plan_of())
    expected = set(facts(Store(tmp_path).rows()))
    path = min((tmp_path / "units").glob("*.parquet"))
    data = path.read_bytes()
    lost = 0
    for position in range(0, len(data), 97):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = set(facts(Store(tmp_path).rows()))
        assert found <= expected
        assert bool(caught) == (found != expected)
        lost += found != expected
    assert lost > 20


def test_what_a_crash_left_is_never_read_and_goes(tmp_path: Path) -> None:
    finish(tmp_path, plan_of())
    expected = content(tmp_path)
    units = tmp_path / "units"
    (units / "abc.parquet.tmp").write_bytes(b"half")
    (tmp_path / "plan.json.tmp").write_bytes(b"{")
    some = next(units.glob("*.safetensors"))
    (units / "without-rows.safetensors").write_bytes(some.read_bytes())
    assert content(tmp_path) == expected
    finish(tmp_path, plan_of())
    assert content(tmp_path) == expected
    assert not list(temporaries(tmp_path))
    assert not (units / "without-rows.safetensors").exists()


def test_unreadable_examples_are_left_out_with_a_warning(tmp_path: Path) -> None:
    finish(tmp_path, plan_of())
    next((tmp_path / "units").glob("*.safetensors")).write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(Store(tmp_path).kept()) == 4


def test_another_run_in_the_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    finish(tmp_path, plan_of())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"holds another run: seed was 0 and is 1; give another --out"):
        Store(tmp_path).open(plan_of(seed=1))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    finish(tmp_path, plan_of())  # the refusal has let go of the folder


def test_an_extended_plan_runs_only_what_is_new(tmp_path: Path) -> None:
    finish(tmp_path, plan_of(samples=4, grid=(0.2,)))
    more = (*plan_of().attacks, AttackEntry(name="more", value=encode(Ascent(steps=99))))
    task = FakeTask()
    rows = finish(tmp_path, plan_of(samples=6, attacks=more), task)
    assert len(rows) == 7 * 6
    assert len(task.calls) == 7 * 6 - 3 * 4
    assert facts(rows) == facts(finish(tmp_path / "whole", plan_of(samples=6, attacks=more)))


def test_a_renamed_attack_keeps_its_rows_under_the_new_name(tmp_path: Path) -> None:
    finish(tmp_path, plan_of())
    renamed = tuple(replace(entry, name=f"my {entry.name}") for entry in plan_of().attacks)
    task = FakeTask()
    rows = finish(tmp_path, plan_of(attacks=renamed), task)
    assert not task.calls
    assert {row.attack for row in rows} == {"clean", "my noise", "my ascent"}


def test_a_second_store_is_told_that_the_folder_is_taken(tmp_path: Path) -> None:
    with (
        Store(tmp_path).open(plan_of()),
        pytest.raises(InputError, match="another process is running in"),
    ):
        Store(tmp_path).open(plan_of())
    Store(tmp_path).open(plan_of()).close()


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot hold a run"):
        Store(tmp_path / "file").open(plan_of())
    with pytest.raises(InputError, match="holds no run"):
        Store(tmp_path / "nothing").rows()


def test_a_broken_plan_names_the_mend_and_the_mend_works(tmp_path: Path) -> None:
    rows = finish(tmp_path, plan_of())
    (tmp_path / "plan.json").write_bytes(b"")
    with pytest.raises(InputError, match="delete that file and run the same command again"):
        Store(tmp_path).open(plan_of())
    (tmp_path / "plan.json").unlink()
    task = FakeTask()
    assert facts(finish(tmp_path, plan_of(), task)) == facts(rows)
    assert not task.calls


def test_a_good_row_takes_the_place_of_an_error_row(tmp_path: Path) -> None:
    plan = plan_of(shard=7)
    with Store(tmp_path).open(plan) as store:
        cell = cells(plan)[0]
        unit = units_of(cell, missing(plan, cell, set()), plan.shard)[0]
        rows, kept = FakeTask().run(unit.cell, unit.ids)
        store.write(unit, [replace(row, error="it failed") if row.id in (2, 5) else row for row in rows], kept)
        assert {i for _, i in store.done()} == {0, 1, 3, 4, 6}
        again = units_of(cell, missing(plan, cell, store.done()), plan.shard)[0]
        assert again.ids == (2, 5)
        store.write(again, [rows[2], rows[5]], {})
        assert facts(store.rows()) == facts(rows)


def test_every_start_is_a_line(tmp_path: Path) -> None:
    with Store(tmp_path).open(plan_of()) as store:
        for workers in (1, 2):
            store.invocation(
                command="brittle evaluate", started=datetime(2024, 1, 2, tzinfo=UTC), seconds=1.5, workers=workers
            )
    lines = [json.loads(line) for line in (tmp_path / "invocations.jsonl").read_text().splitlines()]
    assert [line["workers"] for line in lines] == [1, 2]
    assert lines[0]["started"] == "2024-01-02T00:00:00+00:00"
    assert set(lines[0]["versions"]) == {"python", "brittle", "torch", "numpy", "pyarrow"}
    assert lines[0]["versions"]["torch"]
    assert set(lines[0]["machine"]) == {"platform", "cpu", "cores", "device"}
