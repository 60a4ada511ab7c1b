"""What there is, by name, from a file that is made of the registries: they hold the attacks themselves, and torch with them, which takes
seconds to import, too long for a list or for a misspelt name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import unknown

LISTED = Path(__file__).with_name("listed.json")  # written by gathered.py


@cache
def listed() -> dict[str, dict[str, Any]]:
    """Each kind to what there is of it; `gathered.py` says in which form."""
    found: dict[str, dict[str, Any]] = json.loads(LISTED.read_text(encoding="utf-8"))
    return found


def known_attack(text: str) -> str:
    """The text again; InputError where it begins with the name of no attack."""
    name = text.strip().partition(":")[0].partition("+")[0].strip()
    names = [name for family in listed()["attacks"].values() for name in family]
    if name not in names:
        raise unknown("attack", name, names)
    return text


def known_attacks(texts: list[str] | None) -> list[str] | None:
    """The same for each of several."""
    return None if texts is None else [known_attack(text) for text in texts]


def known_threat(text: str | None) -> str | None:
    """The same for the name of a threat."""
    if text is not None and (name := text.strip().partition(":")[0].strip()) not in listed()["threats"]:
        raise unknown("threat", name, listed()["threats"])
    return text
