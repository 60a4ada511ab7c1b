"""How far, how fast, how long still: a bar on a terminal, elsewhere a line each half minute, and records for programs' logs."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..report.screen import Screen

Progress = Callable[[int, int, str], None]  # done, in all, what is being done
Left = Callable[
    [int, float], float | None
]  # done since the begin, seconds since then -> seconds left, None where that is not known

EVERY = 30.0  # seconds between lines where there is no terminal
log = logging.getLogger("brittle")
log.addHandler(logging.NullHandler())


class _Rate(ProgressColumn):
    """Done a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


class _State:
    """What was told last, and since when."""

    def __init__(self, left: Left | None) -> None:
        self.left, self.begun, self.first = left, time.monotonic(), 0
        self.done, self.total, self.what = 0, 0, ""

    def advance(self, done: int, total: int, what: str) -> None:
        if not self.what:
            self.first = done
        if what != self.what:
            log.info("%s (%d of %d)", what, done, total)
        self.done, self.total, self.what = done, total, what

    def remaining(self) -> str:
        """`about 4 min left`, or nothing where that is not known."""
        passed, done = time.monotonic() - self.begun, self.done - self.first
        if self.left is not None:
            seconds = self.left(done, passed)
        else:
            seconds = passed * (self.total - self.done) / done if done else None
        return "" if seconds is None else f"about {_rough(seconds)} left"

    def line(self) -> str:
        said = f"brittle: {self.what}, {self.done:,} of {self.total:,}"
        return f"{said}, {left}" if (left := self.remaining()) else said


@contextlib.contextmanager
def progress_bar(wanted: Progress | bool = True, left: Left | None = None) -> Iterator[Progress]:
    """A function that draws a bar on stderr, where that is a terminal, or has a line written there each half minute where it is none, as in
    a notebook or a log file; or the function given; or for False one that only logs.

    left: how long it still takes; default: for each as long as so far."""
    state = _State(left)
    if not isinstance(wanted, bool):
        yield _both(state.advance, wanted)
        return
    if not wanted:
        yield state.advance
        return
    console = Screen(stderr=True)
    with _bar(state, console) if console.is_terminal and not console.is_jupyter else _lines(state) as advance:
        yield advance


def _both(one: Progress, other: Progress) -> Progress:
    def advance(done: int, total: int, what: str) -> None:
        one(done, total, what)
        other(done, total, what)

    return advance


def _rough(seconds: float) -> str:
    """`12 s`, `4 min`, `2 h 5 min`: no more digits than a forecast has."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def _bar(state: _State, console: Screen) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:<24.24}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        _Rate(),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, visible=False, left="")

        def advance(done: int, total: int, name: str) -> None:
            state.advance(done, total, name)
            bar.update(task, completed=done, total=total, description=name, visible=True, left=state.remaining())

        yield advance


@contextlib.contextmanager
def _lines(state: _State) -> Iterator[Progress]:
    """Written by a thread of its own, so that a line comes also in the middle of what takes long."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(EVERY):
            if state.what:
                print(state.line(), file=sys.stderr, flush=True)

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield state.advance
    finally:
        over.set()
        speaker.join()
