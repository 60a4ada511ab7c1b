"""`brittle train`: the small networks of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app.progress import progress_bar
from . import options
from .screen import console


def train(
    data: options.DATA,
    out: Annotated[Path, typer.Option(help="the .safetensors file to write")],
    net: Annotated[str, typer.Option(help="mlp or cnn")] = "mlp",
    epochs: Annotated[
        int | None, typer.Option(help="passes over the training data; default 5, or 30 for under 10,000 samples")
    ] = None,
    seed: options.SEED = 0,
) -> None:
    """Train a small network and save it as safetensors; attack it as net:FILE."""
    from ..app.train import train_and_save

    with progress_bar() as progress:
        accuracy = train_and_save(data, out, net=net, epochs=epochs, seed=seed, progress=progress)
    console.print(f"test accuracy {accuracy:.1%}, saved as {out}", highlight=False, soft_wrap=True)
