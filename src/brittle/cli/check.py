"""`brittle check`: the conformance suite on an attack of one's own."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import options
from .exits import Exit
from .screen import console, print_json

if TYPE_CHECKING:
    from ..testing.findings import Finding


def check(
    attack: Annotated[str, typer.Argument(help="module:Attack, a class or a function that returns an attack value")],
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Run the conformance suite on an attack; exits with 3 when it breaks a rule."""
    from ..testing.conformance import check_attack

    findings = check_attack(_load(attack))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    elif not quiet:
        _show(findings)
    if not all(finding.passed for finding in findings):
        raise typer.Exit(Exit.FINDING)


def _show(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "finding", box=None, pad_edge=False, header_style="bold")
    for finding in findings:
        mark = Text("ok", "green") if finding.passed else Text("FAILED", "red")
        table.add_row(mark, finding.name, finding.sentence)
    console.print(table)
    failed = sum(not finding.passed for finding in findings)
    console.print(f"{len(findings) - failed} of {len(findings)} checks passed", highlight=False)


def _load(text: str) -> object:
    """The attack value that `module:name` makes when called without arguments, or is."""
    module_name, _, name = text.partition(":")
    if not name:
        raise InputError(f"{text!r} is not module:Attack; write for example mypackage.attacks:MyAttack")
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(module_name), name)
        return made() if isinstance(made, type) or not hasattr(made, "__dataclass_fields__") else made
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"{text!r} cannot be made ({error}); it must be importable and need no arguments") from None
