"""The figures of a report: curves over the radius, margins at the radius in question, sizes of what succeeded.

Each is drawn twice, for a wide column and for a phone, because text that is scaled down cannot be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .numbers import AttackSummary, Summary
from .svg import DASHES, INK, MARKERS, MUTED, NOISE, NOISE_DASH, PAPER, RULE, SERIES, drawing, figure, inline
from .words import amount, percent, radius

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How one line is drawn, here and in the page's legend."""

    name: str
    color: str
    marker: str
    dash: tuple[float, ...]  # on, off in line widths; empty is solid
    css: str  # the page's colour variable

    @property
    def path(self) -> str:
        """The marker for the page's legend."""
        return MARKERS[self.marker]

    @property
    def dash_array(self) -> str:
        return " ".join(f"{2 * length:g}" for length in self.dash)

    @property
    def linestyle(self) -> Any:
        return (0, self.dash) if self.dash else "-"


@dataclass(frozen=True)
class Format:
    """A page width for which a figure is drawn, in CSS pixels."""

    name: str
    width: int
    text: float


TOGETHER = "everything"  # the last row of the margins: each sample as it stands at the best that anything did
WIDE, NARROW = Format("wide", 720, 13), Format("narrow", 328, 11.5)
Draw = Callable[[Format], Figure]


def looks(summary: Summary) -> dict[str, Look]:
    """A colour, a marker and a dash for each attack and deciding stage, distinct for eighteen; noise is grey and dashed."""
    chosen: dict[str, Look] = {}
    markers = list(MARKERS)
    noise = {attack.name for attack in summary.noise}
    for name in (*(attack.name for attack in summary.attacks), *deciding(summary)):
        i = sum(look.color != NOISE for look in chosen.values())
        if name in noise:
            chosen[name] = Look(name, NOISE, "", NOISE_DASH, "noise")
        else:
            turn, k = divmod(i, len(SERIES))
            chosen[name] = Look(name, SERIES[k], markers[k], DASHES[turn % len(DASHES)], f"series-{k + 1}")
    return chosen


def deciding(summary: Summary) -> tuple[str, ...]:
    """The stages that fooled samples at the radius in question: those that set the number, beside the attacks."""
    stages = [(stage.name, stage.at(summary.eps)) for stage in summary.chain if stage.role == "stage"]
    return tuple(name for name, cell in stages if cell and cell.settled)


def both(draw: Draw, name: str, label: str) -> str:
    """The wide and the narrow drawing; the page's style shows the one that fits."""
    parts = []
    for form in (WIDE, NARROW):
        with drawing(form.text):
            parts.append(inline(draw(form), f"{name}-{form.name}", label, form.name))
    return "".join(parts)


def has_curves(summary: Summary) -> bool:
    """Some attack was measured, and the radii can be drawn: a patch or a mask has none."""
    return any(attack.cells for attack in summary.attacks) and 0 < summary.grid[-1] < math.inf


def curves(summary: Summary, bounds: Sequence[float]) -> str:
    """Robust accuracy against the radius: a line and a band for each attack, noise dashed, the worst case heavy."""
    worst = summary.headline.robust
    label = (
        f"Robust accuracy against the {summary.threat} radius for {len(summary.attacks)} attacks; "
        f"worst case {percent(worst)} at {radius(summary.eps, summary.threat, bounds)}. "
        "The table below has the numbers."
    )
    return both(partial(_curves, summary, bounds), "curves", label)


def _curves(summary: Summary, bounds: Sequence[float], form: Format) -> Figure:
    wide = form is WIDE
    drawn = figure(form.width, max(400, 19 * len(summary.attacks)) if wide else 300)
    longest = max((len(_short(attack.name)) for attack in summary.attacks), default=0)
    right = 1 - (30 + 7.5 * max(longest, 10)) / form.width if wide else 1 - 14 / form.width
    left, (bottom, tall) = 44 / form.width, (0.135, 0.80) if wide else (0.17, 0.76)
    axes: Axes = drawn.add_axes((left, bottom, right - left, tall))
    styles = looks(summary)
    ends: list[tuple[float, str, str, bool]] = []
    for attack in (attack for attack in summary.attacks if attack.cells):
        look = styles[attack.name]
        points = [(0.0, summary.clean), *((cell.eps, cell.accuracy.robust) for cell in attack.cells)]
        points = [(eps, share) for eps, share in points if share.n]
        _line(axes, points, look.color, look.marker, look.linestyle, 1.6, 0.12 if len(summary.attacks) <= 5 else 0.05)
        if points:
            ends.append((100 * points[-1][1].value, _short(attack.name), look.color, False))
    points = [(0.0, summary.clean), *((case.eps, case.accuracy.robust) for case in summary.worst)]
    points = [(eps, share) for eps, share in points if share.n]
    _line(axes, points, INK, "", "-", 4.0, 0.14)
    if points:
        ends.append((100 * points[-1][1].value, "worst case", INK, True))
    place = (
        summary.eps / summary.grid[-1]
    )  # at the ends the words stay inside; names of the lines begin at the right end
    side = "right" if place > 0.85 else "left" if place < 0.15 else "center"
    _asked(axes, summary.eps, radius(summary.eps, summary.threat, bounds), side)
    axes.set_ylim(0, 100)
    axes.set_xlim(0, summary.grid[-1] * 1.02)
    axes.set_yticks(range(0, 101, 20), [f"{tick} %" for tick in range(0, 101, 20)])
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    _radius_ticks(axes, summary, bounds, form)
    if wide:
        _name_ends(axes, ends, summary.grid[-1])
    return drawn


