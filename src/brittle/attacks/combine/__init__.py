"""Attacks made of attacks."""

from __future__ import annotations

from ..entry import Entry

ATTACKS: dict[str, Entry] = {}
