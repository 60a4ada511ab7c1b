"""`brittle diagnose`: whether attacks by gradient can be believed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from . import options
from .exits import Exit
from .screen import console, print_json


def diagnose(
    victim: options.VICTIM,
    data: options.DATA,
    threat: options.THREAT,
    samples: Annotated[int, typer.Option(help="the first so many, at most 64")] = 32,
    dear: Annotated[bool, typer.Option("--dear", help="the checks too that cost minutes")] = False,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Find out whether attacks by gradient can be believed on a model, and if not, why and what to do.

    Ends with 3 where something was found.
    """
    from ..app.diagnose import diagnose as work

    found = work(victim, data, threat, samples=samples, dear=dear, seed=seed, device=device, trust=trust, output=output)
    if as_json:
        print_json(asdict(found))
    elif not quiet:
        found.show(console)
    if found.findings:
        raise typer.Exit(Exit.FINDING)