def _line(
    axes: Axes, points: Sequence[tuple[float, Any]], color: str, marker: str, dash: Any, width: float, alpha: float
) -> None:
    eps = [x for x, _ in points]
    axes.fill_between(
        eps, [100 * s.low for _, s in points], [100 * s.high for _, s in points], color=color, alpha=alpha, linewidth=0
    )
    axes.plot(
        eps, [100 * s.value for _, s in points], color=color, linewidth=width, linestyle=dash, marker=marker or None,
        markersize=5, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=2.5 if color == INK else 3, clip_on=False,
    )  # fmt: skip


def _asked(axes: Axes, eps: float, name: str, side: str = "center") -> None:
    """The radius in question: a line through the plot, its name above it."""
    axes.axvline(eps, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)
    _note(axes, f"asked: {name}", ("data", eps), ("axes fraction", 1), (0, 4), ha=side)


def _note(
    axes: Axes, text: str, x: tuple[str, float], y: tuple[str, float], offset: tuple[float, float], **style: Any
) -> None:
    """Text at a place given by (system, value) for x and y, moved by `offset` points."""
    axes.annotate(text, (x[1], y[1]), offset, xycoords=(x[0], y[0]), textcoords="offset points", **style)


def _radius_ticks(axes: Axes, summary: Summary, bounds: Sequence[float], form: Format) -> None:
    """The grid's own radii as ticks, as many as fit; what is left out can be read from the table."""
    room = form.text * 3.6 / (form.width * axes.get_position().width) * axes.get_xlim()[1]
    kept: list[float] = []
    for eps in sorted({0.0, *summary.grid}, key=lambda eps: (eps != summary.eps, eps != 0, -eps)):
        if all(abs(eps - other) >= room for other in kept):
            kept.append(eps)
    kept.sort()
    names = ["0" if eps == 0 else radius(eps, summary.threat, bounds) for eps in kept]
    axes.set_xticks(kept, names)
    axes.set_xlabel(f"{summary.threat} radius eps")
    _grey_levels(axes, summary, bounds)


def _grey_levels(axes: Axes, summary: Summary, bounds: Sequence[float]) -> None:
    """Where the radii are plain decimals of inputs in [0, 1], say what the largest is in grey levels."""
    plain = not any("/" in radius(eps, summary.threat, bounds) for eps in summary.grid)
    if summary.threat == "linf" and tuple(bounds) == (0.0, 1.0) and plain:
        axes.set_xlabel(f"linf radius eps   ({summary.eps:.3g} = {_trimmed(255 * summary.eps)}/255)")


def _trimmed(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str, bool]], last: float) -> None:
    """Names beside the ends of the lines, moved apart until none overlaps, tied to their lines by a thin rule."""
    line = 100 * 15 / axes.bbox.height  # 15 pixels, in percentage points
    ordered = sorted(ends)
    places = spread_out([end[0] for end in ordered], line, 0, 100)
    limit = axes.get_xlim()[1]
    for (value, name, color, bold), place in zip(ordered, places, strict=True):
        start, text = last + 0.015 * limit, last + 0.055 * limit
        axes.plot([start, text - 0.006 * limit], [value, place], color=color, linewidth=0.7, clip_on=False)
        axes.text(text, place, name, color=color, va="center", fontweight="bold" if bold else "normal", clip_on=False)


