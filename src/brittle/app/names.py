"""What attacks are called where nobody gave them a name."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from typing import Literal

from ..attacks import ATTACKS
from ..core.problem import Attack
from ..report.words import several

LONGEST = 60  # letters, beyond which an attack made of attacks is named after its parts


def names_of(attacks: Sequence[str | Attack]) -> list[str]:
    """A name for each: a string as it is, a value by what makes it; different values that are called alike are numbered."""
    names: list[str] = []
    called: dict[str, list[Attack]] = {}
    for attack in attacks:
        if isinstance(attack, str):
            names.append(attack)
            continue
        name = _name(attack)
        alike = called.setdefault(name, [])
        if attack not in alike:
            alike.append(attack)
        number = alike.index(attack) + 1
        names.append(name if number == 1 else f"{name} ({number})")
    return names


def _name(attack: Attack) -> str:
    """The text that makes it, such as `fgsm` or `autoattack:version=plus`; else its class and what differs from the defaults."""
    for text, made in _recipes():
        if made == attack:
            return text
    changed = [(f.name, getattr(attack, f.name)) for f in fields(attack) if getattr(attack, f.name) != f.default]
    written = f"{type(attack).__name__}({', '.join(f'{name}={_written(value)}' for name, value in changed)})"
    parts = list(dict.fromkeys(type(part).__name__ for _, value in changed for part in _leaves(value)))
    return f"{type(attack).__name__} of {several(parts)}" if parts and len(written) > LONGEST else written


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_written(item) for item in value)})"
    return _name(value) if isinstance(value, Attack) else str(value)


def _leaves(value: object) -> Iterator[Attack]:
    """The attacks within a value that hold no attack themselves."""
    if isinstance(value, tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Attack):
        inner = [leaf for f in fields(value) for leaf in _leaves(getattr(value, f.name))]
        yield from inner or [value]


@cache
def _recipes() -> list[tuple[str, Attack]]:
    """Every attack of the list as it is, then each with one option that is a choice between a few words."""
    made = {name: entry.recipe for name, entry in ATTACKS.items() if entry.given_access is None}
    plain = [(name, recipe()) for name, recipe in made.items()]
    return plain + [
        (f"{name}:{option}={word}", recipe(**{option: word}))
        for name, recipe in made.items()
        for option, hint in typing.get_type_hints(recipe).items()
        if option in inspect.signature(recipe).parameters and typing.get_origin(hint) is Literal
        for word in typing.get_args(hint)
    ]
