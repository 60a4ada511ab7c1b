"""`brittle list`."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from ..errors import unknown
from .screen import console

KINDS = ("attacks", "directions", "threats", "data", "victims", "losses")


def list_(kind: Annotated[str, typer.Argument(help="attacks, directions, threats, data, victims or losses")]) -> None:
    """List what there is: attacks, directions, threats, data, victims or losses."""
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
    """A table a family, their columns aligned."""
    from rich.console import Group
    from rich.table import Table

    from ..attacks.registry import FAMILIES

    parts: list[object] = []
    for heading, family in FAMILIES.items():
        table = Table(box=None, pad_edge=False, expand=True, title=heading, title_justify="left", title_style="bold")
        table.add_column("attack", width=max(len(name) for names in FAMILIES.values() for name in names))
        table.add_column("access", width=8)
        table.add_column("threats", ratio=2)
        table.add_column("cost (F forwards, B backwards)", ratio=4)
        table.add_column("paper", ratio=3)
        for name, entry in family.items():
            table.add_row(name, entry.access.value, entry.norms, entry.cost, entry.paper)
        parts += [table, ""]
    return Group(*parts)  # type: ignore[arg-type]


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
    if kind == "directions":
        from ..attacks.directions import DIRECTIONS

        return {name: _first_line(maker) for name, maker in DIRECTIONS.items()}
    from ..core.losses import LOSSES

    return {name: _first_line(loss) for name, loss in LOSSES.items()}


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
