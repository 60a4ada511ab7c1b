"""The runner: rows depend on nothing but the plan, and one bad sample costs one row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.errors import InputError, MissingPackage
from brittle.runs.cells import cells
from brittle.runs.store import Store
from fake_task import FakeTask, build, content, facts, finish, plan_of


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=3),
    st.permutations(plan_of().attacks),
    st.integers(1, 300),
)
def test_shards_extensions_and_order_change_no_row(starts: Any, attacks: Any, batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = finish(folder / "whole", plan_of())
        for shard, samples in sorted(starts, key=lambda start: start[1]):
            finish(folder / "run", plan_of(samples, shard=shard, attacks=tuple(attacks)))
        rows = finish(folder / "run", plan_of(attacks=tuple(attacks), batch_size=batch_size))
        assert sorted(facts(rows)) == sorted(facts(expected))
        assert Store(folder / "run").kept().keys() == Store(folder / "whole").kept().keys()


@pytest.mark.slow
def test_two_workers_write_the_rows_of_one(tmp_path: Path) -> None:
    finish(tmp_path / "one", plan_of())
    seen: list[tuple[int, int]] = []
    finish(
        tmp_path / "two",
        plan_of(),
        workers=2,
        build=build,
        on_progress=lambda done, total, _: seen.append((done, total)),
    )
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (35, 35)


def test_progress_counts_what_is_there_already_and_names_the_cell(tmp_path: Path) -> None:
    finish(tmp_path, plan_of(samples=3))
    seen: list[tuple[int, int, str]] = []
    finish(tmp_path, plan_of(samples=7, shard=4), on_progress=lambda *progress: seen.append(progress))
    names = ("clean", "noise", "noise", "ascent", "ascent")
    assert seen == [(15 + 4 * (k + 1), 35, name) for k, name in enumerate(names)]


@pytest.mark.parametrize("raises", [RuntimeError, MemoryError, InputError, KeyError])
def test_one_bad_sample_costs_one_row_in_each_cell(tmp_path: Path, raises: type[Exception]) -> None:
    task = FakeTask(bad=[4], raises=raises)
    rows = finish(tmp_path / "bad", plan_of(shard=7, keep=7), task)
    good = finish(tmp_path / "good", plan_of(shard=7, keep=7))
    assert facts([r for r in rows if r.id != 4]) == facts([r for r in good if r.id != 4])
    spoiled = [r for r in rows if r.id == 4]
    assert [r.cell for r in spoiled] == [c.key for c in cells(plan_of())]
    assert {r.error for r in spoiled} == {"4" if raises is InputError else f"{raises.__name__}: 4"}
    assert [(r.threat, r.role, r.success) for r in spoiled[:2]] == [("", "clean", False), ("linf", "noise", False)]
    kept = Store(tmp_path / "bad").kept()
    assert all(sorted(by_id) == [0, 1, 2, 3, 5, 6] for by_id in kept.values())


def test_what_failed_is_no_verdict_and_every_start_tries_it_once(tmp_path: Path) -> None:
    assert sum(bool(row.error) for row in finish(tmp_path, plan_of(), FakeTask(bad=[1, 4]))) == 10
    assert {i for _, i in Store(tmp_path).done()} == {0, 2, 3, 5, 6}
    still = FakeTask(bad=[4])
    rows = finish(tmp_path, plan_of(), still)
    assert sorted(i for _, i in still.calls) == [1] * 5
    assert {row.id for row in rows if row.error} == {4}
    healthy = FakeTask()
    rows = finish(tmp_path, plan_of(), healthy)
    assert sorted(i for _, i in healthy.calls) == [4] * 5
    assert facts(rows) == facts(finish(tmp_path / "whole", plan_of()))
    assert content(tmp_path)["kept"] == content(tmp_path / "whole")["kept"]
    assert not list((tmp_path / "failed").iterdir())


@pytest.mark.parametrize("samples", [7, 1])
def test_when_nothing_works_at_all_the_reason_is_raised_and_nothing_stored(tmp_path: Path, samples: int) -> None:
    def raises(_: int) -> Exception:
        return MissingPackage("onnx", "a victim of this kind", "onnx")

    with pytest.raises(InputError, match="needs the package onnx"):
        finish(tmp_path, plan_of(samples), FakeTask(bad=range(7), raises=raises))
    assert not Store(tmp_path).rows()


def test_an_attack_that_cannot_run_costs_its_own_rows_only(tmp_path: Path) -> None:
    class NoAscent(FakeTask):
        def run(self, cell: Any, ids: Any) -> Any:
            if cell.name == "ascent":
                raise InputError("this victim has no gradients")
            return super().run(cell, ids)

    rows = finish(tmp_path, plan_of(), NoAscent())
    assert {(row.attack, row.error) for row in rows} == {
        ("clean", ""),
        ("noise", ""),
        ("ascent", "this victim has no gradients"),
    }


def test_an_interrupt_is_not_an_error_row_and_keeps_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, plan_of(), FakeTask(bad=[4], raises=lambda _: KeyboardInterrupt()))
    assert [row.id for row in Store(tmp_path).rows()] == [0, 1, 2]
    assert len(finish(tmp_path, plan_of())) == 35


def test_a_task_that_answers_for_other_samples_is_found_out(tmp_path: Path) -> None:
    class Shuffled(FakeTask):
        def run(self, cell: Any, ids: Any) -> Any:
            return super().run(cell, ids[::-1])

    rows = finish(tmp_path, plan_of(shard=7), Shuffled())
    assert facts(rows) == facts(finish(tmp_path / "whole", plan_of()))  # alone, a sample cannot be mistaken


@pytest.mark.slow
def test_a_victim_that_no_worker_can_open_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no victim 'missing'"):
        finish(tmp_path / "a", plan_of(victim="missing"), FakeTask(), workers=2, build=build)
    with pytest.raises(InputError, match="a worker process died, perhaps for lack of memory; 0 rows are safe"):
        finish(tmp_path / "b", plan_of(victim="fatal"), FakeTask(), workers=2, build=build)
    for unusable in (None, lambda plan: FakeTask()):
        with pytest.raises(InputError, match=r"workers=2 needs a victim that every process can open"):
            finish(tmp_path / "c", plan_of(), FakeTask(), workers=2, build=unusable)
