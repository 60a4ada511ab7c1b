"""`brittle diff`: two finished runs, sample by sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .screen import console


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of an evaluation")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of another, on the same data and threat")],
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON, with all ids")] = False,
) -> None:
    """Compare two models, or two versions of one: robust accuracies, whether chance explains the change, which samples changed."""
    from ..report.diff import diff as compare
    from ..report.diff_table import diff_table, footnotes

    found = compare(first, second)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    console.print(diff_table(found))
    for line in footnotes(found):
        console.print(line, style="dim", highlight=False)
