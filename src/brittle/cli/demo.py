"""`brittle demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .screen import console, interruptible, say, show_report


def demo(
    data: Annotated[str, typer.Option(help="digits (comes with brittle) or mnist")] = "digits",
    out: Annotated[Path | None, typer.Option(help="folder of the network, the run and the report")] = None,
    seed: options.SEED = 0,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Train a small network, attack it, print what is left of its accuracy, and write a report."""
    from ..app.demo import demo as run

    with interruptible():
        shown = run(data, out or Path("runs") / f"demo-{data}", seed=seed, progress=not quiet)
    if not (as_json or quiet):
        say(f"network: {shown.network}")
    show_report(shown.report, as_json, quiet)
    if as_json or quiet:
        return
    console.print(
        f"\nOne FGSM step of {shown.eps:g} leaves {shown.boxed:.1%} of the test digits right. Tutorials report far less, and so "
        f"would this network ({shown.unboxed:.1%}) if pixels were let out of [0, 1]: below black and above white, where no "
        "image can go.",
        highlight=False,
    )
