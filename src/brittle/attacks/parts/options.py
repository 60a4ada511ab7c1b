"""Options out of range are refused with a sentence: name, value, what is accepted. An option whose default is None may be None."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...errors import InputError


def at_least(attack: object, *, why: str = "is too few", **least: float) -> None:
    """InputError where an option is less than its least value, or NaN."""
    for name, value in _given(attack, least):
        if not value >= least[name]:
            raise _refusal(attack, name, why, f"{least[name]:g} or more")


def positive(attack: object, *names: str, why: str = "is not positive") -> None:
    """InputError where an option is zero, negative or NaN."""
    for name, value in _given(attack, names):
        if not value > 0:
            raise _refusal(attack, name, why, "more than 0")


def between(
    attack: object, low: float, high: float, *names: str, ends: str = "()", why: str = "is out of range"
) -> None:
    """InputError where an option is not in the interval, or NaN; of the brackets `ends`, a square one holds its end."""
    for name, value in _given(attack, names):
        above = value >= low if ends[0] == "[" else value > low
        below = value <= high if ends[1] == "]" else value < high
        if not (above and below):
            first, last = "at least" if ends[0] == "[" else "more than", "at most" if ends[1] == "]" else "less than"
            raise _refusal(attack, name, why, f"{first} {low:g} and {last} {high:g}")


def one_of(attack: object, name: str, *accepted: object) -> None:
    """InputError where an option is none of these values."""
    if getattr(attack, name) not in accepted:
        raise InputError(f"{name}={getattr(attack, name)!r} is not one of {', '.join(map(str, accepted))}")


def _given(attack: object, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value = getattr(attack, name)
        if value is not None or not _optional(attack, name):
            yield name, value


def _optional(attack: object, name: str) -> bool:
    return getattr(type(attack), name, 0) is None


def _refusal(attack: object, name: str, why: str, mend: str) -> InputError:
    rest = ", or leave it out" if _optional(attack, name) else ""
    return InputError(f"{name}={getattr(attack, name):g} {why}; give {mend}{rest}")
