"""The least and the largest value of each feature: two numbers for all, or tables of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class PerFeature:
    """A number for each feature, as a value: it can be printed, compared, hashed and stored, which a tensor cannot.

    `shape` is a sample's, channels first, or any that broadcasts to it; `numbers` are the bytes of as many float64, little-endian.
    """

    shape: tuple[int, ...]
    numbers: bytes

    @classmethod
    def of(cls, array: Array) -> PerFeature:
        return cls(array.shape, np.ascontiguousarray(array, "<f8").tobytes())

    @property
    def array(self) -> Array:
        """Float64, of `shape`."""
        return np.frombuffer(self.numbers, "<f8").reshape(self.shape)

    def tensor(self, like: Tensor) -> Tensor:
        """Of `shape`, of the type and in the place of another."""
        return torch.from_numpy(self.array.copy()).to(like.device, like.dtype)

    def like(self, x: Tensor, what: str = "the bounds") -> Tensor:
        """(1, *S) of the type and place of samples x (B, *S). InputError, naming `what`, where the shapes do not go together."""
        try:
            return self.tensor(x).expand(x.shape[1:])[None]
        except RuntimeError:
            raise InputError(
                f"{what} have shape {self.shape}, the samples {tuple(x.shape[1:])}; give a number, or an array that broadcasts to a sample"
            ) from None

    def __format__(self, spec: str) -> str:
        """Least and largest, each as the spec has it, wherever a message writes a bound or a size."""
        return f"{self.array.min():{spec}} to {self.array.max():{spec}} by feature"


Edge: TypeAlias = float | PerFeature
Bounds: TypeAlias = tuple[Edge, Edge]
Numbers: TypeAlias = (
    float | Tensor | Array | PerFeature
)  # what a user may give for an edge: of all features, or of each
Given: TypeAlias = tuple[Numbers, Numbers]


def as_edge(value: Numbers, what: str) -> Edge:
    """A float from whatever is one number, otherwise a number for each feature; InputError, naming `what`, for anything else."""
    if isinstance(value, PerFeature | float):
        return value
    try:
        array = np.asarray(value.detach().cpu().double() if isinstance(value, Tensor) else value)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "f" else "safe")
    except (TypeError, ValueError):
        raise InputError(
            f"{what} is a {type(value).__name__}; give a number, or a tensor or array with one for each feature"
        ) from None
    if not array.size:
        raise InputError(f"{what} has shape {array.shape} and no number; give one for each feature")
    return float(array) if array.ndim == 0 else PerFeature.of(array)


def read_table(path: str | Path, what: str) -> Edge:
    """From a .npy file of numbers."""
    try:
        return as_edge(np.load(path, allow_pickle=False), f"{what} in {path}")
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} {path} cannot be read ({error}); give a .npy of numbers, one a feature") from error


def as_bounds(bounds: Given) -> Bounds:
    """Bounds as floats or tables; infinite where nothing is known. InputError unless the first is below the second in every feature."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise InputError(
            f"bounds={bounds!r} are no pair; give (lowest, highest), each a number or one for each feature"
        )
    lower, upper = (as_edge(value, f"bounds[{i}]") for i, value in enumerate(bounds))
    try:
        low, high = np.broadcast_arrays(numbers(lower), numbers(upper))
    except ValueError:
        raise InputError(
            f"bounds have shapes {numbers(lower).shape} and {numbers(upper).shape}, which do not go together; give both a sample's shape"
        ) from None
    wrong = ~(low < high) | (low == math.inf) | (high == -math.inf)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f" of feature {feature(place)}" if place else ""
        empty = "" if np.isnan([low[place], high[place]]).any() else "empty, "
        raise InputError(
            f"bounds=({low[place]:g}, {high[place]:g}){where} are {empty}no range; the first must be below the second"
        )
    return lower, upper


def limits(x: Tensor, lower: Edge, upper: Edge) -> tuple[Tensor, Tensor]:
    """The bounds of each feature of samples x (B, *S), as tensors (1, *S)."""
    low, high = (
        edge.like(x)
        if isinstance(edge, PerFeature)
        else torch.full_like(x[:1], edge, memory_format=torch.contiguous_format)
        for edge in (lower, upper)
    )
    return low, high


def clamped(x: Tensor, lower: Edge, upper: Edge) -> Tensor:
    """x (B, *S), cut to the bounds."""
    if isinstance(lower, float) and isinstance(upper, float):
        return x.clamp(lower, upper)
    return torch.clamp(x, *limits(x[:1], lower, upper))


def between(share: Tensor, lower: Edge, upper: Edge) -> Tensor:
    """What stands at this share (*S) or (B, *S), in [0, 1], of the way of each feature from lower to upper."""
    low, high = (edge.tensor(share) if isinstance(edge, PerFeature) else edge for edge in (lower, upper))
    return low + share * (high - low)


def shared(lower: Edge, upper: Edge, who: str) -> tuple[float, float]:
    """The bounds as two finite numbers for all features; InputError, naming who needs that, where they are not."""
    if isinstance(lower, float) and isinstance(upper, float) and math.isfinite(upper - lower):
        return lower, upper
    raise InputError(
        f"{who} needs one finite range for all features, and the bounds are {shown(lower, upper)}; give two numbers"
    )


def plain(bounds: Bounds) -> list[Any]:
    """As numbers and nested lists, for JSON."""
    return [edge.array.tolist() if isinstance(edge, PerFeature) else edge for edge in bounds]


def shown(lower: Edge, upper: Edge) -> str:
    """`0..1`; the least and the largest number of tables."""
    if isinstance(lower, float) and isinstance(upper, float):
        return f"{lower:g}..{upper:g}"
    return f"{numbers(lower).min():g}..{numbers(upper).max():g}, for each feature its own"


def widest(lower: Edge, upper: Edge) -> float:
    """How wide the widest feature's range is."""
    return float((numbers(upper) - numbers(lower)).max())


def interval(lower: Edge, upper: Edge) -> str:
    """`[0, 1]` where there are two numbers."""
    return (
        f"[{shown(lower, upper)}]"
        if isinstance(lower, PerFeature) or isinstance(upper, PerFeature)
        else f"[{lower:g}, {upper:g}]"
    )


def feature(place: tuple[int, ...]) -> int | tuple[int, ...]:
    """How the feature at this place of a sample is called: by its number where samples have one axis."""
    return place[0] if len(place) == 1 else place


def numbers(edge: Edge) -> Array:
    """The numbers as an array: of no axes where there is one."""
    return edge.array if isinstance(edge, PerFeature) else np.asarray(edge, np.float64)


def table(edge: Edge, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The number of each feature of a sample of this shape."""
    if isinstance(edge, PerFeature):
        return np.asarray(edge.like(torch.zeros(1, *shape, dtype=torch.float64))[0].numpy().astype(dtype))
    return np.full(shape, edge, dtype)
