"""Two finished runs on the same samples: two models, or two versions of one, compared sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from .compare import Paired, paired
from .cube import Bools, Column, Cube, Ints
from .numbers import laid_out, same_radius
from .read import Run, read_run
from .words import radius, several, threat_name


class HasFolder(Protocol):
    """A report, whose run lies in a folder."""

    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """One share of the same samples in both runs. Ids are those of samples that hold in one run alone."""

    what: str  # clean, an attack's name, worst case or proved
    eps: float  # 0 for clean
    pair: Paired
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What changed from the first run to the second, on samples measured in both. `eps` is the radius that the first is about."""

    first: str  # folders
    second: str
    victims: tuple[str, str]
    data: str
    threat: str
    goal: str
    eps: float
    changes: tuple[
        Change, ...
    ]  # clean; each common attack, the worst case and, where there are any, proofs, over the common radii
    unmatched: tuple[str, ...]  # attacks of one run alone
    differing: tuple[str, ...]  # attacks of the same name with other settings, or after other stages; not compared

    def of(self, what: str, eps: float = 0.0) -> Change:
        """The change of one share; InputError where it was not compared."""
        for change in self.changes:
            if change.what == what and same_radius(change.eps, eps):
                return change
        raise InputError(
            f"{what!r} at eps={eps:g} is not in both runs; they share {several(sorted(self._names()), 12)}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, fit for JSON; an infinite radius is None."""
        data = asdict(self)
        for change, one in zip(data["changes"], self.changes, strict=True):
            change["pair"]["difference"] = one.pair.difference
            change["eps"] = one.eps if np.isfinite(one.eps) else None
        return data | {"eps": self.eps if np.isfinite(self.eps) else None}

    def _names(self) -> set[str]:
        return {f"{change.what} at {change.eps:g}" for change in self.changes}


def diff(first: str | Path | HasFolder, second: str | Path | HasFolder) -> Diff:
    """Compare two finished runs, given as folders or reports, at each radius and attack that they share.

    InputError where a folder holds no run or an unfinished one, or where data, samples, threat or goal differ, or no radius is shared.
    """
    one, other = (read_run(run if isinstance(run, str | Path) else run.folder) for run in (first, second))
    for run in (one, other):
        _finished(run)
    _comparable(one, other)
    mine, theirs = laid_out(one.rows, one.plan), laid_out(other.rows, other.plan)
    if not np.array_equal(mine.ids, theirs.ids):
        raise InputError(
            f"the runs have {len(mine.ids):,} and {len(theirs.ids):,} samples; give both the same --samples"
        )
    shared = [eps for eps in mine.grid if any(same_radius(eps, also) for also in theirs.grid)]
    if not shared:
        raise InputError(f"no radius is in both runs ({_radii(one)} and {_radii(other)}); evaluate both on one --grid")
    values = [_settings(run) for run in (one, other)]
    names = [[name for name in cube.names if cube.roles[name] != "proof"] for cube in (mine, theirs)]
    both = [name for name in names[0] if name in names[1]]
    common = _alike(mine, theirs, both, values)
    return Diff(
        first=str(one.folder),
        second=str(other.folder),
        victims=(str(one.plan["victim"]), str(other.plan["victim"])),
        data=str(one.plan["data"]),
        threat=threat_name(one.plan["threat"]),
        goal=str(one.plan["goal"]),
        eps=float(one.plan["eps"]),
        changes=tuple(_changes(mine, theirs, common, shared)),
        unmatched=tuple(name for name in dict.fromkeys((*names[0], *names[1])) if name not in both),
        differing=tuple(name for name in both if name not in common),
    )


def _settings(run: Run) -> dict[str, tuple[Any, Any]]:
    """By an attack's name, all that says what it tried."""
    return {str(entry["name"]): (entry["value"], entry.get("reach")) for entry in run.plan["attacks"]}


def _alike(one: Cube, other: Cube, both: list[str], values: list[dict[str, tuple[Any, Any]]]) -> list[str]:
    """Of the attacks in both runs, those that tried the same: a stage does where all stages before it are the same too."""
    stages = [[name for name in cube.names if cube.roles[name] == "stage"] for cube in (one, other)]
    begun = []
    for first, second in zip(*stages, strict=False):
        if first != second or values[0].get(first) != values[1].get(second):
            break
        begun.append(first)
    chained = {*stages[0], *stages[1]}
    return [
        name for name in both if name in begun or (name not in chained and values[0].get(name) == values[1].get(name))
    ]


def _finished(run: Run) -> None:
    summary = run.summary
    if not summary.complete:
        damage = f"; {run.unreadable[0]}" if run.unreadable else ""
        raise InputError(
            f"{str(run.folder)!r} is not finished ({summary.rows:,} of {summary.expected:,} rows{damage}); run its command again first"
        )


def _comparable(one: Run, other: Run) -> None:
    """InputError naming what is not the same in both runs."""
    same: dict[str, Callable[[Run], object]] = {
        "data": lambda run: run.plan["resolved"]["data_digest"],
        "threat": lambda run: {key: value for key, value in run.plan["threat"].items() if key != "eps"},
        "goal": lambda run: run.plan["goal"],
    }
    for field, of in same.items():
        if of(one) != of(other):
            names = [
                threat_name(plan[field]) if field == "threat" else str(plan[field]) for plan in (one.plan, other.plan)
            ]
            content = " by the same name" if names[0] == names[1] else ""
            raise InputError(
                f"the runs differ in their {field} ({names[0]} and {names[1]}{content}); only runs on the same can be compared"
            )


def _radii(run: Run) -> str:
    threat = threat_name(run.plan["threat"])
    return several([radius(float(eps), threat) for eps in run.plan["grid"]])


def _changes(one: Cube, other: Cube, names: list[str], radii: list[float]) -> Iterator[Change]:
    known, whole = one.known & other.known, one.whole & other.whole
    yield _change("clean", 0.0, one.ids, known, one.correct, other.correct)
    for name in names:
        for eps in radii:
            first, second = _column(one, name, eps), _column(other, name, eps)
            robust = (one.correct & ~first.success, other.correct & ~second.success)
            yield _change(name, eps, one.ids, first.measured & second.measured, *robust)
    for eps in radii:
        yield _change("worst case", eps, one.ids, whole, _left(one, names, eps), _left(other, names, eps))
    for eps in radii:
        if all(cube.proof_at(_own(cube, eps)) for cube in (one, other)):
            proved = [cube.correct & cube.proved_at(_own(cube, eps)) for cube in (one, other)]
            yield _change("proved", eps, one.ids, known, *proved)


def _left(cube: Cube, names: list[str], eps: float) -> Bools:
    """(N,) right when untouched, and fooled by none of these attacks at this radius or a smaller one; more is effort."""
    return cube.correct & ~cube.broken_by(names, _own(cube, eps))


def _column(cube: Cube, name: str, eps: float) -> Column:
    return cube.columns[name, _own(cube, eps)]


def _own(cube: Cube, eps: float) -> float:
    """The radius as this run wrote it."""
    return next(own for own in cube.grid if same_radius(own, eps))


def _change(what: str, eps: float, ids: Ints, of: Bools, first: Bools, second: Bools) -> Change:
    """Over the samples `of` (N,), those that hold in the first and in the second run."""
    return Change(
        what=what,
        eps=eps,
        pair=paired(first[of], second[of]),
        only_first=tuple(ids[of & first & ~second].tolist()),
        only_second=tuple(ids[of & second & ~first].tolist()),
    )
