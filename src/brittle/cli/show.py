"""`brittle show`: the experiments that made the field famous, on a network of the user's choice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import unknown
from . import options
from .screen import aside, console, print_json, say, working

HUB = "timm:mobilenetv2_100"


def show(
    name: Annotated[str | None, typer.Argument(help="the experiment; without it they are listed")] = None,
    victim: Annotated[str, typer.Option(help="a VICTIM that takes pictures; see brittle list victims")] = HUB,
    picture: Annotated[
        Path | None, typer.Option(help="an image of your own, instead of the photograph it is known for")
    ] = None,
    target: Annotated[str | None, typer.Option(help="the class to reach, by name or number")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="the names of the outputs, one a line, where the network does not say them")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="where stickers may go, white on black, of the picture's proportions")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="another VICTIM to try what was made on; may be repeated")
    ] = None,
    out: options.OUT = None,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Run a famous experiment on a real network: a page and a picture of what was added and what the network sees."""
    from ..app.show import EXPERIMENTS, setting
    from ..app.show.photographs import doubts
    from ..report.exhibit import write_exhibit
    from ..victims.open import open_victim

    if name is None:
        _list(as_json)
        return
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    experiment = EXPERIMENTS[name]
    model, *others = (open_victim(text, device=device, trust=trust, output=output) for text in [victim, *(also or [])])
    with working(experiment.about, quiet):
        scene = setting(experiment, model, picture=picture, classes=classes, mask=mask, also=others, seed=seed)
        exhibit = experiment.run(scene, target or experiment.target)
        wrong = doubts(model, seed)
    if not quiet:
        for doubt in wrong:
            aside.print(
                f"warning: {doubt.measured} {doubt.why} {doubt.mend}", style="yellow", markup=False, highlight=False
            )
    folder = out or Path("runs") / "show"
    paths = [*write_exhibit(exhibit, folder), *(folder / name for name, _ in exhibit.files)]
    if as_json:
        told = {"name": exhibit.name, "found": exhibit.found, "held": exhibit.held}
        print_json({**told, "facts": dict(exhibit.facts), "files": list(map(str, paths))})
    elif not quiet:
        say(exhibit.found, *map(str, paths))


def _list(as_json: bool) -> None:
    from rich.table import Table

    from ..app.show import EXPERIMENTS

    if as_json:
        print_json({name: experiment.about for name, experiment in EXPERIMENTS.items()})
        return
    table = Table("name", "what it shows", box=None, pad_edge=False, header_style="bold")
    for name, experiment in EXPERIMENTS.items():
        table.add_row(name, experiment.about)
    console.print(table)
