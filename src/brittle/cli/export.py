"""`brittle export`: the rows of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .screen import console


def export(
    run: Annotated[Path, typer.Argument(help="the folder of an evaluation")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    format: Annotated[str | None, typer.Option(help="csv, json or parquet; default: as the file's name ends")] = None,
) -> None:
    """Write the rows of a run, one for each sample, attack and radius, as CSV, JSON or Parquet."""
    from ..report.export import export as write

    console.print(f"rows: {write(run, out, format)}", soft_wrap=True, highlight=False)
