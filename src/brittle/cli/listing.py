"""`brittle list`, from a file that is made of the registries, so that it needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import unknown
from . import options
from .listed import listed
from .screen import console, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType

KINDS = {
    "attacks": "what --attack takes, by family, with what each costs",
    "directions": "what may be added to a gradient attack, as in mifgsm+di+ti",
    "threats": "what --threat takes: what an adversary may change, and how far",
    "data": "what DATA may be",
    "victims": "what VICTIM may be",
    "losses": "what loss= of an attack may be",
}


def list_(
    kind: Annotated[str | None, typer.Argument(help=f"{', '.join(KINDS)}; without it these are explained")] = None,
    as_json: options.JSON = False,
) -> None:
    """List what there is: attacks, directions, threats, data, victims or losses."""
    if kind is not None and kind not in KINDS:
        raise unknown("list", kind, KINDS)
    found: dict[str, Any] = KINDS if kind is None else listed()[kind]
    if as_json:
        print_json(found)
    else:
        console.print(_attacks(found) if kind == "attacks" else _lines(found, "list" if kind is None else "name"))


def _lines(found: dict[str, str], header: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(header, "what it is", box=None, pad_edge=False, header_style="bold")
    for name, about in found.items():
        table.add_row(name, Text(about))
    return table


def _attacks(families: dict[str, dict[str, dict[str, str]]]) -> RenderableType:
    """A table a family, their columns aligned."""
    from rich.console import Group
    from rich.table import Table

    parts: list[RenderableType] = []
    for heading, family in families.items():
        table = Table(box=None, pad_edge=False, expand=True, title=heading, title_justify="left", title_style="bold")
        table.add_column("attack", width=max(len(name) for names in families.values() for name in names))
        table.add_column("access", width=8)
        table.add_column("threats", width=10)
        table.add_column("cost (F forwards, B backwards)", ratio=1)
        table.add_column("paper", width=len("arXiv:2003.01690;"), overflow="fold")
        for name, columns in family.items():
            table.add_row(name, *columns.values())
        parts += [table, ""]
    return Group(*parts)
