"""VICTIM strings, `SCHEME:WHAT?key=value`: each scheme has its opener in a module of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..core.bounds import Given, as_bounds
from ..core.devices import as_device
from ..core.outputs import Output
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..data.options import parse_bounds
from ..errors import unknown
from ..specs import Source, parse_source
from .files import open_net, open_torch
from .huggingface import open_hf
from .keras_file import open_keras
from .onnx_file import open_onnx
from .python import open_py
from .remote import open_http
from .request import Request
from .sklearn_file import open_sklearn
from .timm import open_timm
from .torchvision import open_torchvision


@dataclass(frozen=True)
class Scheme:
    """How victims of a scheme are opened, and a line about it for the user. named: its outputs have names, of which it takes one itself."""

    open: Callable[[Request], Victim]
    about: str
    named: bool = False


SCHEMES = {
    "py": Scheme(
        open_py,
        "py:MODULE:FUNCTION?key=value, a function of yours that returns an nn.Module or a Victim; runs its code",
    ),
    "net": Scheme(open_net, "net:FILE.safetensors, a network that `brittle train` wrote"),
    "torch": Scheme(
        open_torch, "torch:FILE.pt, a whole module that torch.save wrote; runs the file's code, so it needs --trust"
    ),
    "timm": Scheme(
        open_timm, "timm:NAME, an image classifier of the package timm with its published weights or ?checkpoint=FILE"
    ),
    "torchvision": Scheme(
        open_torchvision, "torchvision:NAME, an image classifier of torchvision with ?weights=NAME or ?checkpoint=FILE"
    ),
    "hf": Scheme(open_hf, "hf:ID_OR_FOLDER, an image classifier of transformers with its image processor"),
    "onnx": Scheme(
        open_onnx,
        "onnx:FILE.onnx, converted to torch, or with ?runtime=onnxruntime as a black box that gives scores",
        named=True,
    ),
    "keras": Scheme(open_keras, "keras:FILE.keras, a Keras 3 model, on Keras's torch backend"),
    "sklearn": Scheme(
        open_sklearn, "sklearn:FILE.skops, a classifier of scikit-learn that skops kept; gives scores or labels"
    ),
    "http": Scheme(
        open_http,
        "http://HOST/PATH?budget=ROWS or https://...: a model behind an HTTP interface, asked for scores or labels",
    ),
}
SCHEMES["https"] = Scheme(open_http, "https://HOST/PATH: the same, encrypted")
SUFFIXES = {
    ".safetensors": "net",
    ".pt": "torch",
    ".pth": "torch",
    ".onnx": "onnx",
    ".keras": "keras",
    ".skops": "sklearn",
}


def open_victim(
    text: str,
    *,
    device: torch.device | str | None = None,
    trust: bool = False,
    bounds: Given = (0.0, 1.0),
    output: str | int | None = None,
) -> Victim:
    """The victim a VICTIM string names, on `device`.

    `bounds` are those of its inputs where it does not bring its own; `?bounds=lo..hi` in the string goes before.
    `trust` allows files that run code when they are read. `output` says which part of what the network returns is the logits, as
    `?output=` in the string does, see `core.outputs.Output`.
    Raises InputError for whatever is wrong with the string or with what it names.
    """
    text = text if output is None else with_output(text, output)
    source = parse_source(text)
    suffix = os.path.splitext(text.strip().partition("?")[0])[1].lower()
    if source.scheme not in SCHEMES and suffix in SUFFIXES:
        source = Source(SUFFIXES[suffix], text.strip().partition("?")[0], source.options)
    if source.scheme not in SCHEMES:
        raise unknown("victim", source.scheme, SCHEMES)
    scheme = SCHEMES[source.scheme]
    read_as = Output.parse(source.options.pop("output")) if "output" in source.options else Output()
    if scheme.named and read_as.part is not None:
        source.options["output"], read_as = str(read_as.part), Output(kind=read_as.kind)
    given = parse_bounds(source.options["bounds"]) if "bounds" in source.options else None
    request = Request(
        text, source, None if device is None else as_device(device), trust, given or as_bounds(bounds), given
    )
    victim = scheme.open(request)
    return victim if read_as == Output() else victim.reading(str(read_as))


def with_output(text: str, output: str | int) -> str:
    """The VICTIM string with `output=` in it, so that who opens it again reads the same outputs."""
    return f"{text.strip()}{'&' if '?' in text else '?'}output={output}"


def known_victims() -> dict[str, str]:
    """The schemes of VICTIM strings, each with a line about it."""
    return {name: scheme.about for name, scheme in SCHEMES.items()}


def opened(
    model: str | Victim | nn.Module | Callable[..., Any],
    device: str | None,
    trust: bool,
    bounds: Given,
    output: str | int | None = None,
) -> Victim:
    """The victim that a string names or a model is, in evaluation mode; `bounds` and `output` as in `open_victim`."""
    if isinstance(model, str):
        return open_victim(model, device=device, trust=trust, bounds=bounds, output=output)
    victim = as_victim(model, bounds, device, output=output)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    return victim
