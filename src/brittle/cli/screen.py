"""What the terminal shows of a finished evaluation."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from ..report.screen import Screen
from .exits import Exit

if TYPE_CHECKING:
    from ..app.evaluate import Report

console = Screen()  # results
aside = Screen(stderr=True)  # what is said beside them: progress, warnings, why a gate failed


def print_json(facts: object) -> None:
    """The result for programs. JSON knows no NaN and no infinity: they are null."""
    print(json.dumps(_finite(facts), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(facts: object) -> object:
    if isinstance(facts, dict):
        return {name: _finite(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_finite(value) for value in facts]
    return None if isinstance(facts, float) and not math.isfinite(facts) else facts


def say(*lines: str) -> None:
    """Lines of a result as they are, however wide the terminal."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_report(report: Report, as_json: bool, quiet: bool) -> None:
    """Table, warnings, and where the page is."""
    from ..report.page import write_report
    from ..report.plain import plain

    page = write_report(report.folder)
    if as_json:
        print_json({**plain(report.summary), "folder": str(report.folder), "report": str(page)})
    if quiet:
        return
    if as_json:
        for warning in report.warnings:
            aside.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    else:
        report.show(console)
        say(f"report: {page}")


def working(what: str, quiet: bool) -> contextlib.AbstractContextManager[object]:
    """A spinner on stderr, where that is a terminal."""
    return contextlib.nullcontext() if quiet else aside.status(what, spinner="dots")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends a run with a sentence and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print("brittle: interrupted; what is finished is on disk, run the same command again to go on", file=sys.stderr)
        raise typer.Exit(Exit.INTERRUPTED) from None
