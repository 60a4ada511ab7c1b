"""When a run folder may serve another plan: when it asks for all that the old one asked, and perhaps for more."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .identity import content_hash
from .plan import CHAINED, Plan

CONTENT = {"victim_digest": "the model", "data_digest": "the data", "source_digest": "brittle's own code"}


def conflicts(old: Plan, new: Plan) -> list[str]:
    """Why rows of `old` and `new` cannot live in one folder, in words; [] when they can.

    They can when `new` has every attack, every eps and every sample of `old`, and all else that determines a row is
    equal: then no row in the folder is stale and none is unasked for, and only what is missing runs. A chain of stages may grow, or
    end sooner. Free to change are
    the size of batches and shards, how many examples are kept (from then on), the names and roles of attacks, which eps
    of the grid the question is about, and the version (the digest of the source decides).
    """
    a, b = json.loads(json.dumps(asdict(old))), json.loads(json.dumps(asdict(new)))
    found = [
        _changed(name, a[name], b[name])
        for name in ("task", "victim", "data", "goal", "seed", "draws")
        if a[name] != b[name]
    ]
    found += _differences("threat", _without(a["threat"], "eps"), _without(b["threat"], "eps"))
    was, now = (_without(plan["resolved"], "version") for plan in (a, b))
    if now.get("victim_hidden"):
        found.append(f"the model may be another one, for part of it cannot be seen ({now['victim_hidden']})")
    found += [f"{what} changed" for name, what in CONTENT.items() if was.get(name) != now.get(name)]
    found += _differences("resolved", *({k: v for k, v in one.items() if k not in CONTENT} for one in (was, now)))
    chain, longer = ([entry for entry in plan["attacks"] if entry["role"] in CHAINED] for plan in (a, b))
    if any(_stage(old) != _stage(new) for old, new in zip(chain, longer, strict=False)):
        found.append("the chain of stages does not begin as it did")
    free = [entry for entry in b["attacks"] if entry["role"] not in CHAINED]
    kept = {content_hash(entry["value"]) for entry in free}
    renewed = {entry["name"]: entry["value"] for entry in free}
    for entry in a["attacks"]:
        if entry["role"] in CHAINED:
            continue
        name, value = entry["name"], entry["value"]
        if content_hash(value) in kept:
            continue
        found += (
            _differences(f"attack {name!r}", value, renewed[name])
            if name in renewed
            else [f"the attack {name!r} is left out"]
        )
    found += [f"eps={eps!r} is left out of the grid" for eps in a["grid"] if eps not in b["grid"]]
    if b["samples"] is not None and (a["samples"] is None or b["samples"] < a["samples"]):
        found.append(_changed("samples", a["samples"] or "all", b["samples"]))
    return found


def _stage(entry: dict[str, Any]) -> list[Any]:
    return [entry["value"], entry["reach"]]


def _without(value: Any, name: str) -> Any:
    return {k: v for k, v in value.items() if k != name} if isinstance(value, dict) else value


def _differences(where: str, old: Any, new: Any) -> list[str]:
    """The leaves in which two JSON values differ, each with its path."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        return [line for k in sorted({*old, *new}) for line in _differences(f"{where}.{k}", old.get(k), new.get(k))]
    if isinstance(old, dict) and isinstance(new, dict):
        return [_changed(f"{where}.type", old.get("type"), new.get("type"))]
    return [] if old == new else [_changed(where, old, new)]


def _changed(where: str, old: Any, new: Any) -> str:
    return f"{where} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
