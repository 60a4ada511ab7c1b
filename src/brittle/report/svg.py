"""A matplotlib figure as inline SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure

# matplotlib wants real colours; these stand for the page's own, which follow the reader's light or dark scheme
INK, MUTED, RULE, PAPER, NOISE = "#010101", "#020202", "#030303", "#040404", "#050505"
ACCENT, PROVED = "#070707", "#080808"
SERIES = tuple(f"#0600{i:02x}" for i in range(1, 7))
_NAMED = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper", NOISE: "noise", ACCENT: "accent", PROVED: "proved"}
_VARIABLES = _NAMED | {color: f"series-{i}" for i, color in enumerate(SERIES, start=1)}
MARKERS = {  # matplotlib's name, and the same shape around (13, 5) for the page's legend
    "o": "M9 5a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "s": "M9.5 1.5h7v7h-7z",
    "^": "M13 1l4.3 8h-8.6z",
    "D": "M13 .5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
    "v": "M13 9l4.3-8h-8.6z",
    "P": "M11.5 1h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
    "": "",
}
DASHES: tuple[tuple[float, ...], ...] = ((), (2.5, 1.5), (1.0, 1.0))
NOISE_DASH = (4.0, 3.0)

PIXEL = 1 / 96  # inches


@contextmanager
def drawing(text_px: float) -> Iterator[None]:
    """Settings under which a figure is drawn: text stays text, colours are the page's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.fonttype": "none",
                "font.size": text_px * 72 / 96,
                "axes.facecolor": "none",
                "text.color": INK,
                "axes.labelcolor": INK,
                "axes.edgecolor": RULE,
                "axes.linewidth": 0.75,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.labelsize": "medium",
                "xtick.color": RULE,
                "ytick.color": RULE,
                "xtick.labelcolor": MUTED,
                "ytick.labelcolor": MUTED,
                "xtick.labelsize": "medium",
                "ytick.labelsize": "medium",
                "text.parse_math": False,
            }
        )
        yield


def figure(width: float, height: float) -> Figure:
    """An empty transparent figure of so many CSS pixels."""
    return Figure(figsize=(width * PIXEL, height * PIXEL), dpi=96, facecolor="none")


def inline(drawn: Figure, name: str, label: str, css_class: str) -> str:
    """The figure as one <svg> element without metadata, ids that nothing refers to, namespaces or fonts of its own.

    `name` salts the ids that remain (clip paths, markers), so that they are unique in the page; `label` is what a
    screen reader says.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": f"brittle-{name}"}):
        drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"font: (?:[\w.]+ )?([\d.]+)px '[^;\"]*", r"font-size: \1px", text)
    used = set(re.findall(r'(?:url\(#|href="#)(\w+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), text)  # a hundredth of a pixel
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var(--{variable})")
    # the size in points goes; the view box and the page's width decide
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    text = f'<svg class="{css_class}" {box[0]} role="img" aria-label="{_escaped(label)}">{body}'
    return re.sub(r"\n\s*", "\n", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
