"""`brittle transfer`: crafted on some networks, tried on others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..files import make_folder, write_whole
from . import options
from .screen import console, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..app.transfer import Matrix


def transfer(
    data: options.DATA,
    surrogate: Annotated[str, typer.Option(help="the networks to craft on: VICTIM[,VICTIM]")],
    target: Annotated[str, typer.Option(help="the networks to fool: VICTIM[,VICTIM]")],
    threat: options.THREAT,
    attack: options.ATTACKS = None,
    ensemble: Annotated[
        str, typer.Option(help="what several surrogates together average: logits, probabilities or both, with a comma")
    ] = "logits",
    targeted: Annotated[
        bool, typer.Option("--targeted", help="towards a class drawn for each image; good losses: logit, margin")
    ] = False,
    samples: Annotated[
        int | None, typer.Option(help="so many images that all networks get right; default: all")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="a .json file for the numbers")] = None,
    batch_size: options.BATCH = 32,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """How often what fools the surrogates fools the targets, on images that all of them get right, beside noise of the same size."""
    from ..app.transfer import transfer as run
    from ..data.open import open_data
    from ..victims.open import open_victim

    if out is not None and out.suffix != ".json":
        raise InputError(f"--out {out} does not end in .json, the format it is written in; add the ending")
    source = open_data(data)
    crafting, tried = _listed(surrogate, "--surrogate"), _listed(target, "--target")
    short = shorter([*crafting, *tried])
    opened = {
        text: open_victim(text, device=device, trust=trust, bounds=source.bounds, output=output)
        for text in dict.fromkeys([*crafting, *tried])
    }
    matrix = run(
        {short[text]: opened[text] for text in crafting},
        {short[text]: opened[text] for text in tried},
        source,
        threat,
        attacks=attack or ("mifgsm", "mifgsm+di+ti"),
        ensembles=_listed(ensemble, "--ensemble", "way"),
        targeted=targeted,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
    )
    if as_json:
        print_json(matrix.plain())
    elif not quiet:
        console.print(table(matrix))
        console.print(_footnote(matrix), style="dim", highlight=False)
    if out is not None:
        make_folder(out.parent)
        write_whole(out, (json.dumps(matrix.plain(), indent=1) + "\n").encode())
        if not (as_json or quiet):
            say(f"written to {out}")


def table(matrix: Matrix) -> Table:
    """A row a surrogate and attack, a column a network; dim where the network is the surrogate itself or part of it."""
    from rich.table import Table
    from rich.text import Text

    from ..report.words import percent, radius

    won = "taken for a class drawn for each" if matrix.wanted else "fooled"
    title = (
        f"{won}, of {len(matrix.images)} images that all get right, {matrix.threat} {radius(matrix.eps, matrix.threat)}"
    )
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown.add_column("crafted on", overflow="fold")
    shown.add_column("attack", overflow="fold")
    for name in matrix.networks:
        shown.add_column(name, justify="right", overflow="fold")
    last = ""
    for row in matrix.rows:
        place = " + ".join(row.surrogates) + (f" (mean of {row.ensemble})" if row.ensemble else "")
        if place != last:
            shown.add_section()
        own, crafted = row.surrogates, "" if place == last else place
        cells = [Text(percent(row.wrong[name]), style="dim" if name in own else "bold") for name in matrix.networks]
        shown.add_row(Text(crafted), Text(row.attack.replace("+", " + ")), *cells)
        last = place
    return shown


def shorter(texts: Sequence[str]) -> dict[str, str]:
    """The last part of each VICTIM string, without folder and ending; the whole string where two would be the same."""
    parts = {text: text.partition("?")[0].rpartition(":")[2].rpartition("/")[2] for text in texts}
    ends = (".safetensors", ".pt", ".pth", ".onnx", ".keras")
    parts = {
        text: next((part.removesuffix(end) for end in ends if part.endswith(end)), part) for text, part in parts.items()
    }
    counts = list(parts.values())
    return {text: part if counts.count(part) == 1 else text for text, part in parts.items()}


def _footnote(matrix: Matrix) -> str:
    from ..report.words import interval

    first = matrix.rows[0].wrong[matrix.networks[-1]]
    return (
        f"{matrix.seen} images looked at; a mistake on the clean image never counts. Grey: crafted on that network. "
        f"95 % intervals are in --out; for instance {first.count} of {first.n} is {interval(first)}."
    )


def _listed(text: str, option: str, what: str = "network") -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise InputError(f"{option} is empty; name one {what} or more, separated by commas")
    return names
