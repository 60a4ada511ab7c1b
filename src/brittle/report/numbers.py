"""Rows to numbers: robust accuracy with intervals, the worst case, margins, sizes, cost, and doubts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..findings import Finding
from .by_class import ClassShares, by_class
from .cube import Column, Cube, cube_of
from .doubts import doubts_of
from .shares import Bracketed, Share, share
from .words import percent, several, threat_name

Floats = NDArray[np.float64]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Spread:
    """How many values and their 5, 25, 50, 75 and 95 % quantiles (NaN where there are none)."""

    n: int
    quantiles: tuple[float, float, float, float, float]

    @property
    def median(self) -> float:
        return self.quantiles[2]


@dataclass(frozen=True)
class Cost:
    """What was charged: means are per sample, totals and seconds over all rows, error rows included. `aside`: forwards plus backwards of a
    surrogate, of which the model knows nothing."""

    forwards_mean: float
    backwards_mean: float
    forwards: int
    backwards: int
    seconds: float
    aside: int = 0


@dataclass(frozen=True)
class Cell:
    """One attack at one radius. Sizes are of the samples it fooled, in the threat's norm; margins of every sample."""

    eps: float
    accuracy: Bracketed  # right when untouched, and not fooled by this attack at this radius
    fooled: int  # right when untouched, and fooled
    missing: int
    infeasible: int
    sizes: Spread
    margins: Spread
    cost: Cost


@dataclass(frozen=True)
class AttackSummary:
    """One attack over the grid of radii; a radius with no rows at all is absent from `cells`."""

    name: str
    role: str  # noise or attack
    about: str  # what it does; empty where the plan does not say
    cells: tuple[Cell, ...]
    only: tuple[int, ...]  # ids broken up to the question's radius by this attack and by no other
    cost: Cost  # over the whole grid

    def at(self, eps: float) -> Cell | None:
        return next((cell for cell in self.cells if same_radius(cell.eps, eps)), None)


@dataclass(frozen=True)
class StageCell:
    """One stage at one radius: how many samples it was asked about, how many of them it settled, and what was left after it."""

    eps: float
    asked: int
    settled: int  # fooled, or by a proof: proved
    left: Bracketed  # right when untouched, and not fooled by this stage or one before it
    errors: int
    cost: Cost  # means are over the samples asked about


@dataclass(frozen=True)
class StageSummary:
    """One stage of the chain over the grid of radii; role is stage or proof. `about`: what it does; empty where the plan does not say."""

    name: str
    role: str
    about: str
    cells: tuple[StageCell, ...]
    cost: Cost

    def at(self, eps: float) -> StageCell | None:
        return next((cell for cell in self.cells if same_radius(cell.eps, eps)), None)


@dataclass(frozen=True)
class Added:
    """Stages that joined the chain because of what was found on the model; robust accuracy before them, if any ran, and after."""

    stages: tuple[str, ...]
    before: Share | None
    after: Share

    @property
    def sentence(self) -> str:
        was = (
            "no attack by gradient can run on the model as it is"
            if self.before is None
            else f"{percent(self.before)} before"
        )
        return f"Because of what was found, the chain went on with {several(self.stages)}: {was}, {percent(self.after)} after."


@dataclass(frozen=True)
class Worst:
    """Right when untouched and not fooled by anything at this radius or a smaller one; `proved`: at this radius or a larger one, where
    proofs were tried."""

    eps: float
    accuracy: Bracketed
    proved: Share | None = None


