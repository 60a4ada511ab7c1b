"""What a plan expands to: cells (attack x threat x eps), and the units of work that are still missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from ..core.chance import LOOKS
from ..errors import InputError
from .identity import content_hash
from .plan import CHAINED, AttackEntry, Plan

_NEEDED = ("victim_digest", "data_digest", "source_digest", "count")  # what `resolved` must hold before a run


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One attack under one threat at one eps, or `clean`: eps 0, no attack, no threat. Its samples share its key."""

    name: str  # name and role are labels: they are in no identity
    role: Literal["clean", "attack", "noise", "stage", "proof"]
    attack: dict[str, Any] | None
    threat: dict[str, Any] | None  # encoded, at this cell's eps
    eps: float
    after: str = ""  # of a chain: the key of the cell before it
    reach: float | None = None
    goal: str
    seed: int
    draws: int
    victim: str  # digests
    data: str
    source: str
    task: str

    @cached_property
    def key(self) -> str:
        """The identity of everything that determines a row but the sample."""
        return content_hash({k: v for k, v in asdict(self).items() if k not in ("name", "role")})

    @property
    def threat_name(self) -> str:
        """The threat's own `name`, or its class in lower case: `linf`. Empty for clean."""
        if self.threat is None:
            return ""
        return str(self.threat.get("name") or self.threat["type"].partition("@")[0].rpartition(":")[2].lower())

    @property
    def columns(self) -> dict[str, Any]:
        """What is the same in each of its rows, under the names of `Row`."""
        return {"cell": self.key, "attack": self.name, "role": self.role, "threat": self.threat_name, "eps": self.eps}


def cells(plan: Plan) -> list[Cell]:
    """Every cell of an expanded and resolved plan: clean, noise, the attacks in their order, eps ascending; then the chain of each eps.

    Proofs are looked for at the question's eps alone: they are dear, and what is proved in a ball is proved in the smaller ones.
    InputError for more looks at a sample than a model that answers at random allows.
    """
    lacking = [name for name in _NEEDED if name not in plan.resolved]
    if lacking or isinstance(plan.threat, str) or any(isinstance(entry.value, str) for entry in plan.attacks):
        raise InputError(
            f"this plan cannot run yet; {'resolve ' + ', '.join(lacking) if lacking else 'expand its texts'} first"
        )
    if "eps" not in plan.threat and len(plan.grid) > 1:
        raise InputError(f"grid={list(plan.grid)} varies eps, which this threat does not have; give a grid of one")
    victim, data, source = (plan.resolved[name] for name in _NEEDED[:3])
    clean = Cell(
        name="clean", role="clean", attack=None, threat=None, eps=0.0, goal=plan.goal, seed=plan.seed, draws=plan.draws,
        victim=victim, data=data, source=source, task=plan.task,
    )  # fmt: skip

    def of(entry: AttackEntry, eps: float, after: str = "") -> Cell:
        assert isinstance(entry.value, dict)
        assert isinstance(plan.threat, dict)
        threat = {**plan.threat, "eps": eps} if "eps" in plan.threat else plan.threat
        named = replace(clean, name=entry.name, role=entry.role, attack=entry.value, threat=threat, eps=eps)
        return replace(named, after=after, reach=entry.reach)

    free = [entry for entry in plan.attacks if entry.role not in CHAINED]
    chain = [entry for entry in plan.attacks if entry.role in CHAINED]
    found = [clean]
    found += [of(entry, eps) for entry in sorted(free, key=lambda entry: entry.role != "noise") for eps in plan.grid]
    for eps in plan.grid:
        after = clean.key
        for entry in chain:
            if entry.role == "proof" and eps != plan.eps:
                continue
            found.append(of(entry, eps, after))
            after = found[-1].key
    looks = sum(cell.role not in ("clean", "proof") for cell in found)
    if plan.draws > 1 and looks > LOOKS:
        raise InputError(
            f"{looks} attacks, stages and radii are too many for a model that answers at random: beyond {LOOKS} looks at a sample, luck "
            "alone may fool it; ask for fewer radii"
        )
    return found


def sample_ids(plan: Plan) -> range:
    """The ids a plan asks for: the first `samples`, or all there are."""
    count = int(plan.resolved["count"])
    return range(count if plan.samples is None else min(plan.samples, count))


@dataclass(frozen=True)
class Unit:
    """What is run and written in one piece: some samples of one cell."""

    cell: Cell
    ids: tuple[int, ...]

    @cached_property
    def id(self) -> str:
        return content_hash([self.cell.key, self.ids])


def missing(plan: Plan, cell: Cell, done: Collection[tuple[str, int]]) -> list[int]:
    """Ids that the plan asks for and whose (cell key, id) is not in `done`."""
    return [i for i in sample_ids(plan) if (cell.key, i) not in done]


def units_of(cell: Cell, ids: Sequence[int], shard: int) -> list[Unit]:
    """Units of at most `shard` samples."""
    return [Unit(cell, tuple(ids[k : k + shard])) for k in range(0, len(ids), shard)]
