"""`brittle`: the commands, and the one place where an error becomes a sentence on the terminal."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..errors import InputError, printable
from ..outside import reason
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
from .exits import TABLE, Exit

TRACE = "BRITTLE_TRACEBACK"  # set where a developer wants to see where something went wrong

GROUPS: dict[str, dict[str, Callable[..., Any]]] = {  # by what a user wants to do, in the order of the first hour
    "Begin": {"demo": demo.demo, "show": show.show, "list": listing.list_, "train": train.train},
    "Measure a model": {"evaluate": evaluate.evaluate, "report": evaluate.report, "export": export.export},
    "Compare": {"diff": diff.diff, "blackbox": blackbox.blackbox},
    "Understand a model": {"inspect": inspect.inspect, "diagnose": diagnose.diagnose},
    "Make adversarial examples": {
        "attack": attack.attack,
        "universal": universal.universal,
        "patch": patch.patch,
        "transfer": transfer.transfer,
        "extract": extract.extract,
    },
    "Write an attack": {"check": check.check},
}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure how brittle a machine-learning model is, and find out why.",
    epilog=f"Exit codes: {TABLE}.",
)
for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group)(command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"brittle {__version__}")
        raise typer.Exit(Exit.DONE)


@app.callback()
def begin(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say which it is")
    ] = False,
) -> None:
    """What stands before a command."""


def main() -> None:
    """Entry point; `Exit` has what its exit codes say."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without the character still shows which it is
    warnings.showwarning = partial(_warned, warnings.showwarning)
    try:
        app(prog_name="brittle")
    except InputError as error:
        print(f"brittle: {error}", file=sys.stderr)
        raise SystemExit(Exit.WRONG_INPUT) from None
    except OSError as error:
        _unwritten(error)
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        print(
            f"brittle: a fault of brittle itself ({reason(error)}); {TRACE}=1 in the environment shows where",
            file=sys.stderr,
        )
        raise SystemExit(Exit.TROUBLE) from None
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            _unwritten(error)


def _warned(otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Our own warnings are for people: the sentence alone. Those of libraries stay as they are."""
    if category is UserWarning:
        print(f"brittle: {printable(str(message))}", file=sys.stderr)
    else:
        otherwise(message, category, *where)


def _unwritten(error: OSError) -> NoReturn:
    """What was to be shown could not be: the disk behind it is full, or the reader has gone. Python must not try it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        print(f"brittle: the output cannot be written ({reason(error)}); what --out names is whole", file=sys.stderr)
    raise SystemExit(Exit.TROUBLE) from None
