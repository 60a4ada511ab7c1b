"""The settings of an attack as a plan stores them, as names and values that can be read one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .words import kind_of


@dataclass(frozen=True)
class Settings:
    """What one part of an attack is, and its options: each a text, or a part of its own. Options that are not set are left out."""

    kind: str
    options: tuple[tuple[str, str | Settings], ...]


def settings(value: Any) -> Settings:
    """Of an encoded value, or of the text that stands for one: `Gradient ascent` with `steps` 40 and `step size` 0.025."""
    if not isinstance(value, Mapping):
        return Settings(str(value), ())
    options: list[tuple[str, str | Settings]] = []
    for key, item in value.items():
        if key != "type" and item is not None:
            options += _options(key.replace("_", " "), item)
    return Settings(in_words(kind_of(value)), tuple(options))


def in_words(name: str) -> str:
    """`Gradient ascent` for `GradientAscent`; capitals that stand together stay: `APGD`, `FAB`."""
    first, *rest = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+", name) or [name]
    return " ".join([first, *(part if part.isupper() and len(part) > 1 else part.lower() for part in rest)])


def _options(name: str, item: Any) -> list[tuple[str, str | Settings]]:
    if isinstance(item, Mapping):
        return [(name, settings(item))]
    if isinstance(item, Sequence) and not isinstance(item, str):
        if any(isinstance(part, Mapping) for part in item):
            return [option for i, part in enumerate(item, 1) for option in _options(f"{name} {i}", part)]
        return [(name, ", ".join(_text(part) for part in item) or "none")]
    return [(name, _text(item))]


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return f"{item:g}" if isinstance(item, float) else str(item)
