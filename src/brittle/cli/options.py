"""Options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..specs import parse_whole
from .listed import known_attack, known_attacks, known_threat

_VICTIM = "py:module:function, net:FILE.safetensors, timm:NAME, torchvision:NAME, hf:ID and more: brittle list victims"
_DATA = "digits, mnist, fashion-mnist, cifar10, images:FOLDER, npz:FILE"
_THREAT = "linf:8/255, l2:0.5, l1:12, l0:10 or box; add ,mask=FILE to limit where"
VICTIM = Annotated[str, typer.Argument(help=_VICTIM)]
MAYBE_VICTIM = Annotated[str | None, typer.Argument(help=_VICTIM)]
DATA = Annotated[str, typer.Argument(help=_DATA)]
MAYBE_DATA = Annotated[str | None, typer.Argument(help=_DATA)]
THREAT = Annotated[str, typer.Option(help=_THREAT, callback=known_threat)]
MAYBE_THREAT = Annotated[str | None, typer.Option(help=_THREAT, callback=known_threat)]
ATTACK = Annotated[str, typer.Option(help="such as fgsm or pgd:steps=100,loss=dlr", callback=known_attack)]
ATTACKS = Annotated[
    list[str] | None,
    typer.Option(help="such as pgd:steps=100,loss=dlr or mifgsm+di+ti; may be repeated", callback=known_attacks),
]
SEED = Annotated[int, typer.Option(help="of all random numbers")]
DEVICE = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; where to compute")]
OUTPUT = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="what of the network's outputs is the logits: a key or index, logit or probability of two classes, or KEY:logit",
    ),
]
TRUST = Annotated[bool, typer.Option("--trust", help="allow files that run code when loaded (pickles)")]
BATCH = Annotated[int, typer.Option(help="samples at a time")]
START_FROM = Annotated[
    str | None, typer.Option(help="a surrogate with gradients (VICTIM): begin where an attack on it ends")
]
START_ATTACK = Annotated[
    str, typer.Option(help="the attack on the surrogate, such as mifgsm+di", callback=known_attack)
]
JSON = Annotated[bool, typer.Option("--json", help="the result as JSON, for programs, and nothing else on stdout")]
QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no table; with --json, no progress")]
OUT = Annotated[Path | None, typer.Option(help="folder of the results")]


def class_index(text: str, classes: tuple[str, ...], option: str, others: str = "") -> int:
    """The class that a name or a number says."""
    if text in classes:
        return classes.index(text)
    number = parse_whole(text)
    if number is not None and number < len(classes):
        return number
    shown = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    raise InputError(f"{option} {text!r} is no class of these data ({shown}){others}")
