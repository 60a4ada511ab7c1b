"""Options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

VICTIM = Annotated[
    str,
    typer.Argument(help="py:module:function, net:FILE.safetensors (made by brittle train), torch:FILE.pt (with --trust)"),
]
DATA = Annotated[str, typer.Argument(help="digits, mnist, fashion-mnist, cifar10, images:FOLDER, npz:FILE")]
THREAT = Annotated[str, typer.Option(help="linf:8/255, l2:0.5, l1:12, l0:10 or box; add ,mask=FILE to limit where")]
SEED = Annotated[int, typer.Option(help="of all random numbers")]
DEVICE = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; where to compute")]
TRUST = Annotated[bool, typer.Option("--trust", help="allow files that run code when loaded (pickles)")]
BATCH = Annotated[int, typer.Option(help="samples at a time")]
OUT = Annotated[Path | None, typer.Option(help="folder of the results")]
