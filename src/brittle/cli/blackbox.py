"""`brittle blackbox`: white box against black box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..specs import parse_whole
from . import options
from .screen import console, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..report.blackbox import Study


def blackbox(
    data: options.DATA,
    target: Annotated[str, typer.Option(help="the VICTIM to fool")],
    surrogate: Annotated[str, typer.Option(help="the VICTIM whose gradients the black box has")],
    threat: options.THREAT,
    steps: Annotated[str, typer.Option(help="of I-FGSM; 1 is FGSM")] = "1,5,10,20",
    grid: Annotated[str | None, typer.Option(help="perturbation sizes, such as 2/255,4/255,8/255")] = None,
    samples: Annotated[int | None, typer.Option(help="so many, spread over the data; default: all")] = None,
    out: options.OUT = None,
    batch_size: options.BATCH = 32,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """FGSM and I-FGSM with the target's own gradients, with another network's, and noise: a table, a page and a picture."""
    from ..app.blackbox import blackbox as run
    from ..data.open import open_data
    from ..report.blackbox import claims, plain, write_study
    from ..specs import parse_number
    from ..victims.open import open_victim
    from .transfer import shorter

    source = open_data(data)
    names = shorter([target, surrogate])
    aimed, other = (
        replace(open_victim(text, device=device, trust=trust, bounds=source.bounds, output=output), name=names[text])
        for text in (target, surrogate)
    )
    study = run(
        aimed,
        other,
        source,
        threat,
        steps=_counts(steps),
        grid=[parse_number(part) for part in grid.split(",")] if grid else None,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
    )
    written = write_study(study, out or Path("runs") / "blackbox")
    if as_json:
        print(plain(study), end="")
    elif not quiet:
        console.print(table(study))
        say(*(f"{claim.fact} {claim.found}: {claim.verdict}." for claim in claims(study)), *map(str, written))


def table(study: Study) -> Table:
    """A row an attack, a column a radius; the one in question bold."""
    from rich.table import Table
    from rich.text import Text

    from ..report.shares import share
    from ..report.words import percent, radius

    clean = percent(share(sum(study.right), len(study.right)))
    title = f"{study.target} right, of {len(study.right)} samples; untouched {clean}; {study.threat} radius"
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown.add_column("crafted with")
    for eps in study.grid:
        shown.add_column(radius(eps, study.threat, study.bounds), justify="right")
    for curve in study.curves:
        cells = [
            Text(percent(one), style="bold" if eps == study.eps else "")
            for eps, one in zip(study.grid, curve.shares, strict=True)
        ]
        shown.add_row(curve.name, *cells, end_section=curve.steps == study.steps[-1])
    return shown


def _counts(text: str) -> tuple[int, ...]:
    counts = [parse_whole(part.strip()) for part in text.split(",")]
    known = tuple(count for count in counts if count is not None)
    if len(known) < len(counts):
        raise InputError(f"--steps {text} are no numbers of steps; write for example 1,5,10,20")
    return known
