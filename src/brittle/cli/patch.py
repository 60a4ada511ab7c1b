"""`brittle patch`: one patch for all pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app.progress import progress_bar
from ..errors import InputError
from ..files import make_folder, write_whole
from . import options
from .screen import print_json, say


def patch(
    victim: options.VICTIM,
    data: options.DATA,
    target: Annotated[str, typer.Option(help="the class that all should be taken for, by name or number")],
    out: Annotated[Path, typer.Option(help="the .safetensors file to write; a picture is put beside it")],
    side: Annotated[float, typer.Option(help="its width, as a share of the picture's shorter side")] = 0.45,
    angle: Annotated[float, typer.Option(help="degrees by which it may lie turned, either way")] = 20.0,
    square: Annotated[bool, typer.Option("--square", help="a square, not a disc")] = False,
    samples: Annotated[int, typer.Option(help="the first so many")] = 1000,
    steps: Annotated[int, typer.Option(help="of Adam, each on a batch")] = 500,
    batch_size: Annotated[int, typer.Option(help="pictures a step")] = 16,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Craft a patch that makes any picture the target; try it on others with --attack stick:path=FILE --threat box."""
    from PIL import Image

    from ..app.patch import patch as craft
    from ..data.open import open_data
    from ..report.gallery import as_png, pixels
    from ..victims.open import open_victim

    if out.suffix != ".safetensors":
        raise InputError(f"--out {out} does not end in .safetensors, the format it is saved in; add the ending")
    source = open_data(data)
    model = open_victim(victim, device=device, trust=trust, bounds=source.bounds, output=output)
    wanted = options.class_index(target, model.classes or source.classes, "--target")
    with progress_bar(not quiet) as progress:
        made = craft(
            model,
            source,
            wanted,
            round=not square,
            side=(side, side),
            angle=angle,
            samples=samples,
            steps=steps,
            batch_size=batch_size,
            bounds=source.bounds,
            seed=seed,
            progress=progress,
        )
    make_folder(out.parent)
    made.save(out)
    write_whole(out.with_suffix(".png"), as_png(Image.fromarray(pixels(made.picture.numpy(), model.range))))
    if as_json:
        print_json({"saved": str(out), "picture": str(out.with_suffix(".png"))})
    elif not quiet:
        say(f"saved as {out}; try it on others: --attack stick:path={out} --threat box")
