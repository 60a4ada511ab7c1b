"""Minimum-norm attacks, with gradients: the smallest perturbation that wins."""

from __future__ import annotations

from ..entry import Entry

ATTACKS: dict[str, Entry] = {}
