"""What a VICTIM string asks for, as every opener receives it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import torch

from ..specs import Source

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Request:
    """A VICTIM string and how it is wanted. `given` are bounds written in the string itself."""

    text: str
    source: Source
    device: torch.device | None
    trust: bool
    bounds: Bounds
    given: Bounds | None


def see_current_folder() -> None:
    """The user's own modules lie in the current folder, and may import more later: it stays on the path."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