@dataclass(frozen=True)
class Summary:
    """All that a report says in numbers. `doubts` are reasons not to believe them."""

    victim: str
    data: str
    threat: str
    goal: str
    eps: float  # the radius in question
    grid: tuple[float, ...]
    clean: Share
    clean_cost: Cost
    clean_margins: Spread
    attacks: tuple[AttackSummary, ...]  # each on every sample
    chain: tuple[StageSummary, ...]  # in order, each on what those before it left open
    added: Added | None  # to the chain, by what was found on the model
    worst: tuple[Worst, ...]
    fooled: Share  # of the samples of the worst case that are right untouched
    classes: tuple[ClassShares, ...]  # at the radius in question; empty where all samples are of one class
    unproved: str  # why no proofs were looked for; empty where they were, or where that is not known
    rows: int  # rows there are, errors included
    expected: int  # rows there would be if the run were complete; 0 when the plan does not say
    failed: int  # rows without a verdict: they ended in an error, or rest on one that did
    doubts: tuple[Finding, ...]

    @property
    def complete(self) -> bool:
        return self.rows > 0 and self.rows >= self.expected

    @property
    def targeted(self) -> bool:
        return is_targeted(self.goal)

    @property
    def headline(self) -> Bracketed:
        """Robust accuracy in the worst case at the radius in question."""
        return next(worst.accuracy for worst in self.worst if same_radius(worst.eps, self.eps))

    @property
    def parts(self) -> tuple[AttackSummary | StageSummary, ...]:
        """The attacks and then the chain."""
        return (*self.attacks, *self.chain)

    @property
    def proved(self) -> Share | None:
        """Share of samples that nothing can fool at the radius in question; None where no proof was tried."""
        return next(worst.proved for worst in self.worst if same_radius(worst.eps, self.eps))

    @property
    def cost(self) -> Cost:
        """Everything charged at the radius in question; means are over all samples."""
        costs = [cell.cost for part in self.parts if (cell := part.at(self.eps))]
        forwards, backwards = sum(c.forwards for c in costs), sum(c.backwards for c in costs)
        n = max(self.clean.n, 1)
        seconds, aside = sum(c.seconds for c in costs), sum(c.aside for c in costs)
        return Cost(forwards / n, backwards / n, forwards, backwards, seconds, aside)

    @property
    def noise(self) -> tuple[AttackSummary, ...]:
        return tuple(attack for attack in self.attacks if attack.role == "noise")


def summarise(
    rows: pa.Table,
    plan: Mapping[str, Any],
    findings: Sequence[Finding] = (),
    added: Sequence[str] = (),
    unproved: str = "",
) -> Summary:
    """The numbers of a run from its rows (see `runs/rows.py`) and its plan; rows that it does not name are ignored.

    findings: on the model itself, which join the doubts that the rows give rise to. added: names of stages that they called for.
    unproved: why no proofs were looked for, where that is known.
    """
    eps, cube = float(plan["eps"]), laid_out(rows, plan)
    grid = cube.grid
    worst = tuple(Worst(radius, _worst(cube, radius), _proved(cube, radius)) for radius in grid)
    about = {str(item["name"]): str(item.get("about", "")) for item in plan.get("attacks", [])}
    attacks = tuple(_attack(cube, name, about.get(name, ""), eps) for name in cube.names if name not in cube.chain)
    chain = tuple(_stage(cube, name, about.get(name, "")) for name in cube.chain)
    samples = _samples(plan) or len(cube.ids)
    proofs = sum(role == "proof" for role in cube.roles.values())  # at the radius in question alone
    expected = samples * (1 + (len(cube.names) - proofs) * len(grid) + proofs)
    headline = worst[grid.index(eps)].accuracy
    return Summary(
        victim=str(plan["victim"]),
        data=str(plan["data"]),
        threat=threat_name(plan["threat"]),
        goal=str(plan.get("goal", "untargeted")),
        eps=eps,
        grid=grid,
        clean=share(int(cube.correct[cube.known].sum()), int(cube.known.sum())),
        clean_cost=_cost([cube.clean]),
        clean_margins=_spread(cube.clean.margin[cube.clean.measured]),
        attacks=attacks,
        chain=chain,
        added=_added(chain, added, eps),
        worst=worst,
        fooled=_fooled(cube, eps),
        classes=by_class(cube, eps),
        unproved=unproved,
        rows=cube.rows,
        expected=expected,
        failed=sum(int(column.error.sum()) for column in (cube.clean, *cube.columns.values())),
        doubts=(*findings, *doubts_of(cube, eps, plan, headline, expected)),
    )


def laid_out(rows: pa.Table, plan: Mapping[str, Any]) -> Cube:
    """The rows of a run by sample, for the attacks and radii that its plan names."""
    grid = tuple(sorted({*map(float, plan.get("grid", [])), float(plan["eps"])}))
    return cube_of(rows, grid, _planned(plan))


def same_radius(a: float, b: float) -> bool:
    """Equal up to the rounding that writing and reading a float as text may bring."""
    return math.isclose(a, b, rel_tol=1e-9)


def is_targeted(goal: str) -> bool:
    return goal not in ("", "untargeted")


def _planned(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, role) of everything planned but the untouched input, in the plan's order."""
    listed = [(str(item["name"]), str(item.get("role", "attack"))) for item in plan.get("attacks", [])]
    return [(name, role) for name, role in listed if role != "clean"]


def _samples(plan: Mapping[str, Any]) -> int:
    """How many samples were asked for: the first so many of the data, or all of them; 0 when the plan does not say."""
    count = (plan.get("resolved") or {}).get("count")
    asked = plan.get("samples")
    return min((n for n in (count, asked) if n is not None), default=0)


