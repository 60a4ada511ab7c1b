"""The plan: what is asked, as a value; how it is read from a file, checked and expanded."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import msgspec

from ..errors import InputError, unknown
from ..files import regular_file
from ..outside import reading
from ..ranges import check_counts, check_seed
from ..specs import parse_call, parse_number
from . import seal
from .identity import content_hash
from .values import decode, encode

Role = Literal["attack", "noise", "stage", "proof"]
CHAINED = ("stage", "proof")
TASKS = ("classification",)
LARGEST = 2**28  # bytes of a plan file: pictures may be part of an attack
T = TypeVar("T")
_GOAL = re.compile(r"untargeted|least-likely|second|random|class:(\d+)")


@dataclass(frozen=True, kw_only=True)
class AttackEntry:
    """One attack of a plan; `value` is text as people write it (`pgd:steps=40`) or, once expanded, encoded.

    Stages and proofs (whose value is a certifier) form a chain in the order of the plan, each run on what those before it have left
    open; `reach`, if given, leaves out samples that are too far, see `runs/chain.py`. `about`: what it does, for whoever reads the
    report; like the name it is in no identity.
    """

    name: str
    role: Role = "attack"
    value: str | dict[str, Any]
    reach: float | None = None
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every attack on the first `samples` samples of `data` at every radius of `grid`.

    `threat` is text (`linf:8/255`) or, once expanded, the encoded threat at `eps`, the radius the question is about
    (infinite where the threat has none). `keep` is how many samples have their adversarial example kept in each cell:
    the first ids. `draws`: more than 1 for a model that answers at random, of which a point is judged by so many answers at most.
    `batch_size`, `shard` (samples in a unit of work) and `keep` change no row. `resolved` says what the
    names stood for: victim_digest, victim_hidden (what of the victim cannot be seen, if anything), data_digest, source_digest,
    count (of samples), classes, shape, bounds, version.
    """

    task: str = "classification"
    victim: str
    data: str
    threat: str | dict[str, Any]
    eps: float
    grid: tuple[float, ...]
    attacks: tuple[AttackEntry, ...]
    goal: str = "untargeted"
    samples: int | None = None
    seed: int = 0
    draws: int = 1
    batch_size: int = 256
    shard: int = 500
    keep: int = 12
    resolved: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in (self.eps, *self.grid):
            if not value >= 0:
                raise InputError(f"eps={value:g} is not a radius; give a number of 0 or more")
        if any(a >= b for a, b in pairwise(self.grid)):
            raise InputError(f"grid={list(self.grid)} does not ascend; sort it and leave out what is there twice")
        if self.eps not in self.grid:
            raise InputError(f"eps={self.eps!r} is not in grid={list(self.grid)}; add it to the grid")
        check_counts(samples=self.samples, draws=self.draws, batch_size=self.batch_size, shard=self.shard)
        check_counts(0, keep=self.keep)
        check_seed(self.seed)
        match = _GOAL.fullmatch(self.goal)
        if not match:
            raise InputError(
                f"goal={self.goal!r} is not known; give untargeted, least-likely, second, random or class:NUMBER"
            )
        classes = self.resolved.get("classes")
        if match[1] and classes is not None and int(match[1]) >= len(classes):
            raise InputError(
                f"goal={self.goal!r} is not a class of this data; give class:0 to class:{len(classes) - 1}"
            )
        _refuse_twins(self.attacks)


def _refuse_twins(attacks: Sequence[AttackEntry]) -> None:
    """Rows are told apart by what an attack is, and people tell them apart by its name: both must be unique."""
    seen: dict[str, str] = {}
    for i, entry in enumerate(attacks):
        if entry.name == "clean" or entry.name in seen.values():
            raise InputError(
                f"attacks[{i}].name={entry.name!r} is taken; give every attack its own name, and none 'clean'"
            )
        if entry.reach is not None and (entry.role not in CHAINED or not entry.reach >= 0):
            raise InputError(f"attacks[{i}].reach={entry.reach:g} does not fit; give a stage a number of 0 or more")
        identity = content_hash([entry.value, entry.role in CHAINED])
        if identity in seen:
            raise InputError(
                f"attacks[{i}] {entry.name!r} is the same attack as {seen[identity]!r}; leave one of them out"
            )
        seen[identity] = entry.name


