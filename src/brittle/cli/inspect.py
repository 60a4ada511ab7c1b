"""`brittle inspect`: what a victim is, and what looks wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from . import options
from .exits import Exit
from .screen import console, print_json, working


def inspect(
    victim: options.VICTIM,
    data: options.MAYBE_DATA = None,
    samples: Annotated[int, typer.Option(help="the first so many, at most 64")] = 32,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Say what a model is, takes, answers and costs, and what looks wrong, before anything attacks it.

    Ends with 3 where something looks wrong.
    """
    from ..app.inspect import inspect as work

    with working("looking", quiet):
        found = work(victim, data, samples=samples, seed=seed, device=device, trust=trust, output=output)
    if as_json:
        print_json(asdict(found))
    elif not quiet:
        found.show(console)
    if found.findings:
        raise typer.Exit(Exit.FINDING)
