"""The progress bar: how far, how fast, how long still."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

Progress = Callable[[int, int, str], None]  # done, in all, what is being done


class _Rate(ProgressColumn):
    """Done a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


@contextlib.contextmanager
def progress_bar(wanted: Progress | bool = True) -> Iterator[Progress | None]:
    """A function that draws a bar on stderr, where that is a terminal; or the function given; or None for False."""
    if not isinstance(wanted, bool):
        yield wanted
        return
    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield None
        return
    columns = (
        TextColumn("{task.description:<18.18}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, visible=False)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name, visible=True)

        yield advance
