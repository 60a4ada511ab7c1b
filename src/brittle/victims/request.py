"""What a VICTIM string asks for, as every opener receives it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..core.bounds import Bounds
from ..errors import InputError
from ..specs import Source, parse_number


@dataclass(frozen=True)
class Request:
    """A VICTIM string and how it is wanted. `given` are bounds written in the string itself."""

    text: str
    source: Source
    device: torch.device | None
    trust: bool
    bounds: Bounds
    given: Bounds | None


def as_value(text: str) -> int | float | bool | str:
    """An argument as the number or truth value it looks like, else as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return parse_number(text)
    except InputError:
        return text
