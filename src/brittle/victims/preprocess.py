"""What happens to a picture before a network sees it, moved inside the victim: attacks live in the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..core.victim import Victim, as_victim
from ..data.framing import RESAMPLING, Framing
from ..data.images import ImageSamples
from ..data.options import parse_choice, parse_size
from ..data.samples import Samples
from ..errors import InputError, unknown
from ..specs import parse_number
from .request import Request

OPTIONS = ("size", "resize", "mean", "std", "interpolation", "bounds")  # of every victim that takes pictures


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How pictures (C, H, W) in [0, 1] become what a network takes: framed, then (x - mean) / std, both a value a channel.

    backwards: the network takes blue, green, red.
    """

    framing: Framing
    mean: tuple[float, ...]
    std: tuple[float, ...]
    backwards: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.mean), *self.framing.size)


class Prepared(nn.Module):
    """A network behind its preparation: pictures (B, C, H, W) in [0, upper] -> logits.

    inside: pictures of any size, framed here by an antialiased, differentiable resize; otherwise they must have the network's size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preparation: Preparation, inside: bool = False, upper: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.preparation, self.inside, self.upper = preparation, inside, upper
        self.register_buffer("mean", torch.tensor(preparation.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(preparation.std)[:, None, None])
        self.register_forward_pre_hook(_check)  # not in forward, which stays operations on tensors alone, for proofs

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.upper if self.upper != 1 else x
        x = framed(x, self.preparation.framing) if self.inside else x
        outputs: Tensor = self.network(((x.flip(1) if self.preparation.backwards else x) - self.mean) / self.std)
        return outputs

    def extra_repr(self) -> str:
        return f"{self.preparation}, inside={self.inside}, upper={self.upper:g}"


def _check(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(module, Prepared)
    check_pictures(inputs[0], module.preparation.shape, module.inside)


def framed(x: Tensor, framing: Framing) -> Tensor:
    """Pictures (B, C, H, W) in [0, 1] -> (B, C, *size), as `Framing.apply` does, without its rounding to 8 bits; differentiable."""
    height, width = framing.scale_of(x.shape[2], x.shape[3])
    if (height, width) != (x.shape[2], x.shape[3]):
        mode = {"nearest": "nearest-exact"}.get(framing.interpolation, framing.interpolation)
        smooth = {} if mode == "nearest-exact" else {"antialias": True, "align_corners": False}
        x = nn.functional.interpolate(x, (height, width), mode=mode, **smooth)
        x = x.clamp(0, 1) if mode == "bicubic" else x  # it overshoots beside edges
    (top, left), (tall, wide) = framing.corner_of(height, width), framing.size
    if (top, left, tall, wide) == (0, 0, height, width):
        return x
    sides = (-left, left + wide - width, -top, top + tall - height)
    if not framing.border:
        return nn.functional.pad(x, sides)
    colour = x.new_tensor(framing.border)[:, None, None] / 255
    return nn.functional.pad(x - colour, sides) + colour


def image_victim(
    network: nn.Module, preparation: Preparation, classes: Sequence[str], request: Request, source: str
) -> Victim:
    """The network with its preparation, as the options of the request change it. `source` is who said how to prepare."""
    options = request.source.options
    preparation = _changed(preparation, options, request.source.scheme)
    inside = parse_choice(options, "resize", ("inside", "outside"), "outside") == "inside"
    if inside and preparation.framing.interpolation == "lanczos":
        raise InputError("resize=inside cannot follow a lanczos resize by gradients; add interpolation=bicubic")
    if request.bounds not in ((0.0, 1.0), (0.0, 255.0)):
        low, high = request.bounds
        raise InputError(
            f"bounds {low:g}..{high:g}: {source} normalises pictures in 0..1 or 0..255 itself; undo the data's normalisation, "
            "or wrap the bare network in a function and give py:MODULE:FUNCTION"
        )
    module = Prepared(network, preparation, inside, request.bounds[1]).eval()
    victim = as_victim(module, request.bounds, request.device, request.text)
    return replace(victim, shape=() if inside else preparation.shape, classes=tuple(classes))


def check_pictures(x: Tensor, shape: tuple[int, ...], inside: bool) -> None:
    """x (B, *shape); of any height and width if they are framed inside. Raises InputError, with what may be the matter."""
    if x.ndim != 4 or x.shape[1] != shape[0] or not (inside or x.shape[1:] == shape):
        got, wanted = "x".join(map(str, x.shape[1:])), "x".join(map(str, shape))
        raise InputError(f"the inputs are {got}, the model takes {wanted} (channels, height, width); {_mend(x, shape)}")


def framing_of(victim: Victim) -> Framing | None:
    """How pictures must be framed for the victim; None where nothing is known, or they are framed inside it."""
    if isinstance(victim.module, Prepared):
        return None if victim.module.inside else victim.module.preparation.framing
    return Framing.covering((victim.shape[1], victim.shape[2])) if len(victim.shape) == 3 else None


def as_taken(data: Samples, victim: Victim) -> Samples:
    """Pictures framed as the victim takes them, where no size was named, and classes numbered and named as the victim's, where the
    data have numbers alone or names that are the victim's; other data as they are."""
    if not isinstance(data, ImageSamples):
        return data
    data = _as_named(data, victim)
    if data.framing is not None:
        return data
    grey = data.grey or (len(victim.shape) == 3 and victim.shape[0] == 1)
    return replace(data, framing=framing_of(victim), grey=grey)


