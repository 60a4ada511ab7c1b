"""Random directions, in the whole input space or among the low frequencies of an image, where the slopes of networks mostly lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.streams import Streams
from ...kernels.dct import idct
from .options import at_least, one_of

LEAST = 8  # frequencies, or pixels, that are left of a side however large the reduction
DIRECTIONS = ("full", "dct", "resized")


def check_directions(attack: object) -> None:
    """InputError where `directions` does not know the attack's kind, or the reduction is none."""
    one_of(attack, "directions", *DIRECTIONS)
    at_least(attack, reduction=1, why="would make images larger")


def directions(streams: Streams, shape: tuple[int, ...], many: int, kind: str, reduction: float) -> Tensor:
    """(B, many, *shape) of independent random directions, not normalised.

    full: each feature uniform in (-1, 1), which is as good as a Gaussian and cheaper. dct: Gaussian coefficients of the lowest
    1 / reduction of the frequencies along each of the last two dimensions (or the last, if there is one), the others zero. resized:
    Gaussian images smaller by the reduction, enlarged bilinearly.
    """
    if kind == "full":
        return streams.uniform((many, *shape)).mul_(2).sub_(1)
    spatial = shape[-2:]
    small = tuple(max(math.ceil(size / reduction), min(size, LEAST)) for size in spatial)
    noise = streams.normal((many, *shape[: len(shape) - len(spatial)], *small))
    if kind == "dct":
        return idct(noise, spatial)
    flat = noise.view(-1, 1, *small)
    mode = "bilinear" if len(spatial) == 2 else "linear"
    return torch.nn.functional.interpolate(flat, size=spatial, mode=mode).view(-1, many, *shape)


def widened(reduction: float, shape: tuple[int, ...], asked: int) -> float:
    """The reduction, or a smaller one: so that the subspace has at least two dimensions for each of the probes `asked` so far.

    Fewer probes than dimensions say little of each, so few dimensions serve better; more of them say all there is to say about a small
    subspace, whose best point is not the best.
    """
    dimensions = math.prod(shape) / max(2 * asked, 1)
    return max(1.0, min(reduction, math.pow(dimensions, 1 / min(len(shape), 2))))


def bundle(features: int) -> int:
    """How many directions to draw at a time: a number that no batch changes, so that each sample sees the same."""
    return min(max((1 << 16) // max(features, 1), 4), 64)
