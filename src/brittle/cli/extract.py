"""`brittle extract`: a surrogate of a model that only answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from . import options
from .screen import print_json, say


def extract(
    victim: options.VICTIM,
    data: options.DATA,
    queries: Annotated[int, typer.Option(help="answers to learn from, at most")],
    out: Annotated[Path, typer.Option(help="the .safetensors file to write")],
    method: Annotated[
        str,
        typer.Option(
            help="knockoff (pictures of any kind), adaptive (more of those that teach) or jacobian (few pictures and steps from them)"
        ),
    ] = "knockoff",
    held_out: Annotated[int, typer.Option(help="answers more, to measure how often the two agree")] = 1000,
    test: Annotated[
        str | None, typer.Option(help="DATA to hold out; default: the test split, or a part of DATA")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="learn from the class alone where there are scores too")
    ] = False,
    net: Annotated[str | None, typer.Option(help="mlp or cnn; default: cnn for pictures")] = None,
    epochs: Annotated[int | None, typer.Option(help="passes over the answers; default: 300 steps at least")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="train only a new last layer, on the features of this VICTIM; with --freeze")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="leave the backbone's weights as they are")] = False,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Train a surrogate from nothing but a model's answers, and say how often the two agree; craft on it with brittle transfer."""
    from ..app.extract import extract as run
    from ..report.plain import plain_share
    from ..report.words import interval, percent

    if (backbone is None) == freeze:
        raise InputError("--backbone VICTIM and --freeze belong together: the backbone's own weights are not trained")
    found = run(
        victim,
        data,
        queries=queries,
        method=method,
        held_out=held_out,
        test=test,
        labels=labels,
        net=net,
        epochs=epochs,
        backbone=backbone,
        out=out,
        seed=seed,
        device=device,
        trust=trust,
        output=output,
    )
    if as_json:
        shares = {name: plain_share(getattr(found, name)) for name in ("agreement", "accuracy", "target_accuracy")}
        print_json({"queries": found.queries, "learnt": found.learnt, **shares, "saved": str(out)})
    if as_json or quiet:
        return
    less = "" if found.learnt == queries else f" of {queries:,}"
    say(
        f"{found.queries:,} queries: {found.learnt:,}{less} answers learnt from, {found.agreement.n:,} held out",
        f"agreement with the target {percent(found.agreement)} {interval(found.agreement)}",
        f"accuracy {percent(found.accuracy)} {interval(found.accuracy)}, the target's {percent(found.target_accuracy)}",
        f"saved as {out}",
    )
