"""`brittle list`."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from ..errors import unknown
from .screen import console

KINDS = ("attacks", "threats", "data", "victims", "losses")


def list_(kind: Annotated[str, typer.Argument(help="attacks, threats, data, victims or losses")]) -> None:
    """List what there is: attacks, threats, data, victims or losses."""
    from rich.table import Table

    if kind not in KINDS:
        raise unknown("list", kind, KINDS)
    if kind == "attacks":
        table = _attacks()
    else:
        table = Table("name", "what it is", box=None, pad_edge=False, header_style="bold")
        for name, about in _described(kind).items():
            table.add_row(name, about)
    console.print(table)


def _attacks() -> object:
    from rich.table import Table

    from ..attacks import ATTACKS

    table = Table("attack", "access", "norms", "cost (F forwards, B backwards)", "paper", box=None, pad_edge=False)
    for name, entry in ATTACKS.items():
        table.add_row(name, entry.access.value, entry.norms, entry.cost, entry.paper)
    return table


def _described(kind: str) -> dict[str, str]:
    """Name to one line."""
    if kind == "data":
        from ..data.open import known_data

        return known_data()
    if kind == "victims":
        from ..victims.open import known_victims

        return known_victims()
    if kind == "threats":
        from ..threats import THREATS

        return {name: _first_line(maker) for name, maker in THREATS.items()}
    from ..core.losses import LOSSES

    return {name: _first_line(loss) for name, loss in LOSSES.items()}


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
