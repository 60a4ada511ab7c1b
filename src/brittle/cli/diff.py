"""`brittle diff`: two finished runs, sample by sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .screen import console, print_json


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of an evaluation")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of another, on the same data and threat")],
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Compare two models, or two versions of one: robust accuracies, whether chance explains the change, which samples changed."""
    from ..report.diff import diff as compare
    from ..report.diff_table import diff_table, footnotes

    found = compare(first, second)
    if as_json:
        print_json(found.as_dict())
    if as_json or quiet:
        return
    if alone := (*found.unmatched, *found.differing):
        console.print(
            f"Compared is what both runs tried; not: {', '.join(alone)}.", style="bold", highlight=False, markup=False
        )
    console.print(diff_table(found))
    for line in footnotes(found):
        console.print(line, style="dim", highlight=False)
