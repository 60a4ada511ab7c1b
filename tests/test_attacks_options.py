"""What attacks say about options out of range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from brittle import InputError
from brittle.attacks.parts.options import at_least, between, positive


@dataclass(frozen=True)
class _Attack:
    must: float = 1.0
    may: float | None = None


RULES: tuple[tuple[Callable[[_Attack, str], None], float, float, str], ...] = (
    (lambda attack, name: at_least(attack, **{name: 2}), 2, 1, "give 2 or more"),  # type: ignore[arg-type]
    (lambda attack, name: positive(attack, name), 1e-9, 0, "give more than 0"),
    (lambda attack, name: between(attack, 0, 1, name), 0.5, 0, "give more than 0 and less than 1"),
    (lambda attack, name: between(attack, 0, 1, name, ends="(]"), 1, 0, "give more than 0 and at most 1"),
    (lambda attack, name: between(attack, 0, 1, name, ends="[)"), 0, 1, "give at least 0 and less than 1"),
    (lambda attack, name: between(attack, 0, 1, name, ends="[]"), 1, 1.01, "give at least 0 and at most 1"),
)


@pytest.mark.parametrize(("rule", "good", "bad", "mend"), RULES)
def test_the_end_that_is_in_passes_and_what_lies_beyond_or_is_nan_does_not(
    rule: Callable[[_Attack, str], None], good: float, bad: float, mend: str
) -> None:
    rule(_Attack(must=good), "must")
    rule(_Attack(), "may")
    for wrong in (bad, math.nan):
        with pytest.raises(InputError, match=f"^must={wrong:g} .*; {mend}$"):
            rule(_Attack(must=wrong), "must")
        with pytest.raises(InputError, match=f"^may={wrong:g} .*; {mend}, or leave it out$"):
            rule(_Attack(may=wrong), "may")
