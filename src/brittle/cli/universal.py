"""`brittle universal`: one perturbation for all inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app.progress import progress_bar
from ..errors import InputError
from ..files import make_folder
from . import options
from .screen import print_json, say


def universal(
    victim: options.VICTIM,
    data: options.DATA,
    threat: options.THREAT,
    out: Annotated[Path, typer.Option(help="the .safetensors file to write")],
    target: Annotated[
        str | None, typer.Option(help="the class that all should be taken for, by name or number")
    ] = None,
    samples: Annotated[int, typer.Option(help="the first so many")] = 1000,
    epochs: Annotated[int, typer.Option(help="passes over them")] = 10,
    batch_size: options.BATCH = 32,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Craft one perturbation that fools the model on most inputs; try it on others with --attack replay:path=FILE."""
    from ..app.universal import universal as craft
    from ..data.open import open_data
    from ..threats import parse_threat
    from ..victims.open import open_victim

    if out.suffix != ".safetensors":
        raise InputError(f"--out {out} does not end in .safetensors, the format it is saved in; add the ending")
    source = open_data(data)
    wanted = None if target is None else options.class_index(target, source.classes, "--target")
    model = open_victim(victim, device=device, trust=trust, bounds=source.bounds, output=output)
    with progress_bar(not quiet) as progress:
        attack = craft(
            model,
            source,
            parse_threat(threat),
            targets=wanted,
            samples=samples,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    make_folder(out.parent)
    attack.save(out)
    if as_json:
        print_json({"saved": str(out)})
    elif not quiet:
        say(f"saved as {out}; try it on data it was not made from: --attack replay:path={out}")
