"""The figure of a report's first screen: what is still right, against how much may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from .numbers import Summary
from .shares import Share
from .svg import ACCENT, INK, MUTED, NOISE, NOISE_DASH, PAPER, PROVED, RULE, drawing, figure, inline
from .words import percent, radius

WIDTH, HEIGHT, TEXT = 400, 290, 12.5  # CSS pixels, for a wide page and a phone


def glance(summary: Summary, bounds: Sequence[float]) -> str:
    """The worst case over the radii with its interval, noise beside it, and the radius in question marked; as inline SVG."""
    at = radius(summary.eps, summary.threat, bounds)
    label = f"Worst case against the {summary.threat} radius: {percent(summary.headline.robust)} at {at}."
    with drawing(TEXT):
        drawn = figure(WIDTH, HEIGHT)
        axes: Axes = drawn.add_axes((46 / WIDTH, 46 / HEIGHT, 1 - 70 / WIDTH, 1 - 78 / HEIGHT))
        clean = (0.0, summary.clean)
        for noise in summary.noise:
            _line(
                axes, [clean, *((cell.eps, cell.accuracy.robust) for cell in noise.cells)], NOISE, (0, NOISE_DASH), 1.4
            )
        proved = [(case.eps, case.proved) for case in summary.worst if case.proved is not None]
        _line(axes, proved, PROVED, "-", 2.0)
        worst = [clean, *((case.eps, case.accuracy.robust) for case in summary.worst)]
        known = [(eps, one) for eps, one in worst if one.n]
        low, high = ([100 * getattr(one, end) for _, one in known] for end in ("low", "high"))
        axes.fill_between([eps for eps, _ in known], low, high, color=ACCENT, alpha=0.15, linewidth=0)
        _line(axes, worst, ACCENT, "-", 3.2)
        _mark(axes, summary, at)
        last = summary.grid[-1]
        axes.set(xlim=(0, last), ylim=(0, 100))
        axes.set_yticks(range(0, 101, 25), [f"{tick} %" for tick in range(0, 101, 25)])
        ends = [(0.0, "0"), (last, radius(last, summary.threat, bounds))]
        ticks = [end for end in ends if abs(end[0] - summary.eps) > 0.2 * last]
        ticks.append((summary.eps, at))
        axes.set_xticks([place for place, _ in ticks], [name for _, name in ticks])
        axes.set_xlabel(f"{summary.threat} radius: how much may change")
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        return inline(drawn, "glance", label, "glance")


def _mark(axes: Axes, summary: Summary, at: str) -> None:
    """The radius in question, and the number there."""
    one = summary.headline.robust
    axes.axvline(summary.eps, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)
    place = summary.eps / summary.grid[-1]
    side = "left" if place < 0.25 else "right" if place > 0.75 else "center"
    note: dict[str, Any] = {"textcoords": "offset points", "ha": side}
    axes.annotate(f"asked: {at}", (summary.eps, 1), (0, 4), xycoords=("data", "axes fraction"), color=MUTED, **note)
    if one.n:
        axes.plot(
            [summary.eps],
            [100 * one.value],
            "o",
            color=ACCENT,
            markersize=8,
            markeredgecolor=PAPER,
            zorder=5,
            clip_on=False,
        )
        left = place > 0.7
        axes.annotate(
            percent(one), (summary.eps, 100 * one.value), (-9 if left else 9, 7), textcoords="offset points",
            ha="right" if left else "left", color=ACCENT, fontweight="bold",
        )  # fmt: skip


def _line(axes: Axes, points: Sequence[tuple[float, Share]], color: str, dash: object, width: float) -> None:
    known = [(eps, 100 * one.value) for eps, one in points if one.n]
    marker = "o" if color == PROVED else None
    axes.plot(
        [eps for eps, _ in known], [value for _, value in known], color=color, linestyle=dash, linewidth=width, marker=marker,
        markersize=5, zorder=3, clip_on=False,
    )  # fmt: skip
