"""Attacks and threats written down and read back are the same values, and what does not fit is named by its path."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brittle.errors import InputError
from brittle.runs.identity import content_hash
from brittle.runs.values import decode, encode


class Schedule(Protocol):
    def at(self, step: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    value: float

    def at(self, step: int) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Inner:
    amount: float = 1.0
    flag: bool = False
    bits: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int
    inner: Inner = Inner()
    directions: tuple[Inner, ...] = ()
    schedule: Schedule | None = None
    pair: tuple[int, float] = (1, 2.0)
    keep: Literal["best", "last"] = "best"
    nothing: float | None = None
    limit = 7  # a class fact, not a field

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps={self.steps} is negative; give 0 or more")


@dataclass
class Mutable:
    steps: int = 1


numbers = st.floats(allow_nan=False)
inners = st.builds(Inner, amount=numbers, flag=st.booleans(), bits=st.binary(max_size=5))
outers = st.builds(
    Outer,
    steps=st.integers(0, 10**12),
    inner=inners,
    directions=st.lists(inners, max_size=3).map(tuple),
    schedule=st.none() | st.builds(Constant, numbers),
    pair=st.tuples(st.integers(), numbers),
    keep=st.sampled_from(["best", "last"]),
    nothing=st.none() | numbers,
)


@given(outers)
def test_a_value_survives_json_exactly(value: Outer) -> None:
    again = decode(json.loads(json.dumps(encode(value))))
    assert again == value
    assert repr(again) == repr(value)  # tells 1 from 1.0, -0.0 from 0.0, a tuple from a list
    assert content_hash(encode(again)) == content_hash(encode(value))


def test_an_integer_in_a_float_field_is_the_same_value_as_the_float() -> None:
    assert content_hash(encode(Inner(amount=1))) == content_hash(encode(Inner(amount=1.0)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": "40"}, "plan.attacks[0].steps='40' is a str; give int"),
        ({"steps": 2.5}, "plan.attacks[0].steps=2.5 is a float; give int"),
        ({"steps": -1}, "plan.attacks[0]: steps=-1 is negative"),
        ({"stepz": 3}, "plan.attacks[0].stepz: unknown field 'stepz'; did you mean steps?"),
        ({"keep": "first"}, "plan.attacks[0].keep='first' is a str; give Literal['best', 'last']"),
        ({"pair": [1, 2.0, 3]}, "plan.attacks[0].pair has 3 items; give 2"),
        ({"pair": [1, "x"]}, "plan.attacks[0].pair[1]='x' is a str; give float"),
        ({"inner": 3}, "plan.attacks[0].inner=3 is a int; give Inner"),
        ({"schedule": 3}, "plan.attacks[0].schedule=3 is a int; give"),
        ({"directions": [{"amount": 1}]}, "plan.attacks[0].directions[0] has no type"),
        ({"type": "nowhere:Thing"}, "plan.attacks[0]: the type 'nowhere:Thing' cannot be imported"),
        ({"type": "test_runs_values:Mutable"}, "is not a frozen dataclass"),
        ({"type": "os:system"}, "is not a frozen dataclass"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        decode({**encode(Outer(steps=3)), **changes}, "plan.attacks[0]")
    assert sentence in str(caught.value)


def test_a_wrong_class_in_a_field_is_refused() -> None:
    data = {**encode(Outer(steps=3)), "inner": encode(Constant(1.0))}
    with pytest.raises(InputError, match=r"value\.inner='Constant' is a Constant; give Inner"):
        decode(data)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InputError, match="lacks steps"):
        decode({"type": "test_runs_values:Outer"})


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, len, float("nan"), Mutable, object()])
def test_what_is_no_plain_value_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="a plan holds numbers"):
        encode(value)


def test_a_class_made_inside_a_function_is_refused() -> None:
    @dataclass(frozen=True)
    class Local:
        x: int = 1

    with pytest.raises(InputError, match="move the class to the top of its module"):
        encode(Local())


def test_edited_code_of_a_foreign_class_is_another_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Mine:\n    x: int = 1\n"
    (tmp_path / "foreign_attack.py").write_text(text)
    before = encode(importlib.import_module("foreign_attack").Mine())
    assert encode(decode(before)) == before
    (tmp_path / "foreign_attack.py").write_text(text + "# edited\n")
    monkeypatch.delitem(sys.modules, "foreign_attack")
    importlib.invalidate_caches()
    assert encode(importlib.import_module("foreign_attack").Mine()) != before
    with pytest.raises(InputError, match="has changed since this plan was made"):
        decode(before)
