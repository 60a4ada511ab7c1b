"""A new linear head on a frozen backbone: trained on its features, kept in a file that names the backbone and does not hold it."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..core.victim import Victim, as_victim
from ..data.samples import Samples, slices
from ..errors import InputError
from ..files import write_whole
from ..outside import reading
from ..specs import parse_source
from .request import Request

BACKBONES = ("timm", "torchvision", "hf", "py")
MARK = "brittle-head"  # the metadata's key
BATCH = 32  # pictures whose features are computed at a time
ROUNDS = 500  # of L-BFGS at most; some dozens do


@dataclass(frozen=True)
class HeadCard:
    """What a file says of the head in it. `layer` is the backbone's last, whose place the head takes."""

    backbone: str  # a VICTIM string
    digest: str  # of the backbone as it was opened
    layer: str
    classes: tuple[str, ...]
    data: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    training: dict[str, float] = field(default_factory=dict)


def check_backbone(text: str) -> None:
    """Raises InputError for a VICTIM string that names no network of the schemes in BACKBONES."""
    if parse_source(text).scheme not in BACKBONES:
        schemes = ", ".join(f"{name}:" for name in BACKBONES)
        raise InputError(f"{text!r} is no backbone; give a VICTIM string of {schemes}")


def last_linear(backbone: Victim, x: Tensor) -> str:
    """The name of the layer that gives the network's outputs, seen while x (B, *S) passes.

    A linear one (B, F) -> (B, C), or, as in SqueezeNet, a convolution (B, F, H, W) -> (B, C, H, W) whose mean over the places is the
    output, behind a ReLU or not.
    Raises InputError for a victim that is no torch network, and for one that ends otherwise.
    """
    if backbone.module is None or backbone.forward is not backbone.module:
        raise InputError(f"{backbone.name} is no torch network; a head needs the features inside one")
    module, seen = backbone.module, dict[str, Tensor]()
    handles = [
        part.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.clone()}))
        for name, part in module.named_modules()
        if name and isinstance(part, nn.Linear | nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            outputs = backbone(x.to(backbone.device, backbone.dtype))
    finally:
        for handle in handles:
            handle.remove()
    for name, output in seen.items():
        if any(one.shape == outputs.shape and torch.allclose(one, outputs, atol=1e-6) for one in _ends(output)):
            return name
    raise InputError(
        f"{backbone.name} does not end in a linear layer, whose place a head could take; give another network"
    )


def _ends(output: Tensor) -> tuple[Tensor, ...]:
    """What a network may answer whose last layer says this."""
    return (output,) if output.ndim == 2 else (pooled(output), pooled(output.relu()))


def pooled(x: Tensor) -> Tensor:
    """(B, F) as it is; of (B, F, H, W) the mean over the places."""
    return x.mean((2, 3)) if x.ndim == 4 else x


class Headed(nn.Module):
    """A network and a head that takes what enters one of its layers, pooled; what the network makes of it itself is left."""

    def __init__(self, backbone: nn.Module, layer: str, head: nn.Linear) -> None:
        super().__init__()
        self.backbone, self.layer, self.head = backbone, layer, head

    def forward(self, x: Tensor) -> Tensor:
        entered: list[Tensor] = []
        part = self.backbone.get_submodule(self.layer)
        handle = part.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
        try:
            self.backbone(x)
        finally:
            handle.remove()
        outputs: Tensor = self.head(pooled(entered[0]))
        return outputs


def features(backbone: Victim, layer: str, data: Samples, progress: Callable[[int, int], None] | None = None) -> Tensor:
    """What enters that layer, pooled, (N, F) on the CPU, for each sample of the data."""
    assert backbone.module is not None
    held: list[Tensor] = []
    handle = backbone.module.get_submodule(layer).register_forward_pre_hook(
        lambda _, given: held.append(pooled(given[0]).cpu())
    )
    try:
        with torch.no_grad():
            for part in slices(len(data), BATCH):
                x, _ = data.batch(range(part.start, part.stop))
                backbone(x.to(backbone.device, backbone.dtype))
                if progress is not None:
                    progress(part.stop, len(data))
    finally:
        handle.remove()
    return torch.cat(held)


def fit_head(inputs: Tensor, labels: Tensor, classes: int, decay: float = 1e-3) -> nn.Linear:
    """Logistic regression on features (N, F) and labels (N,) by L-BFGS, to its one minimum: F -> classes.

    The features are standardised, which the weights returned undo; the loss is the mean cross-entropy + decay / 2 |weights|^2.
    """
    spread, centre = torch.std_mean(inputs.double(), 0, correction=0)
    known = ((inputs.double() - centre) / spread.clamp_min(1e-6)).float()
    head = nn.Linear(inputs.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    solver = torch.optim.LBFGS(head.parameters(), max_iter=ROUNDS, tolerance_change=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = cross_entropy(head(known), labels) + decay / 2 * head.weight.square().sum()
        torch.autograd.backward(value)
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        weight = head.weight.double() / spread.clamp_min(1e-6)
        head.bias.copy_(head.bias.double() - weight @ centre)
        head.weight.copy_(weight)
    return head.requires_grad_(False).eval()


def with_head(backbone: Victim, layer: str, head: nn.Linear, classes: tuple[str, ...], name: str) -> Victim:
    """The backbone, copied, with the head in that layer's place, or beside a last layer that is a convolution."""
    module, head = deepcopy(backbone.module), deepcopy(head).to(backbone.device, backbone.dtype).eval()
    assert module is not None
    parent, _, last = layer.rpartition(".")
    if isinstance(module.get_submodule(layer), nn.Linear):
        setattr(module.get_submodule(parent), last, head)
    else:
        module = Headed(module, layer, head).eval()
    victim = as_victim(module, (backbone.lower, backbone.upper), name=name)
    return replace(victim, shape=backbone.shape, classes=classes)


def save_head(head: nn.Linear, card: HeadCard, path: str | os.PathLike[str]) -> None:
    """Write the head and its card to a safetensors file, whole or not at all. Raises InputError when that fails."""
    weights = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    write_whole(Path(path), to_bytes(weights, {MARK: msgspec.json.encode(card).decode()}))


def is_head(path: str | os.PathLike[str]) -> bool:
    """The file is one that `save_head` wrote."""
    try:
        with reading(f"{path} cannot be read as safetensors", "give another"), safe_open(path, framework="pt") as file:
            return MARK in (file.metadata() or {})
    except InputError:
        return False


def open_head(path: str | os.PathLike[str], request: Request) -> Victim:
    """The network of a file that `save_head` wrote: its backbone, opened anew, with the head.

    Raises InputError for a file that does not fit, a backbone that runs code (py:) without trust, and one that is another than it was.
    """
    from .open import open_victim  # it opens what this file names

    head, card = _read(path)
    check_backbone(card.backbone)
    if parse_source(card.backbone).scheme == "py" and not request.trust:
        raise InputError(
            f"{path} names {card.backbone}, which runs code; if you trust its origin add --trust (trust=True)"
        )
    try:
        backbone = open_victim(card.backbone, device=request.device, trust=request.trust, bounds=card.bounds)
    except InputError as error:
        raise InputError(f"the backbone of {path} cannot be opened: {error}") from error
    if backbone.digest != card.digest:
        raise InputError(
            f"{card.backbone} is not the backbone that the head in {path} was trained on: its weights or its preparation changed; "
            "train the head again, or give the backbone its former file and versions"
        )
    return with_head(backbone, card.layer, head, card.classes, request.text)


def _read(path: str | os.PathLike[str]) -> tuple[nn.Linear, HeadCard]:
    mend = "train the head again with `brittle train --backbone`"
    with reading(f"{path} cannot be read as a head", mend), safe_open(path, framework="pt") as file:
        card = msgspec.json.decode(file.metadata()[MARK], type=HeadCard)
        weights: dict[str, Any] = {name: file.get_tensor(name) for name in ("weight", "bias")}
    weight, bias = weights["weight"], weights["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or len(card.classes) != len(weight):
        raise InputError(
            f"{path} has weights {tuple(weight.shape)} and a bias {tuple(bias.shape)} for {len(card.classes)} classes; {mend}"
        )
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict(weights)
    return head.requires_grad_(False).eval(), card
