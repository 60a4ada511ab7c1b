"""What the terminal shows of a finished evaluation."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from .exits import Exit

if TYPE_CHECKING:
    from ..app.evaluate import Report

console = Console()


def print_json(facts: object) -> None:
    """The result for programs: plain JSON, in which no NaN or infinity can be written."""
    print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))


def show_report(report: Report) -> None:
    """Table, warnings, and where the page is."""
    from ..report.page import write_report

    report.show(console)
    console.print(f"report: {write_report(report.folder)}", soft_wrap=True, highlight=False)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends a run with a sentence and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print("brittle: interrupted; what is finished is on disk, run the same command again to go on", file=sys.stderr)
        raise typer.Exit(Exit.INTERRUPTED) from None
