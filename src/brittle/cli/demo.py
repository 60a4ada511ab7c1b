"""`brittle demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .screen import console, interruptible, show_report


def demo(
    data: Annotated[str, typer.Option(help="digits (comes with brittle) or mnist")] = "digits",
    out: Annotated[Path | None, typer.Option(help="folder of the network, the run and the report")] = None,
    seed: options.SEED = 0,
) -> None:
    """Train a small network, attack it, print what is left of its accuracy, and write a report."""
    from ..app.demo import demo as run

    with interruptible():
        shown = run(data, out or Path("runs") / f"demo-{data}", seed=seed)
    console.print(f"network: {shown.network}", highlight=False, soft_wrap=True)
    show_report(shown.report)
    console.print(
        f"\nOne FGSM step of {shown.eps:g} leaves {shown.boxed:.1%} of the test digits right. Tutorials report far less, and so "
        f"would this network ({shown.unboxed:.1%}) if pixels were let out of [0, 1]: below black and above white, where no "
        "image can go.",
        highlight=False,
    )
