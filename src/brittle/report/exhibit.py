"""An exhibit: one experiment on a real network as a page and a picture, with what the network said before and after.

Starts without torch: it is given pixels, names and numbers.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..files import make_folder, write_whole
from .gallery import as_png
from .template import filled
from .words import confidence

Bytes = NDArray[np.uint8]
BARS = 5  # classes shown below a picture
SMALLEST = 160  # pixels a side below which a picture is enlarged for the page, without smoothing
COLOURS = "Bars: the classes that the network finds likeliest. Orange: those that the experiment is about."
NARROW = 26  # letters of a class name in the figure
INK, MUTED, PAPER, BLUE, ORANGE = "#1d1c1a", "#62605b", "#fdfcfa", "#0067a3", "#c04a00"  # those of the page, by day


@dataclass(frozen=True)
class Likely:
    """A class and the probability that the network gives it. `marked` where the experiment is about it."""

    name: str
    probability: float
    marked: bool = False


@dataclass(frozen=True)
class Panel:
    """A picture (H, W, 3) or (H, W), 8 bits, and what the network takes it for: the likeliest classes first; empty for a perturbation."""

    title: str
    picture: Bytes
    likely: tuple[Likely, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers under a heading; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Part:
    """A step of the experiment: a heading, a sentence on what was done, pictures in a row, and tables."""

    heading: str
    text: str
    panels: tuple[Panel, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Exhibit:
    """`found` is what came of it, in one sentence with its numbers; `held` whether the claim that the experiment is known for came true.

    files: (name, contents) of what is written beside the page, such as a sheet to print.
    """

    name: str
    title: str
    question: str
    found: str
    held: bool
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes], ...] = ()


def write_exhibit(exhibit: Exhibit, folder: Path) -> tuple[Path, Path]:
    """Write NAME.html, NAME.png and the exhibit's files into the folder, which is made. Returns the first two paths.

    InputError where that cannot be.
    """
    make_folder(folder)
    page, picture = folder / f"{exhibit.name}.html", folder / f"{exhibit.name}.png"
    write_whole(page, render(exhibit).encode())
    write_whole(picture, drawn(exhibit))
    for name, contents in exhibit.files:
        write_whole(folder / name, contents)
    return page, picture


def render(exhibit: Exhibit) -> str:
    """The page's HTML: one file, no script, no network."""
    return filled("exhibit.html", {"confidence": confidence, "picture": _uri}, e=exhibit, smallest=SMALLEST)


def drawn(exhibit: Exhibit) -> bytes:
    """The pictures and their bars as one PNG, a part a row."""
    parts = [part for part in exhibit.parts if part.panels]
    columns = max((len(part.panels) for part in parts), default=1)
    bars = [1.0 if any(panel.likely for panel in part.panels) else 0.15 for part in parts] or [
        1.0
    ]  # of a band's height
    heights = [1.3 * (2.2 + bar) for bar in bars]
    figure = Figure(figsize=(2.9 * columns, sum(heights)), dpi=130, facecolor=PAPER, layout="constrained")
    bands = np.atleast_1d(np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights)))
    for band, part, bar in zip(bands, parts, bars, strict=False):
        band.set_facecolor(PAPER)
        band.suptitle(part.heading, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
        axes: Any = band.subplots(2, columns, height_ratios=(2.2, bar), squeeze=False)
        for column in range(columns):
            top, below = axes[0][column], axes[1][column]
            top.axis("off")
            below.axis("off")
            if column < len(part.panels):
                _draw(part.panels[column], top, below)
    network = dict(exhibit.facts).get("network", "")
    figure.suptitle(f"{exhibit.title}: {network}" if network else exhibit.title, fontsize=11, color=INK)
    if any(panel.likely for part in parts for panel in part.panels):
        figure.supxlabel(COLOURS, fontsize=7, color=MUTED)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _draw(panel: Panel, top: Axes, below: Axes) -> None:
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if panel.picture.ndim == 2 else {}
    top.imshow(panel.picture, interpolation="nearest" if max(panel.picture.shape[:2]) < SMALLEST else None, **grey)  # type: ignore[arg-type]
    top.set_title(panel.title, fontsize=9, color=INK)
    if panel.note:
        below.text(0.5, 1.02, panel.note, ha="center", fontsize=7, color=MUTED, transform=below.transAxes)
    for place, likely in enumerate(panel.likely[:BARS]):
        color = ORANGE if likely.marked else BLUE
        below.barh(-place, likely.probability, height=0.32, color=color, align="center")
        name = likely.name if len(likely.name) <= NARROW else likely.name[: NARROW - 1] + "…"
        below.text(0, -place + 0.2, name, fontsize=7, color=INK, va="bottom")
        below.text(1, -place + 0.2, confidence(likely.probability), fontsize=7, color=INK, va="bottom", ha="right")
    if panel.likely:
        below.set_xlim(0, 1)
        below.set_ylim(-BARS + 0.6, 0.9)


def _uri(picture: Bytes) -> str:
    """The picture as it is, as a PNG data URI."""
    return f"data:image/png;base64,{base64.b64encode(as_png(Image.fromarray(picture))).decode()}"