def spread_out(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending values moved just enough to be `gap` apart within [low, high]; evenly spaced where they do not fit."""
    count = len(values)
    if count > 1 and gap * (count - 1) >= high - low:
        return [low + (high - low) * i / (count - 1) for i in range(count)]

    def start(group: Sequence[float]) -> float:
        half = gap * (len(group) - 1) / 2
        return min(max(sum(group) / len(group), low + half), high - half) - half

    # groups of labels that touch move as one, centred on the mean of what they want
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and start(groups[-1]) < start(groups[-2]) + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [start(group) + gap * i for group in groups for i in range(len(group))]


def margins(summary: Summary, values: dict[str, Floats]) -> str:
    """Margins at the radius in question: a row for the untouched inputs and one for each attack."""
    label = "Distribution of margins, positive where the adversary has won; the tables below have the quantiles."
    looked = looks(summary)
    colors = {"clean": INK} | {name: look.color for name, look in looked.items()} | {TOGETHER: INK}
    rows = [(name, values[name], color) for name, color in colors.items() if name in values and values[name].size]
    pooled = np.concatenate([row[1] for row in rows]) if rows else np.zeros(1)
    low, high = (float(q) for q in np.quantile(pooled, (0.005, 0.995)))
    low, high = min(low, 0.0), max(high, 0.0)
    ends = ("held", "won")
    return both(partial(_ridges, rows, _padded(low, high), 0.0, "margin of the goal", ends), "margins", label)


def sizes(summary: Summary, values: dict[str, Floats], bounds: Sequence[float]) -> str:
    """How large the perturbations that succeeded are, for attacks that do not always use up the whole radius; or ""."""
    looked = looks(summary)
    rows = [(name, values[name], looked[name].color) for name in looked if name in values]
    rows = [row for row in rows if row[1].size and not whole_radius(row[1], summary.eps)]
    if not rows:
        return ""
    largest = summary.eps if math.isfinite(summary.eps) else max(float(row[1].max()) for row in rows)
    label = "Distribution of the sizes of successful perturbations."
    title = f"{summary.threat} size of the perturbation, at eps = {radius(summary.eps, summary.threat, bounds)}"
    return both(partial(_ridges, rows, (0.0, largest * 1.04), largest, title, ("", "")), "sizes", label)


def whole_radius(sizes: Floats, eps: float) -> bool:
    """Nearly all of these perturbations are as large as they may be; false where there are none."""
    return bool(sizes.size) and float(np.quantile(sizes, 0.05)) >= 0.99 * eps


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _ridges(
    rows: Sequence[tuple[str, Floats, str]],
    span: tuple[float, float],
    mark: float,
    title: str,
    ends: tuple[str, str],
    form: Format,
) -> Figure:
    """One histogram a row over the same bins, scaled to its own height, median marked; outliers in the end bins."""
    wide = form is WIDE
    left = 150 if wide else 12
    step = 46 if wide else 64
    top, bottom = 26, 46
    height = top + bottom + step * len(rows)
    drawn = figure(form.width, height)
    room = (left / form.width, bottom / height, 1 - (left + 14) / form.width, step * len(rows) / height)
    axes: Axes = drawn.add_axes(room)
    edges = np.linspace(*span, 61 if wide else 41)
    for place, (name, values, color) in enumerate(reversed(rows)):
        counts = np.histogram(np.clip(values, *span), edges)[0].astype(float)
        tall = (0.80 if wide else 0.60) * counts / max(counts.max(), 1.0)
        axes.stairs(place + tall, edges, baseline=place, fill=True, color=color, alpha=0.30, linewidth=0)
        axes.stairs(place + tall, edges, baseline=place, color=color, linewidth=1.1)
        axes.axhline(place, color=RULE, linewidth=0.6, zorder=0)
        median = float(np.median(values))
        middle = min(max(median, span[0]), span[1])
        axes.plot([middle, middle], [place, place + 0.2], color=color, linewidth=2.6, zorder=5)
        edge, floor = ("axes fraction", 0.0), ("data", float(place))
        if wide:
            _note(axes, _short(name), edge, floor, (-12, 13), ha="right")
            _note(axes, f"median {amount(median)}", edge, floor, (-12, 1), ha="right", color=MUTED, fontsize="small")
        else:
            _note(axes, f"{_short(name)} · median {amount(median)}", edge, floor, (0, 33))
    axes.axvline(mark, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set(xlim=span, ylim=(-0.03, len(rows)), yticks=[])
    for text, offset, side in ((ends[0], -5, "right"), (ends[1], 5, "left")):
        _note(axes, text, ("data", mark), ("axes fraction", 1), (offset, 5), ha=side, color=MUTED)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.locator_params(axis="x", nbins=7 if wide else 5)
    axes.set_xlabel(title)
    return drawn


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def legend(summary: Summary) -> list[tuple[Look, AttackSummary]]:
    """For the page's own legend, in the order of the lines' values at the radius in question, best first."""
    styles = looks(summary)

    def value(attack: AttackSummary) -> float:
        cell = attack.at(summary.eps)
        return -cell.accuracy.robust.value if cell and cell.accuracy.robust.n else math.inf

    return [(styles[attack.name], attack) for attack in sorted(summary.attacks, key=value)]
