"""A comparison of two runs for the terminal, readable at 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from .compare import Paired
from .diff import Change, Diff
from .numbers import same_radius
from .shares import share
from .words import percent, radius, several

SHOWN = 12  # ids that are listed


def diff_table(diff: Diff) -> Table:
    """A row for each share and radius: both shares, their difference with its interval, samples of one run alone, and McNemar's p."""
    title = f"{diff.data}, {diff.threat}: A = {diff.victims[0]} ({diff.first}), B = {diff.victims[1]} ({diff.second})"
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None, header_style="bold")
    table.add_column("", overflow="fold", max_width=20)
    for name in ("eps", "A", "B", "B − A, points", "only A", "only B", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    before = ""
    for change in diff.changes:
        if before and change.what != before:
            table.add_section()
        pair, asked = change.pair, same_radius(change.eps, diff.eps)
        table.add_row(
            Text("" if change.what == before else change.what),
            "" if change.what == "clean" else f"{'▸ ' if asked else ''}{radius(change.eps, diff.threat)}",
            percent(share(pair.both + pair.first, pair.n)),
            percent(share(pair.both + pair.second, pair.n)),
            points(pair),
            f"{pair.first:,}",
            f"{pair.second:,}",
            probability(pair.p),
            style="bold" if change.what == "worst case" and asked else "",
        )
        before = change.what
    return table


def footnotes(diff: Diff) -> Iterator[str]:
    """What the table's words mean, which samples changed, and what was not compared."""
    yield (
        "Right and not fooled, on the samples measured in both runs; 95 % intervals; p: exact McNemar test of each row by itself. "
        "Worst case: fooled by nothing that both runs tried, at this radius or below."
    )
    shown = [change for change in diff.changes if change.what == "clean" or _asked(change, diff)]
    for change in shown:
        where = "clean, right" if change.what == "clean" else "worst case, robust"
        for run, ids in (("A", change.only_first), ("B", change.only_second)):
            if ids:
                listed = ", ".join(map(str, ids[:SHOWN]))
                more = f" and {len(ids) - SHOWN:,} more (--json has all)" if len(ids) > SHOWN else ""
                yield f"{where} in {run} alone: samples {listed}{more}"
    if diff.unmatched:
        yield f"In one run alone, so not compared: {several(diff.unmatched)}."
    if diff.differing:
        yield f"Not compared either, of the same name with other settings: {several(diff.differing)}."


def points(pair: Paired) -> str:
    """`−6 [−9, −2]`: what the second share has more than the first, in points, with as many decimals as the interval supports.

    The interval is rounded outwards, so that what is printed covers what was computed.
    """
    if not pair.n:
        return "–"
    low, high = -100 * pair.high, -100 * pair.low
    places = 0 if high - low >= 1 else 1 if high - low >= 0.1 else 2
    scale = 10**places
    low, high = math.floor(low * scale + 1e-9) / scale, math.ceil(high * scale - 1e-9) / scale
    return f"{_signed(-100 * pair.difference, places)} [{_signed(low, places)}, {_signed(high, places)}]"


def probability(p: float) -> str:
    """`0.03`, `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def _signed(value: float, places: int) -> str:
    text = f"{abs(value):.{places}f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def _asked(change: Change, diff: Diff) -> bool:
    return change.what == "worst case" and same_radius(change.eps, diff.eps)