def _attack(cube: Cube, name: str, about: str, eps: float) -> AttackSummary:
    columns = [(radius, column) for radius in cube.grid if (column := cube.columns.get((name, radius)))]
    cells = tuple(_cell(cube, radius, column) for radius, column in columns)
    alone = cube.broken_by([name], eps) & ~cube.broken_by([other for other in cube.names if other != name], eps)
    only = tuple(int(index) for index in cube.ids[alone])
    return AttackSummary(name, cube.roles[name], about, cells, only, _cost([column for _, column in columns]))


def _cell(cube: Cube, eps: float, column: Column) -> Cell:
    ok = column.measured
    fooled = column.success & cube.correct & ok
    robust, errors = cube.correct & ~column.success & ok, column.error
    n, extra = int(ok.sum()), int(errors.sum())
    total = n + extra
    return Cell(
        eps=eps,
        accuracy=Bracketed(
            share(int(robust.sum()), n),
            extra,
            (int(robust.sum()) + int((errors & cube.correct).sum())) / total if total else float("nan"),
            int(robust.sum()) / total if total else float("nan"),
        ),
        fooled=int(fooled.sum()),
        missing=int((~ok & ~errors).sum()),
        infeasible=int((column.present & ~errors & ~column.feasible).sum()),
        sizes=_spread(column.size[fooled]),
        margins=_spread(column.margin[ok]),
        cost=_cost([column]),
    )


def _stage(cube: Cube, name: str, about: str) -> StageSummary:
    columns = [(radius, column) for radius in cube.grid if (column := cube.columns.get((name, radius)))]
    cells = []
    for eps, column in columns:
        proof = cube.roles[name] == "proof"
        asked = column.present & (column.seconds > 0) if proof else column.asked
        settled = asked & (column.proved if proof else column.success)
        cost = _cost([column], max(int(asked.sum()), 1))
        left = _cell(cube, eps, column).accuracy
        cells.append(StageCell(eps, int(asked.sum()), int(settled.sum()), left, int(column.error.sum()), cost))
    return StageSummary(name, cube.roles[name], about, tuple(cells), _cost([column for _, column in columns]))


def _added(chain: Sequence[StageSummary], names: Sequence[str], eps: float) -> Added | None:
    cells = [(stage.name, cell) for stage in chain if stage.role == "stage" and (cell := stage.at(eps))]
    late = [cell for name, cell in cells if name in names]
    early = [cell for name, cell in cells if name not in names]
    if not late:
        return None
    before = early[-1].left.robust if early else None
    return Added(tuple(names), before, late[-1].left.robust)


def _proved(cube: Cube, eps: float) -> Share | None:
    """Over the samples of the worst case; None where no proof was tried."""
    if not cube.proof_at(eps):
        return None
    return share(int((cube.proved_at(eps) & cube.correct & cube.whole).sum()), int(cube.whole.sum()))


def _worst(cube: Cube, eps: float) -> Bracketed:
    """Over the samples measured without an error in every cell begun, whatever its radius.

    One population for the whole grid makes the worst case fall with the radius, as it must: what was found inside a
    smaller ball lies in every larger one.
    """
    broken = cube.broken_by(cube.names, eps)
    robust = cube.correct & ~broken
    known = share(int((robust & cube.whole).sum()), int(cube.whole.sum()))
    everyone = cube.whole | cube.doubtful
    if not everyone.any():
        return Bracketed(known)
    errors = int(cube.doubtful.sum())
    best, least = robust & everyone, robust & cube.whole & ~cube.doubtful
    return Bracketed(known, errors, float(best.sum() / everyone.sum()), float(least.sum() / everyone.sum()))


def _fooled(cube: Cube, eps: float) -> Share:
    right = cube.correct & cube.whole
    return share(int((right & cube.broken_by(cube.names, eps)).sum()), int(right.sum()))


def _spread(values: Floats) -> Spread:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Spread(0, (float("nan"),) * 5)
    five = np.quantile(finite, QUANTILES)
    return Spread(int(finite.size), (float(five[0]), float(five[1]), float(five[2]), float(five[3]), float(five[4])))


def _cost(columns: Sequence[Column], samples: int | None = None) -> Cost:
    present = sum(int(column.present.sum()) for column in columns) if samples is None else samples
    forwards = sum(int(column.forwards.sum()) for column in columns)
    backwards = sum(int(column.backwards.sum()) for column in columns)
    seconds = sum(float(column.seconds.sum()) for column in columns)
    aside = sum(int(column.aside.sum()) for column in columns)
    per = max(present, 1)
    return Cost(forwards / per, backwards / per, forwards, backwards, seconds, aside)
