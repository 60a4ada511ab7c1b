"""What a thing is, as a short hash of its content."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

_ROOMS = ("kernels", "core", "threats", "attacks", "certify", "tasks")  # the code that determines a row


def content_hash(data: Any) -> str:
    """24 hex digits for plain JSON data; equal data have equal hashes, whatever the order of their keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def source_digest(rooms: tuple[str, ...] = _ROOMS) -> str:
    """Hash of this package's code that determines a row, read as text and not imported."""
    root = Path(__file__).parent.parent
    paths = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    return content_hash([[path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")] for path in paths])
