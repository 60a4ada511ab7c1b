"""What the terminal shows of a finished evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from ..app.evaluate import Report

console = Console()


def show_report(report: Report) -> None:
    """Table, warnings, and where the page is."""
    from ..report.page import write_report

    report.show(console)
    console.print(f"report: {write_report(report.folder)}", soft_wrap=True, highlight=False)
