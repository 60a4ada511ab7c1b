"""The two panels of a white box beside a black box: accuracy against the radius, a line a number of steps, noise dashed in both."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import WIDE, Format, both, spread_out
from .shares import Share
from .svg import INK, MARKERS, MUTED, NOISE, NOISE_DASH, PAPER, RULE, SERIES, drawing, figure

DAY = {  # the page's colours by day, for a picture that cannot follow the reader's light
    INK: "#1d1c1a", MUTED: "#62605b", RULE: "#dcd8d0", PAPER: "#fdfcfa", NOISE: "#77746e",
    **dict(zip(SERIES, ("#0067a3", "#c04a00", "#007a5a", "#a5417f", "#8a6500", "#5b55c8"), strict=True)),
}  # fmt: skip


NOTE = "Share of the samples that the target gets right. T: steps of I-FGSM. Bands: 95 % intervals. Dotted: the radius asked about."


@dataclass(frozen=True)
class Line:
    """Shares against radii, from 0 on. `place` chooses colour and marker; None is noise."""

    name: str
    points: tuple[tuple[float, Share], ...]
    place: int | None


@dataclass(frozen=True)
class Plot:
    """Lines by the title of their panel, the names of their radii but 0, the radius in question, what the axis is, and what all shows."""

    panels: Mapping[str, Sequence[Line]]
    radii: tuple[str, ...]
    eps: float
    axis: str
    title: str


def svg(plot: Plot) -> str:
    """Inline SVG for a wide page and for a phone."""
    label = "Accuracy of the target against the radius, for white box, black box and noise. The table below has the numbers."
    return both(partial(_draw, plot, {}), "blackbox", label)


def picture(plot: Plot) -> bytes:
    """The wide figure as PNG."""
    stream = io.BytesIO()
    with drawing(WIDE.text):
        mpl.rcParams.update(
            {
                "text.color": DAY[INK],
                "axes.labelcolor": DAY[INK],
                "axes.edgecolor": DAY[RULE],
                "xtick.labelcolor": DAY[MUTED],
                "ytick.labelcolor": DAY[MUTED],
            }
        )
        drawn = _draw(plot, DAY, WIDE, {"bottom": 0.19, "top": 0.8})
        drawn.set_figheight(1.2 * drawn.get_figheight())
        drawn.text(0.01, 0.93, plot.title, fontweight="bold")
        drawn.text(0.01, 0.03, NOTE, color=DAY[MUTED], fontsize="small")
        drawn.savefig(stream, format="png", dpi=190, facecolor=DAY[PAPER])
    return stream.getvalue()


def _draw(plot: Plot, palette: Mapping[str, str], form: Format, edges: Mapping[str, float] | None = None) -> Figure:
    """edges: where the panels end above and below, as shares of the height, where more is to be written there."""
    wide = form is WIDE
    drawn = figure(form.width, 360 if wide else 290 * len(plot.panels))
    rows, columns = (1, len(plot.panels)) if wide else (len(plot.panels), 1)
    room: dict[str, Any] = (
        {"left": 0.07, "right": 0.905, "bottom": 0.15, "top": 0.9, "wspace": 0.44}
        if wide
        else {"left": 0.14, "right": 0.82, "bottom": 0.08, "top": 0.95, "hspace": 0.4}
    )
    axes_of = drawn.subplots(rows, columns, squeeze=False, gridspec_kw={**room, **(edges or {})}).ravel()
    for axes, (title, lines) in zip(axes_of, plot.panels.items(), strict=True):
        axes.set_title(title, loc="left", fontsize="medium", color=palette.get(INK, INK), pad=10)
        _panel(axes, lines, plot, palette, form)
    return drawn


def _panel(axes: Axes, lines: Sequence[Line], plot: Plot, palette: Mapping[str, str], form: Format) -> None:
    def tone(color: str) -> str:
        return palette.get(color, color)

    ends: list[tuple[float, str, str]] = []
    for line in lines:
        color = tone(NOISE if line.place is None else SERIES[line.place % len(SERIES)])
        marker = None if line.place is None else list(MARKERS)[line.place % (len(MARKERS) - 1)]
        x = [radius for radius, _ in line.points]
        low, middle, high = ([100 * getattr(one, end) for _, one in line.points] for end in ("low", "value", "high"))
        axes.fill_between(x, low, high, color=color, alpha=0.07, linewidth=0)
        axes.plot(
            x, middle, color=color, linewidth=1.6, linestyle=(0, NOISE_DASH) if line.place is None else "-", marker=marker,
            markersize=5, markeredgecolor=tone(PAPER), markeredgewidth=0.8, zorder=3, clip_on=False,
        )  # fmt: skip
        ends.append((middle[-1], line.name, color))
    places = [radius for radius, _ in lines[0].points]
    last = places[-1]
    axes.axvline(plot.eps, color=tone(INK), linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)
    axes.set(xlim=(0, last), ylim=(0, 100))
    axes.set_yticks(range(0, 101, 20), [f"{tick} %" for tick in range(0, 101, 20)])
    kept = _apart(places, 0.2 * last, plot.eps)
    axes.set_xticks([places[i] for i in kept], [("0", *plot.radii)[i] for i in kept])
    axes.set_xlabel(plot.axis)
    axes.grid(axis="y", color=tone(RULE), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    ordered = sorted(ends)
    height = axes.bbox.height / axes.figure.dpi * 96
    apart = spread_out([value for value, _, _ in ordered], 100 * (form.text + 2) / height, 0, 100)
    for (value, name, color), place in zip(ordered, apart, strict=True):
        axes.plot([1.015 * last, 1.05 * last], [value, place], color=color, linewidth=0.7, clip_on=False)
        axes.text(1.065 * last, place, name, color=color, va="center", clip_on=False)


def _apart(places: Sequence[float], room: float, eps: float) -> list[int]:
    """The places at least `room` apart whose names fit: first the one in question and 0, then from the right."""
    kept: list[int] = []
    for i in sorted(range(len(places)), key=lambda i: (places[i] != eps, places[i] != 0, -places[i])):
        if all(abs(places[i] - places[j]) >= room for j in kept):
            kept.append(i)
    return sorted(kept)