def _as_named(data: ImageSamples, victim: Victim) -> ImageSamples:
    """With the victim's classes. Raises InputError for pictures of one class alone whose name the victim does not know."""
    if data.classes == tuple(map(str, range(len(data.classes)))):
        return replace(data, classes=victim.classes) if len(data.classes) <= len(victim.classes) else data
    if set(data.classes) <= set(victim.classes):
        order = np.array([victim.classes.index(name) for name in data.classes])
        return replace(data, classes=victim.classes, labels=order[data.labels])
    if len(data.classes) == 1 and victim.classes:
        raise unknown(f"class of {victim.name}", data.classes[0], victim.classes)
    if len(data.classes) == 1:
        raise InputError(
            f"which output of {victim.name} is {data.classes[0]!r} is not known; give the class's number, as label=3"
        )
    return data


def _changed(preparation: Preparation, options: dict[str, str], scheme: str) -> Preparation:
    """With the options mean, std, size and interpolation."""
    framing = preparation.framing
    if "size" in options:
        framing = framing.resized(parse_size(options["size"]))
    if "interpolation" in options:
        chosen = parse_choice(options, "interpolation", tuple(RESAMPLING), "")
        framing = replace(framing, interpolation=chosen)
    mean, std = (
        _values(options[key], len(preparation.mean), key) if key in options else own
        for key, own in (("mean", preparation.mean), ("std", preparation.std))
    )
    if min(std) <= 0:
        raise InputError(f"std={options.get('std')} of {scheme}: is no deviation; give numbers above 0")
    return replace(preparation, framing=framing, mean=mean, std=std)


def _values(text: str, channels: int, key: str) -> tuple[float, ...]:
    """`0.5` or `0.485,0.456,0.406`: a number a channel."""
    numbers = tuple(parse_number(part) for part in text.split(","))
    if len(numbers) not in (1, channels):
        raise InputError(
            f"{key}={text} has {len(numbers)} numbers for {channels} channels; give {channels}, or one for all"
        )
    return numbers * channels if len(numbers) == 1 else numbers


def _mend(x: Tensor, shape: tuple[int, ...]) -> str:
    if x.ndim == 4 and x.shape[3] == shape[0] != x.shape[1]:
        return "channels come first: give x.permute(0, 3, 1, 2)"
    if x.ndim != 4:
        return "give pictures"
    if x.shape[1] != shape[0]:
        return "give colour pictures" if shape[0] == 3 else "give grey pictures, for a folder images:FOLDER?grey=1"
    given, wanted = ("x".join(map(str, dict.fromkeys(size))) for size in (x.shape[2:], shape[1:]))
    return (
        f"resize the data, for a folder images:FOLDER?size={wanted}, or add resize=inside to the victim to attack before its "
        f"resize, or size={given} if the network takes that size"
    )
