"""Plans read from files, their cells and units, and when one plan extends another."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.errors import InputError
from brittle.runs.cells import cells, missing, units_of
from brittle.runs.extension import conflicts
from brittle.runs.identity import source_digest
from brittle.runs.plan import AttackEntry, Plan, dump, expand, load_plan
from brittle.runs.values import encode
from brittle.specs import parse_call, parse_number
from fake_task import Ascent, Ball, plan_of

TOML = """
victim = "py:nets:build"
data = "digits"
threat = "linf:8/255"
grid = ["2/255", "8/255", 0.5]
attacks = [
  "ascent",
  { name = "long", value = "ascent:steps=40" },
  { name = "noise", role = "noise", value = "ascent:steps=0" },
]
samples = 100
"""


def parse_ascent(text: str) -> Ascent:
    return Ascent(**{name: int(value) for name, value in parse_call(text).named.items()})


def parse_ball(text: str) -> Ball:
    call = parse_call(text)
    return Ball(call.name, parse_number(call.positional[0]))


def test_a_plan_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TOML)
    plan = load_plan(tmp_path / "plan.toml")
    assert plan.eps == 8 / 255
    assert plan.grid == (2 / 255, 8 / 255, 0.5)
    assert [(a.name, a.role, a.value) for a in plan.attacks] == [
        ("ascent", "attack", "ascent"),
        ("long", "attack", "ascent:steps=40"),
        ("noise", "noise", "ascent:steps=0"),
    ]
    expanded = expand(plan, parse_ascent, parse_ball)
    assert expanded.attacks[1].value == encode(Ascent(steps=40))
    assert expanded.threat == encode(Ball("linf", 8 / 255))
    with pytest.raises(InputError, match="cannot run yet; resolve victim_digest"):
        cells(expanded)


def test_dump_and_load_give_the_same_plan(tmp_path: Path) -> None:
    plan = plan_of(eps=0.1 + 0.2, grid=(0.1, 0.1 + 0.2), threat=encode(Ball("linf", 0.1 + 0.2)))
    (tmp_path / "plan.json").write_text(dump(plan))
    assert load_plan(tmp_path / "plan.json") == plan


def test_a_threat_without_size_has_an_infinite_eps(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('victim = "v"\ndata = "d"\nthreat = "box"\nattacks = []')
    plan = load_plan(tmp_path / "plan.toml")
    assert plan.grid == (float("inf"),)
    (tmp_path / "plan.json").write_text(dump(plan))
    assert load_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": 1}, "seeds: unknown field 'seeds'; did you mean seed"),
        ({"samples": "many"}, "samples='many' does not fit: Expected `int | null`, got `str`"),
        ({"samples": 0}, "samples=0 is too few"),
        ({"batch_size": True}, "batch_size=True does not fit"),
        ({"eps": 0.3}, "eps=0.3 is not in grid=[0.1, 0.2]"),
        ({"eps": "8/0"}, "'8/0' is not a number"),
        ({"grid": [0.2, 0.1]}, "does not ascend"),
        ({"grid": [-0.1, 0.2]}, "eps=-0.1 is not a radius"),
        ({"grid": 0.2}, "grid=0.2 does not fit"),
        ({"goal": "targeted"}, "goal='targeted' is not known"),
        ({"goal": "class:3", "resolved": {"classes": ["a", "b"]}}, "give class:0 to class:1"),
        ({"attacks": ["pgd", "pgd"]}, "attacks[1].name='pgd' is taken"),
        ({"attacks": [{"name": "clean", "value": "pgd"}]}, "attacks[0].name='clean' is taken"),
        (
            {"attacks": [{"name": "a", "value": "x"}, {"name": "b", "value": "x"}]},
            "attacks[1] 'b' is the same attack as 'a'",
        ),
        ({"attacks": [{"name": "a"}]}, "attacks[0].value is missing"),
        ({"attacks": [{"name": "a", "value": "x", "rôle": "noise"}]}, "attacks[0].rôle: unknown field"),
        ({"attacks": [{"name": "a", "value": "x", "role": "defence"}]}, "attacks[0].role='defence' does not fit"),
        ({"attacks": "pgd"}, "attacks='pgd' does not fit"),
        ({"attacks": [3]}, "attacks[0] is a int; give a table"),
    ],
)
def test_a_mistake_in_a_plan_file_is_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    data = {"victim": "v", "data": "d", "threat": "linf", "eps": 0.2, "grid": [0.1, 0.2], "attacks": [], **changes}
    (tmp_path / "plan.json").write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        load_plan(tmp_path / "plan.json")
    assert sentence in str(caught.value)
    assert "plan.json" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "{"), ("a.toml", "x ="), ("a.yaml", ""), ("a.json", "[]"), ("a.json", "{}")]
)
def test_a_file_that_is_no_plan_is_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError):
        load_plan(tmp_path / name)


def test_a_plan_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(tmp_path / "none.json")


def test_two_texts_for_one_attack_are_refused_when_expanded() -> None:
    plan = plan_of(
        attacks=(AttackEntry(name="a", value="ascent"), AttackEntry(name="b", value="ascent:steps=10")), resolved={}
    )
    with pytest.raises(InputError, match="'b' is the same attack as 'a'"):
        expand(plan, parse_ascent, parse_ball)


def test_a_threat_of_another_size_than_eps_is_refused() -> None:
    with pytest.raises(InputError, match=r"eps=0\.5 is not the plan's eps=0\.2"):
        expand(replace(plan_of(), threat="linf:0.5"), parse_ascent, parse_ball)


def test_cells_are_clean_then_noise_then_attacks_with_the_threat_at_each_eps() -> None:
    found = cells(plan_of())
    assert [(c.name, c.role, c.eps) for c in found] == [
        ("clean", "clean", 0.0),
        ("noise", "noise", 0.1),
        ("noise", "noise", 0.2),
        ("ascent", "attack", 0.1),
        ("ascent", "attack", 0.2),
    ]
    assert [c.threat and c.threat["eps"] for c in found] == [None, 0.1, 0.2, 0.1, 0.2]
    assert [c.threat_name for c in found] == ["", "linf", "linf", "linf", "linf"]


CHANGES: list[dict[str, Any]] = [
    {"goal": "random"},
    {"seed": 1},
    {"task": "other"},
    {"threat": encode(Ball("l2", 0.2))},
    *({"resolved": {**plan_of().resolved, name: "new"}} for name in ("victim_digest", "data_digest", "source_digest")),
]


@pytest.mark.parametrize("changes", CHANGES)
def test_whatever_determines_a_row_is_in_the_key(changes: dict[str, Any]) -> None:
    before, after = plan_of(), plan_of(**changes)
    keys = {cell.key for cell in cells(before)[1:]} & {cell.key for cell in cells(after)[1:]}
    assert not keys
    assert conflicts(before, after)


def test_what_changes_no_row_is_not_in_the_key() -> None:
    renamed = tuple(replace(entry, name=entry.name + "-2") for entry in plan_of().attacks)
    after = plan_of(batch_size=7, shard=11, keep=0, attacks=renamed, victim="another name for it")
    assert [c.key for c in cells(after)] == [c.key for c in cells(plan_of())]
    assert len({c.key for c in cells(after)}) == 5


def test_an_extension_is_no_conflict() -> None:
    more = (*plan_of().attacks, AttackEntry(name="more", value=encode(Ascent(steps=99))))
    changes = {
        "samples": None,
        "attacks": more,
        "grid": (0.1, 0.2, 0.3),
        "eps": 0.3,
        "shard": 1,
        "batch_size": 1,
        "keep": 0,
    }
    assert conflicts(plan_of(), plan_of(**changes, threat=encode(Ball("linf", 0.3)))) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples": 3}, "samples was 7 and is 3"),
        ({"seed": 5}, "seed was 0 and is 5"),
        ({"grid": (0.2,)}, "eps=0.1 is left out of the grid"),
        ({"attacks": ()}, "the attack 'ascent' is left out"),
        (
            {"attacks": (AttackEntry(name="ascent", value=encode(Ascent(steps=11))),)},
            "attack 'ascent'.steps was 10 and is 11",
        ),
        ({"threat": encode(Ball("l2", 0.2))}, "threat.name was 'linf' and is 'l2'"),
    ],
)
def test_a_conflict_is_named(changes: dict[str, Any], sentence: str) -> None:
    assert conflicts(plan_of(), plan_of(**changes))[0] == sentence


def test_a_plan_of_all_samples_cannot_shrink_to_some() -> None:
    assert conflicts(plan_of(None), plan_of(7)) == ["samples was 'all' and is 7"]
    assert conflicts(plan_of(60), plan_of(None)) == []


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6))), st.integers(1, 9))
def test_missing_units_are_exactly_what_is_not_done(done: set[tuple[int, int]], shard: int) -> None:
    plan: Plan = plan_of(7, shard=shard)
    keys = [cell.key for cell in cells(plan)]
    there = {(keys[c], i) for c, i in done}
    units = [unit for cell in cells(plan) for unit in units_of(cell, missing(plan, cell, there), plan.shard)]
    asked = [(unit.cell.key, i) for unit in units for i in unit.ids]
    assert len(asked) == len(set(asked)) == 35 - len(there)
    assert set(asked) | there == {(key, i) for key in keys for i in range(7)}
    assert all(1 <= len(unit.ids) <= shard for unit in units)
    assert len({unit.id for unit in units}) == len(units)


def test_plan_identity_and_store_start_without_torch() -> None:
    names = ("rows", "values", "identity", "plan", "cells", "chain", "extension", "store", "runner")
    code = (
        "import sys; " + "; ".join(f"import brittle.runs.{name}" for name in names) + "; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_source_digest_covers_what_determines_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brittle.runs import identity

    for room in ("kernels", "attacks", "report"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "code.py").write_text("x = 1\n")
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(identity, "__file__", str(tmp_path / "runs" / "identity.py"))

    def digest() -> str:
        source_digest.cache_clear()
        return source_digest()

    try:
        first = digest()
        (tmp_path / "report" / "code.py").write_text("x = 2\n")
        assert digest() == first
        (tmp_path / "attacks" / "code.py").write_text("x = 2\n")
        assert digest() != first
    finally:
        source_digest.cache_clear()
