"""The summary as a table for the terminal, readable at 80 columns."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from .numbers import Summary, same_radius
from .shares import Share
from .words import amount, duration, interval, percent, radius, span

COLUMNS = 6  # radii that fit beside the names in 80 columns


def summary_table(summary: Summary) -> Table:
    """Robust accuracy and its interval: noise, each attack and the worst case, over the radii.

    Longer grids are thinned to six radii, the smallest, the one in question and the largest among them.
    """
    radii = shown_radii(summary)
    title = f"robust accuracy, {summary.threat}, clean {percent(summary.clean)} {interval(summary.clean)}"
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None)
    table.add_column("", overflow="fold", max_width=24)
    for eps in radii:
        asked = same_radius(eps, summary.eps)
        name = f"{'▸ ' if asked else ''}{radius(eps, summary.threat)}"
        table.add_column(name, justify="right", no_wrap=True, style="bold" if asked else "")
    for attack in sorted(summary.attacks, key=lambda attack: attack.role != "noise"):
        cells = [attack.at(eps) for eps in radii]
        style = "dim" if attack.role == "noise" else ""
        table.add_row(Text(attack.name), *(_both(cell.accuracy.robust) if cell else "–" for cell in cells), style=style)
    table.add_section()
    worst = {case.eps: case.accuracy.robust for case in summary.worst}
    table.add_row("worst case", *(_both(worst[eps]) for eps in radii), style="bold")
    proved = {case.eps: case.proved for case in summary.worst}
    if summary.proved is not None:
        table.add_row("proved", *(_both(share) if (share := proved[eps]) else "–" for eps in radii), style="green")
    return table


def chain_table(summary: Summary) -> Table:
    """What each stage of the chain was asked about at the radius in question, what it settled, what was left and what that cost."""
    table = Table(title="stage by stage", title_justify="left", title_style="bold", pad_edge=False, box=None)
    table.add_column("", overflow="fold", max_width=24)
    for name in ("samples", "settled", "left", "forwards", "backwards", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in summary.chain:
        cell = stage.at(summary.eps)
        if cell is None:
            table.add_row(Text(stage.name), *("–" for _ in range(6)))
            continue
        settled = f"{cell.settled:,} {'proved' if stage.role == 'proof' else 'fooled'}"
        passes = (amount(cell.cost.forwards_mean), amount(cell.cost.backwards_mean))
        table.add_row(
            Text(stage.name),
            f"{cell.asked:,}",
            settled,
            percent(cell.left.robust),
            *passes,
            duration(cell.cost.seconds),
        )
    cost = summary.cost
    table.add_section()
    table.add_row(
        "in all, a sample", f"{summary.clean.n:,}", "", percent(summary.headline.robust),
        amount(cost.forwards_mean), amount(cost.backwards_mean), duration(cost.seconds), style="bold",
    )  # fmt: skip
    return table


def stage_notes(summary: Summary) -> Table:
    """What each stage does that was asked about a sample at the radius in question."""
    title = "Each stage is asked about what those before it left open, as far as it is near enough to fall."
    table = Table(title=title, title_justify="left", title_style="dim", pad_edge=False, box=None, show_header=False)
    table.add_column(style="dim", overflow="fold", max_width=24)
    table.add_column(style="dim")
    for stage in summary.chain:
        if stage.about and (cell := stage.at(summary.eps)) and cell.asked:
            table.add_row(Text(stage.name), Text(stage.about))
    return table


def footnote(summary: Summary) -> str:
    """What the table's words mean, to be printed below it."""
    text = "95 % intervals. Worst case: right when untouched and not fooled by anything at this radius or below."
    if summary.unproved:
        text += f" No proofs: {summary.unproved}."
    if aside := sum(part.cost.aside for part in summary.parts):
        text += f" A surrogate was asked beside the model: {aside:,} forwards and backwards over all radii."
    return text if summary.complete else f"{text} INCOMPLETE: {summary.rows:,} of {summary.expected:,} rows."


def shown_radii(summary: Summary) -> list[float]:
    """At most six radii of the grid, the question's among them."""
    grid = list(summary.grid)
    if len(grid) <= COLUMNS:
        return grid
    asked = next(eps for eps in grid if same_radius(eps, summary.eps))
    chosen = {grid[0], asked, grid[-1]}
    for eps in sorted(grid, key=lambda eps: abs(grid.index(eps) - len(grid) / 2)):
        if len(chosen) < COLUMNS:
            chosen.add(eps)
    return sorted(chosen)


def _both(share: Share) -> Text:
    """The share, and in small below it the interval: `51 %` over `47–55`."""
    if not share.n:
        return Text("–")
    return Text.assemble(percent(share), "\n", (span(share), "dim not bold"))
