"""What the terminal shows: the progress bar, and a finished evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from ..app.evaluate import Report

console = Console()


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A function (rows done, rows in all, name of the cell) that draws a bar with rate and time left, on stderr."""
    columns = (
        TextColumn("{task.description:<18.18}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, visible=False)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name, visible=True)

        yield advance


def show_report(report: Report, page: Path | None = None) -> None:
    """Table, headline, warnings, and where the page is."""
    from ..report.page import write_report
    from ..report.terminal import summary_table

    console.print(summary_table(report.summary))
    for warning in report.warnings:
        console.print(f"[yellow]warning[/yellow] {warning}", highlight=False)
    written = page or write_report(report.folder)
    console.print(f"report: {written}", soft_wrap=True, highlight=False)
