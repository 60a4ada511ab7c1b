"""Black-box attacks that see only the predicted class."""

from __future__ import annotations

from ..entry import Entry

ATTACKS: dict[str, Entry] = {}
