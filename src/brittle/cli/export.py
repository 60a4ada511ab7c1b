"""`brittle export`: the rows of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .screen import print_json, say


def export(
    run: Annotated[Path, typer.Argument(help="the folder of an evaluation")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    format: Annotated[str | None, typer.Option(help="csv, json or parquet; default: as the file's name ends")] = None,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Write the rows of a run, one for each sample, attack and radius, as CSV, JSON or Parquet."""
    from ..report.export import export as write

    path = write(run, out, format)
    if as_json:
        print_json({"rows": str(path)})
    elif not quiet:
        say(f"rows: {path}")
