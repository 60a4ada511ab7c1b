"""Writes listed.json, what `brittle list` shows, from the registries: `python -m brittle.cli.gathered`; `make format` does it too."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from ..attacks.directions import DIRECTIONS
from ..attacks.registry import FAMILIES
from ..core.losses import LOSSES
from ..data.open import known_data
from ..files import write_whole
from ..threats import THREATS
from ..victims.open import known_victims
from .listed import LISTED


def gathered() -> dict[str, dict[str, Any]]:
    """Each kind to what there is of it: name to one line, and of attacks family to name to columns."""
    return {
        "attacks": {
            heading: {
                name: {"access": e.access.value, "threats": e.norms, "cost": e.cost, "paper": e.paper}
                for name, e in family.items()
            }
            for heading, family in FAMILIES.items()
        },
        "directions": _first_lines(DIRECTIONS),
        "threats": _first_lines(THREATS),
        "data": known_data(),
        "victims": known_victims(),
        "losses": _first_lines(LOSSES),
    }


def text() -> str:
    """The file of today."""
    return json.dumps(gathered(), indent=1, ensure_ascii=False) + "\n"


def _first_lines(things: Mapping[str, object]) -> dict[str, str]:
    return {name: (inspect.getdoc(thing) or "").partition("\n")[0] for name, thing in things.items()}


if __name__ == "__main__":
    write_whole(LISTED, text().encode())