def load_plan(path: Path | str) -> Plan:
    """Read a plan from a .json or .toml file; InputError names the file and the field."""
    path = Path(path)
    readers: dict[str, Callable[[str], Any]] = {".json": json.loads, ".toml": tomllib.loads}
    if path.suffix not in readers:
        raise InputError(f"{str(path)!r} is neither .json nor .toml; a plan is one of these")
    mend = f"give a {path.suffix} file of at most {LARGEST:,} bytes, as UTF-8 text"
    with reading(f"the plan {str(path)!r} cannot be read", mend):
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        regular_file(path, f"a {path.suffix} file")
        text = path.read_text(encoding="utf-8")
    with reading(f"the plan {str(path)!r} is not valid {path.suffix[1:].upper()}", "mend it there"):
        data = readers[path.suffix](text)
    try:
        return plan_from(data)
    except InputError as error:
        raise InputError(f"in the plan {str(path)!r}: {error}") from None


def plan_from(data: Any) -> Plan:
    """A plan from parsed JSON or TOML.

    For people: an attack may be a bare string, which is then its name too; `eps` and the numbers of `grid` may be
    fractions ("8/255"); `eps` may be left to the threat (`linf:8/255`) and `grid` to eps.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"a plan is a table of fields, not a {type(data).__name__}")
    with reading("it cannot be read as a plan", "write its fields as docs/plans.md has them"):
        return _plan_from(
            {name: value for name, value in data.items() if name != seal.FIELD}
        )  # a run's own plan has one


def _plan_from(given: dict[str, Any]) -> Plan:
    if "eps" not in given:
        given["eps"] = _eps_of(given.get("threat"))
    given["eps"] = _number(given["eps"], "eps")
    grid = given.get("grid", [given["eps"]])
    given["grid"] = [_number(item, f"grid[{i}]") for i, item in enumerate(grid)] if isinstance(grid, list) else grid
    if isinstance(given.get("attacks"), list):
        given["attacks"] = [
            _built(AttackEntry, {"name": item, "value": item} if isinstance(item, str) else item, f"attacks[{i}]")
            for i, item in enumerate(given["attacks"])
        ]
    plan = _built(Plan, given, "")
    if plan.task not in TASKS:
        raise unknown("task", plan.task, TASKS)
    return plan


def _built(cls: type[T], data: Any, where: str) -> T:
    """An instance of a dataclass from a table, field by field, so that every error names its field."""
    dot = f"{where}." if where else ""
    if not isinstance(data, Mapping):
        raise InputError(f"{where} is a {type(data).__name__}; give a table of fields")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise InputError(f"{dot}{key}: {unknown('field', str(key), known)}")
    for name, f in known.items():
        if name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{dot}{name} is missing; every {'plan' if cls is Plan else 'attack'} needs it")
    hints = get_type_hints(cls)
    values = {}
    for key, value in data.items():
        try:
            values[key] = (
                tuple(value) if key == "attacks" and isinstance(value, list) else msgspec.convert(value, hints[key])
            )
        except msgspec.ValidationError as error:
            raise InputError(f"{dot}{key}={value!r} does not fit: {error}") from None
    return cls(**values)


def _eps_of(threat: Any) -> Any:
    if isinstance(threat, str):
        call = parse_call(threat)
        return call.named.get("eps", call.positional[0] if call.positional else math.inf)
    return threat.get("eps", math.inf) if isinstance(threat, Mapping) else math.inf


def _number(value: Any, where: str) -> float:
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}={value!r} is not a number; write for example 0.1 or '8/255'")
    return float(value)


def dump(plan: Plan) -> str:
    """The plan as sealed JSON text (see seal.py) that `load_plan` reads back to an equal plan."""
    return seal.to_json(asdict(plan), indent=2).decode()


def expand(plan: Plan, attack: Callable[[str], Any], threat: Callable[[str], Any]) -> Plan:
    """The plan with every text replaced by the encoded value that `attack(text)` and `threat(text)` make of it.

    Values that are encoded already are decoded and encoded again: checked, and their defaults written out.
    """
    entries = tuple(
        replace(entry, value=_expanded(entry.value, attack, f"plan.attacks[{i}].value"))
        for i, entry in enumerate(plan.attacks)
    )
    region = _expanded(plan.threat, threat, "plan.threat")
    if region.get("eps", plan.eps) != plan.eps:
        raise InputError(
            f"the threat's eps={region['eps']!r} is not the plan's eps={plan.eps!r}; give the same number, or only one"
        )
    return replace(plan, attacks=entries, threat=region)


def _expanded(value: str | dict[str, Any], parse: Callable[[str], Any], where: str) -> dict[str, Any]:
    encoded: dict[str, Any] = encode(parse(value) if isinstance(value, str) else decode(value, where), where)
    return encoded
