"""A finding: one reason not to believe a number, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was measured, why it matters, what to do about it. `kind` is a stable short name; the three sentences are for people."""

    kind: str
    measured: str
    why: str
    mend: str
