"""Small networks for demonstrations and tests, and the file they are kept in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import nn

from ..errors import InputError, unknown
from ..files import write_whole
from ..outside import reading
from ..specs import parse_call, parse_whole


def mlp(shape: tuple[int, ...], classes: int, widths: tuple[int, ...] = (128, 64)) -> nn.Sequential:
    """Fully connected ReLU network: x (B, *shape) -> logits (B, classes), with hidden layers of `widths`."""
    sizes = (prod(shape), *widths)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def cnn(shape: tuple[int, ...], classes: int, widths: tuple[int, ...] = (16, 32)) -> nn.Sequential:
    """Convolutional ReLU network: x (B, C, H, W) -> logits (B, classes); each of `widths` halves H and W."""
    if len(shape) != 3 or min(shape[1:]) < 2 ** len(widths):
        least = 2 ** len(widths)
        raise InputError(
            f"cnn with {len(widths)} layers takes images (C, H, W) of {least}x{least} or more, not {shape}; use mlp"
        )
    channels, height, width = shape
    layers: list[nn.Module] = []
    for after in widths:
        layers += [nn.Conv2d(channels, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        channels, height, width = after, height // 2, width // 2
    layers += [nn.Flatten(), nn.Linear(channels * height * width, 100), nn.ReLU(), nn.Linear(100, classes)]
    return nn.Sequential(*layers)


NETWORKS: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp, "cnn": cnn}


def known_networks() -> dict[str, str]:
    """The networks that can be trained, each with a line about it."""
    return {
        "mlp": "fully connected; mlp:128,64 names the hidden widths",
        "cnn": "convolutional, for images; cnn:16,32 names the channels, each layer halving the image",
    }


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network anew. Empty `widths` are the network's own."""

    name: str
    shape: tuple[int, ...]  # of one sample
    classes: int
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            raise unknown("network", self.name, NETWORKS)
        if not self.shape or min(*self.shape, *self.widths, self.classes) < 1:
            raise InputError(
                f"network {self.name} cannot have shape {self.shape}, {self.classes} classes and widths {self.widths}; "
                "all must be 1 or more"
            )

    def build(self) -> nn.Sequential:
        """The network with fresh weights, in training mode."""
        build = NETWORKS[self.name]
        with reading(f"the network {self.name} cannot be built", "give smaller widths"):
            return build(self.shape, self.classes, self.widths) if self.widths else build(self.shape, self.classes)


def parse_network(text: str, shape: tuple[int, ...], classes: int) -> Architecture:
    """`mlp` or `mlp:256,128` for samples of `shape`."""
    call = parse_call(text)
    widths = [parse_whole(width) for width in call.positional]
    if call.named or None in widths:
        raise InputError(f"network {text!r} is not NAME or NAME:WIDTH,WIDTH; write for example mlp:128,64")
    return Architecture(call.name, shape, classes, tuple(width for width in widths if width is not None))


@dataclass(frozen=True)
class Card:
    """What a file says of the network in it."""

    architecture: Architecture
    data: str = ""  # the name of the data it was trained on
    bounds: tuple[float, float] = (0.0, 1.0)  # of its inputs
    training: dict[str, float] = field(default_factory=dict)  # epochs, accuracy and the like


def save(
    module: nn.Module,
    architecture: Architecture,
    path: str | os.PathLike[str],
    *,
    data: str = "",
    bounds: tuple[float, float] = (0.0, 1.0),
    training: Mapping[str, float] | None = None,
) -> None:
    """Write weights and card to a safetensors file, whole or not at all. Raises InputError when that fails."""
    card = msgspec.json.encode(Card(architecture, data, bounds, dict(training or {}))).decode()
    weights = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    write_whole(Path(path), to_bytes(weights, {"brittle": card}))


def load(path: str | os.PathLike[str]) -> tuple[nn.Sequential, Card]:
    """The network of a file that `save` wrote, in eval mode, and its card. Raises InputError for any other file."""
    mend = "give a file that `brittle train` wrote, or py:MODULE:FUNCTION for your own network"
    with reading(f"{path} cannot be read as safetensors", mend), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no dict
    if "brittle" not in metadata:
        raise InputError(f"{path} holds weights and does not say of which network; {mend}")
    with reading(f"{path} describes its network in a way that cannot be read", mend):
        try:
            card = msgspec.json.decode(metadata["brittle"], type=Card)
            with torch.device("meta"):  # no memory and no random numbers before the shapes are known to fit
                module = card.architecture.build()
        except InputError as error:  # a sentence about the description, not yet about the file
            raise ValueError(str(error)) from None
    wanted, found = _outline(module.state_dict()), _outline(weights)
    if wanted != found:
        name = min(wanted.items() ^ found.items())[0]
        have, want = (side.get(name, "no such tensor") for side in (found, wanted))
        raise InputError(
            f"{path} does not fit its {card.architecture.name}: for {name} it has {have}, not {want}; {mend}"
        )
    module.load_state_dict(weights, assign=True)
    return module.eval(), card


def _outline(weights: Mapping[str, Any]) -> dict[str, str]:
    """Type and shape of each tensor."""
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in weights.items()}
