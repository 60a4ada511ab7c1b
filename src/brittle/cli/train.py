"""`brittle train`: the small networks of the demo, and new heads on networks of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app.progress import progress_bar
from ..errors import InputError
from . import options
from .screen import print_json, say


def train(
    data: options.DATA,
    out: Annotated[Path, typer.Option(help="the .safetensors file to write")],
    net: Annotated[str | None, typer.Option(help="mlp or cnn; default mlp")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="passes over the training data; default 5, or 30 for under 10,000 samples")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="train only a new last layer, on the features of this VICTIM; with --freeze")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="leave the backbone's weights as they are")] = False,
    test: Annotated[str | None, typer.Option(help="DATA to measure the accuracy on; default: the test split")] = None,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Train a small network, or a new head on a frozen one, and save it as safetensors; attack it as net:FILE."""
    from ..app.train import splits, train_and_save, train_head

    if backbone is None and (freeze or device or trust):
        raise InputError("--freeze, --device and --trust are about a backbone; name it with --backbone VICTIM")
    if backbone is not None and not freeze:
        raise InputError("the backbone's own weights are not trained; add --freeze to train a new last layer alone")
    if backbone is not None and (net or epochs):
        raise InputError("--net and --epochs are of networks trained from nothing; leave them away with --backbone")
    with progress_bar(not quiet) as progress:
        if backbone is None:
            accuracy = train_and_save(
                data, out, test=test, net=net or "mlp", epochs=epochs, seed=seed, progress=progress
            )
        else:
            accuracy = train_head(
                data, out, backbone=backbone, test=test, device=device, trust=trust, progress=progress
            )
    if as_json:
        print_json({"accuracy": accuracy, "saved": str(out)})
    if as_json or quiet:
        return
    training, tested = splits(data, test)
    what = "accuracy on the training data" if training == tested else "test accuracy"
    say(f"{what} {accuracy:.1%}, saved as {out}")
