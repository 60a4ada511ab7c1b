"""`brittle`: the commands, and the one place where an error becomes a sentence on the terminal."""

from __future__ import annotations

import sys

import typer

from ..errors import InputError
from . import (
    attack,
    blackbox,
    check,
    demo,
    diagnose,
    diff,
    evaluate,
    export,
    extract,
    inspect,
    listing,
    patch,
    show,
    train,
    transfer,
    universal,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure how brittle a machine-learning model is, find out why, and harden it.",
)
app.command()(demo.demo)
app.command()(evaluate.evaluate)
app.command()(attack.attack)
app.command()(universal.universal)
app.command()(patch.patch)
app.command()(transfer.transfer)
app.command()(extract.extract)
app.command()(blackbox.blackbox)
app.command()(show.show)
app.command()(inspect.inspect)
app.command()(diagnose.diagnose)
app.command()(evaluate.report)
app.command()(diff.diff)
app.command()(export.export)
app.command(name="list")(listing.list_)
app.command()(check.check)
app.command()(train.train)


def main() -> None:
    """Entry point: 0 done, 1 a check failed, 2 the input is wrong, 130 interrupted."""
    try:
        app()
    except InputError as error:
        print(f"brittle: {error}", file=sys.stderr)
        raise SystemExit(2) from None
