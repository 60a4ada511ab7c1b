"""Chains of stages: each stage runs on what is left open, and nothing else changes its rows."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.errors import InputError
from brittle.runs.cells import Cell, cells
from brittle.runs.chain import joined, settled
from brittle.runs.extension import conflicts
from brittle.runs.plan import AttackEntry, Plan
from brittle.runs.rows import Row
from brittle.runs.store import Store
from brittle.runs.values import encode
from fake_task import Ascent, FakeTask, build, content, facts, finish, plan_of

STAGES = tuple(
    AttackEntry(name=f"stage {k}", role="stage", value=encode(Ascent(steps=k)), reach=reach)
    for k, reach in ((1, None), (2, 0.6), (3, None))
)


def chain_of(samples: int | None = 9, **changes: Any) -> Plan:
    """A free attack and three stages at two radii."""
    return plan_of(samples, attacks=(*plan_of().attacks[:1], *changes.pop("stages", STAGES)), **changes)


class Tries(FakeTask):
    """Every attack gets to a margin that depends on the cell and the sample; sample 0 is wrong untouched."""

    def run(self, cell: Cell, ids: Any) -> Any:
        import dataclasses

        rows, kept = super().run(cell, ids)
        margins = [(int(cell.key[:4], 16) * (row.id + 3)) % 101 / 100 - 0.8 for row in rows]
        made = [
            dataclasses.replace(
                row,
                clean_correct=row.id != 0,
                margin=-1.0 if cell.role == "clean" else margin,
                success=cell.role != "clean" and margin > 0 and row.id != 0,
                forwards=0 if cell.role == "clean" else 5,
                aside_forwards=0 if cell.role == "clean" else 3,
            )
            for row, margin in zip(rows, margins, strict=True)
        ]
        return made, kept


def by_stage(rows: list[Row]) -> dict[tuple[float, str], dict[int, Row]]:
    found: dict[tuple[float, str], dict[int, Row]] = {}
    for row in rows:
        found.setdefault((row.eps, row.attack), {})[row.id] = row
    return found


def test_a_stage_runs_on_what_is_open_and_within_its_reach_and_carries_the_rest(tmp_path: Path) -> None:
    task = Tries()
    rows = by_stage(finish(tmp_path, chain_of(60), task))
    ran = {(cell.name, cell.eps): {i for key, i in task.calls if key == cell.key} for cell in cells(chain_of(60))}
    for eps in (0.1, 0.2):
        before = rows[0.0, "clean"]
        for stage in STAGES:
            after = rows[eps, stage.name]
            reach = math.inf if stage.reach is None else stage.reach
            open_ = {i for i, row in before.items() if i and not row.success and row.margin >= -reach}
            assert ran[stage.name, eps] == open_
            assert 0 < len(open_) < 60
            for i, row in after.items():
                assert (row.forwards, row.aside_forwards) == ((5, 3) if i in open_ else (0, 0))
                assert row.success >= before[i].success
                assert row.margin >= before[i].margin
            before = after
    assert ran["ascent", 0.1] == set(range(60))  # what is in no chain runs on everything
    assert ran["stage 2", 0.1] != ran["stage 3", 0.1] - ran["stage 2", 0.1]


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 25)), max_size=2), st.integers(1, 3))
def test_shards_and_extensions_change_no_row_of_a_chain(starts: Any, length: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        expected = finish(Path(name, "whole"), chain_of(25), Tries())
        for shard, samples in sorted(starts, key=lambda start: start[1]):
            finish(Path(name, "run"), chain_of(samples, shard=shard, stages=STAGES[:length]), Tries())
        assert facts(finish(Path(name, "run"), chain_of(25), Tries())) == facts(expected)


@pytest.mark.slow
def test_two_workers_write_the_rows_of_one(tmp_path: Path) -> None:
    finish(tmp_path / "one", chain_of())
    finish(tmp_path / "two", chain_of(), workers=2, build=build)
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_chain_interrupted_anywhere_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    expected = facts(finish(tmp_path / "whole", chain_of(), Tries()))
    for bad in range(1, 9):
        folder = tmp_path / str(bad)
        with pytest.raises(KeyboardInterrupt):
            finish(folder, chain_of(), Tries(bad=[bad], raises=lambda _: KeyboardInterrupt()))
        there = Store(folder).done()
        task = Tries()
        assert facts(finish(folder, chain_of(), task)) == expected
        assert there.isdisjoint(task.calls)


def test_an_error_in_one_stage_stays_to_be_seen_and_the_next_stage_tries_again(tmp_path: Path) -> None:
    class Fails(Tries):
        def run(self, cell: Cell, ids: Any) -> Any:
            if cell.name == "stage 1" and 4 in ids:
                raise RuntimeError("no")
            return super().run(cell, ids)

    task = Fails()
    rows = by_stage(finish(tmp_path, chain_of(), task))
    assert rows[0.1, "stage 1"][4].error == "RuntimeError: no"
    assert not rows[0.1, "stage 2"][4].error
    assert any(key == cells(chain_of())[3].key or i == 4 for key, i in task.calls)


def test_a_proof_is_kept_and_settles_while_what_was_found_stays() -> None:
    base = {"cell": "c", "attack": "a", "role": "stage", "threat": "linf", "eps": 0.1, "id": 1, "label": 2}
    clean = Row(**base, clean_correct=True, margin=-2.0)
    before = Row(**base, clean_correct=True, margin=-0.5, size=0.1, predicted=3)
    proof = Row(**{**base, "attack": "crown", "role": "proof"}, clean_correct=True, proved=True, seconds=2.0)
    after = joined(before, proof)
    assert (after.attack, after.proved, after.margin, after.size, after.seconds) == ("crown", True, -0.5, 0.1, 2.0)
    assert settled(after, clean, None)
    assert not settled(before, clean, None)
    assert not settled(before, clean, 0.25)
    assert settled(before, clean, 0.24)
    worse = Row(**base, clean_correct=True, margin=-0.9, forwards=7)
    assert joined(before, worse).margin == -0.5
    assert joined(before, worse).forwards == 7


def test_a_chain_may_grow_or_end_sooner_and_nothing_else() -> None:
    assert conflicts(chain_of(stages=STAGES[:2]), chain_of()) == []
    said = ["the chain of stages does not begin as it did"]
    assert conflicts(chain_of(), chain_of(stages=STAGES[:2])) == []
    assert conflicts(chain_of(), chain_of(stages=STAGES[::-1])) == said
    with pytest.raises(InputError, match=r"attacks\[0\].reach=0.5 does not fit; give a stage"):
        plan_of(attacks=(AttackEntry(name="ascent", value=encode(Ascent()), reach=0.5),))
