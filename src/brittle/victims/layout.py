"""Where the channels of a picture are: first, as everything here has them, or last, as some files do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..data.options import parse_choice

CHANNELS = (1, 3, 4)  # that a picture may have


def channels_last(options: Mapping[str, str], shape: Sequence[int | None], default: bool | None = None) -> bool:
    """Whether inputs of this shape, without the batch (None: of any size), have their channels last: as layout= says, else the default,
    else as it looks."""
    if len(shape) != 3:
        return False
    looks = shape[-1] in CHANNELS and shape[0] not in CHANNELS if default is None else default
    return parse_choice(options, "layout", ("nchw", "nhwc"), "nhwc" if looks else "nchw") == "nhwc"


def channels_first(shape: Sequence[int | None], last: bool) -> tuple[int, ...]:
    """The shape of an input as brittle has it; () where a size is open."""
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) < len(shape):
        return ()
    return (sizes[-1], *sizes[:-1]) if last else sizes


def as_sent(x: Tensor, last: bool) -> Tensor:
    """x (B, C, H, W) with its channels where they are wanted."""
    return x.movedim(1, -1) if last else x
