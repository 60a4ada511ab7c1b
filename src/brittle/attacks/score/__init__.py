"""Black-box attacks that see the outputs, without gradients."""

from __future__ import annotations

from ..entry import Entry

ATTACKS: dict[str, Entry] = {}
