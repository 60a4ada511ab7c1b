"""What the JSON files of a run folder hold beside the plan's own fields, and the check that they do: anything may lie there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from ..findings import Finding
from .plan import AttackEntry

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Number = Annotated[float, msgspec.Meta(ge=0.0, le=1e300)]


@dataclass(frozen=True)
class Provable:
    """The proof that is worth looking for, or why there is none."""

    entry: AttackEntry | None
    why_none: str


@dataclass(frozen=True)
class Noted:
    """A look at the model: see `app/examine.py`, which writes it. Forwards and backwards are per sample."""

    key: str  # of all that it rests on
    findings: tuple[Finding, ...]
    forwards: Number
    backwards: Number
    samples: Count
    checks: tuple[str, ...]
    stages: tuple[AttackEntry, ...]  # that the findings call for
    proof: Provable
    seconds: Number


@dataclass(frozen=True)
class Invocation:
    """One start of a run."""

    command: str
    started: str
    seconds: Number
    versions: dict[str, str]
    machine: dict[str, str | int | None]
    workers: Count


@dataclass(frozen=True)
class Resolved:
    """What a plan's names stood for, as far as readers rest on it."""

    victim_digest: str
    data_digest: str
    source_digest: str
    count: Count
    classes: tuple[str, ...] = ()
    shape: tuple[Count, ...] = ()
    version: str = ""


def checked(record: Mapping[str, Any], kind: Any) -> Mapping[str, Any]:
    """The record as it is; an exception where it is none of this kind."""
    msgspec.convert(record, kind)
    return record
