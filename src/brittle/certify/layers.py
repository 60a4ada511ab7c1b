"""What a network is made of, as bounds see it: affine layers y = W x + b, in float64, of one sample's shape behind a batch axis.

Every layer says between which limits its outputs lie (`interval`), how large the numbers are that it adds up (`magnitude`, |W| m + |b|)
and how many (`terms`, 0 where it only copies), and pulls rows of coefficients back to its inputs (`pull`, W^T a; `offset`, a . b).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Shape = tuple[int, ...]


class Affine(Protocol):
    @property
    def terms(self) -> int: ...
    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]: ...
    def magnitude(self, *sizes: Tensor) -> Tensor: ...
    def pull(self, rows: Tensor) -> tuple[Tensor, ...]: ...
    def offset(self, rows: Tensor) -> Tensor | float: ...


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x W^T + b on (B, I); weight (O, I), bias (O,)."""

    weight: Tensor
    bias: Tensor

    @property
    def terms(self) -> int:
        return self.weight.shape[1] + 1

    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        middle, half = _middle(*limits)
        return _around(F.linear(middle, self.weight, self.bias), F.linear(half, self.weight.abs()))

    def magnitude(self, *sizes: Tensor) -> Tensor:
        return F.linear(sizes[0], self.weight.abs(), self.bias.abs())

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (rows @ self.weight,)

    def offset(self, rows: Tensor) -> Tensor:
        return rows @ self.bias

    def gain(self, dual: float) -> Tensor:
        """(O,) the dual norm of each output's weights: how far a change of size 1 moves it."""
        gain: Tensor = torch.linalg.vector_norm(self.weight, dual, dim=1)
        return gain


@dataclass(frozen=True, eq=False)
class Conv:
    """Two-dimensional convolution with zero padding; weight (O, I / groups, h, w), bias (O,); `source` is the shape of its input."""

    weight: Tensor
    bias: Tensor
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    source: Shape

    @property
    def terms(self) -> int:
        return self.weight[0].numel() + 1

    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        middle, half = _middle(*limits)
        return _around(self._slide(middle, self.weight, self.bias), self._slide(half, self.weight.abs(), None))

    def magnitude(self, *sizes: Tensor) -> Tensor:
        return self._slide(sizes[0], self.weight.abs(), self.bias.abs())

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (self.transposed(rows, (self.source[1], self.source[2]), self.padding),)

    def transposed(self, rows: Tensor, size: tuple[int, ...], padding: Shape) -> Tensor:
        """(R, I, *size) of (R, O, h, w): one matrix product for all rows, then the windows are laid over each other."""
        kernel, groups = tuple(self.weight.shape[2:]), self.groups
        weight = self.weight.view(groups, len(self.weight) // groups, -1).mT
        windows = (weight @ rows.reshape(len(rows), groups, -1, rows.shape[2:].numel())).flatten(1, 2)
        if size == kernel and rows.shape[2:] == (1, 1) and not any(padding) and self.dilation == (1, 1):
            return windows.view(len(rows), -1, *kernel)
        laid: Tensor = F.fold(windows, size, kernel, self.dilation, padding, self.stride)
        return laid

    def offset(self, rows: Tensor) -> Tensor:
        return rows.flatten(2).sum(2) @ self.bias

    def gain(self, dual: float) -> Tensor:
        """(O, 1, 1) the dual norm of each channel's weights; at the border, where padding hides some, it is less."""
        gain: Tensor = torch.linalg.vector_norm(self.weight.flatten(1), dual, dim=1)
        return gain[:, None, None]

    def _slide(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        slid: Tensor = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return slid


@dataclass(frozen=True, eq=False)
class Scale:
    """y = s x + t with constants of a sample's shape; `loud` >= |t| is the sum of the magnitudes that make t."""

    scale: Tensor
    shift: Tensor
    loud: Tensor

    terms = 8  # more than a batch normalisation rounds

    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        middle, half = _middle(*limits)
        return _around(middle * self.scale + self.shift, half * self.scale.abs())

    def magnitude(self, *sizes: Tensor) -> Tensor:
        return sizes[0] * self.scale.abs() + self.loud

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (rows * self.scale,)

    def offset(self, rows: Tensor) -> Tensor:
        return rows.flatten(1) @ self.shift.flatten()


@dataclass(frozen=True, eq=False)
class Sum:
    """y = the sum of the inputs, each with its sign +1 or -1."""

    signs: tuple[int, ...]

    @property
    def terms(self) -> int:
        return len(self.signs)

    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        ends = [
            (low, high) if sign > 0 else (-high, -low) for sign, (low, high) in zip(self.signs, limits, strict=True)
        ]
        return sum((low for low, _ in ends[1:]), ends[0][0]), sum((high for _, high in ends[1:]), ends[0][1])

    def magnitude(self, *sizes: Tensor) -> Tensor:
        return sum(sizes[1:], sizes[0])

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(rows if sign > 0 else -rows for sign in self.signs)

    def offset(self, rows: Tensor) -> float:
        return 0.0


@dataclass(frozen=True, eq=False)
class Positive:
    """A linear map with coefficients >= 0, such as an average, a slice, zero padding, a new shape; `function` takes and gives batches.

    `sources` are the shapes of its inputs, `terms` the most values that one output adds up, 0 where it only copies.
    """

    function: Callable[..., Tensor]
    sources: tuple[Shape, ...]
    terms: int

    def interval(self, *limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.function(*(low for low, _ in limits)), self.function(*(high for _, high in limits))

    def magnitude(self, *sizes: Tensor) -> Tensor:
        return self.function(*sizes)

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        """By automatic differentiation: the map is linear, so where it is asked does not matter."""
        with torch.enable_grad():
            at = [rows.new_zeros((len(rows), *source), requires_grad=True) for source in self.sources]
            value = self.function(*at)
        return torch.autograd.grad(value, at, rows, create_graph=rows.requires_grad)

    def offset(self, rows: Tensor) -> float:
        return 0.0


@dataclass(frozen=True, eq=False)
class Reshape(Positive):
    """The same numbers in another shape: as Positive, without asking autograd."""

    def pull(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (rows.reshape(len(rows), *self.sources[0]),)


def reshape(source: Shape, target: Shape) -> Reshape:
    return Reshape(lambda x: x.reshape(len(x), *target), (source,), 0)


def _middle(limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    low, high = limits
    return (low + high) / 2, (high - low) / 2


def _around(middle: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    return middle - half, middle + half
