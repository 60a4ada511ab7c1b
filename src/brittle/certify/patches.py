"""Rows of coefficients of a convolution's values near the output: zero but for a patch, of which nothing else need be kept.

A value at (i, j) of a map depends, some convolutions back, on the square of h x w pixels that begins at (i, j) stride - offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .bends import ReluLines
from .layers import Conv, Scale, Sum

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patches:
    """Coefficients (R, C, h, w) over a map (C, H, W); row r begins at `place[r] * stride - offset`. Outside of the map they are zero.

    `grid` is the shape of the map in which the places (R, 2) lie.
    """

    values: Tensor
    place: Tensor
    grid: Pair
    stride: Pair = (1, 1)
    offset: Pair = (0, 0)

    @property
    def size(self) -> Pair:
        return self.values.shape[2], self.values.shape[3]

    def windows(self, maps: Tensor, own: Tensor | slice) -> Tensor:
        """(R, C, h, w): what lies under each row's patch in its own map of (B, C, H, W); zero outside."""
        if isinstance(own, slice):
            maps, own = maps[own], torch.zeros_like(self.place[:, 0])
        margins: list[int] = []
        for axis in (1, 0):
            end = (self.grid[axis] - 1) * self.stride[axis] + self.size[axis] - self.offset[axis] - maps.shape[2 + axis]
            margins += [self.offset[axis], end]
        padded = F.pad(maps, margins)
        views = padded.unfold(2, self.size[0], self.stride[0]).unfold(3, self.size[1], self.stride[1])
        return views[own, :, self.place[:, 0], self.place[:, 1]]

    def whole(self, shape: tuple[int, ...]) -> Tensor:
        """(R, C, H, W) with zeros around the patch."""
        channels, height, width = shape
        down, right = (
            self.place[:, axis, None] * self.stride[axis]
            - self.offset[axis]
            + torch.arange(self.size[axis], device=self.place.device)
            for axis in (0, 1)
        )
        inside = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None, :]
        at = (down.clamp(0, height - 1)[:, :, None] * width + right.clamp(0, width - 1)[:, None, :]).flatten(1)
        values = torch.where(inside[:, None], self.values, 0).flatten(2)
        full = self.values.new_zeros(len(self.values), channels, height * width)
        return full.scatter_add_(2, at[:, None].expand_as(values), values).view(-1, *shape)

    def dot(self, maps: Tensor, own: Tensor | slice) -> Tensor:
        """(R,) of each row with its own map of (B, C, H, W)."""
        return (self.values * self.windows(maps, own)).flatten(1).sum(1)

    def like(self, values: Tensor, stride: Pair | None = None, offset: Pair | None = None) -> Patches:
        return Patches(values, self.place, self.grid, stride or self.stride, offset or self.offset)

    def __add__(self, other: Patches) -> Patches:
        """Of the same stride: the smallest square that holds both."""
        offset = tuple(max(a, b) for a, b in zip(self.offset, other.offset, strict=True))
        ends = [max(p.size[axis] - p.offset[axis] for p in (self, other)) for axis in (0, 1)]
        parts = [
            F.pad(
                p.values,
                (
                    offset[1] - p.offset[1],
                    ends[1] - p.size[1] + p.offset[1],
                    offset[0] - p.offset[0],
                    ends[0] - p.size[0] + p.offset[0],
                ),
            )
            for p in (self, other)
        ]
        return self.like(parts[0] + parts[1], offset=(offset[0], offset[1]))


def one_hot(at: Tensor, shape: tuple[int, ...], sign: float) -> Patches:
    """The values with numbers `at` (R,) of a map of this shape, each times `sign`."""
    channels, height, width = shape
    place = torch.stack([at // width % height, at % width], dim=1)
    values = F.one_hot(at // (height * width), channels).double()[:, :, None, None] * sign
    return Patches(values, place, (height, width))


def pull(layer: Conv | Scale | Sum, rows: Patches) -> tuple[Patches, ...]:
    """As the layer's own pull, on patches."""
    if isinstance(layer, Conv):
        return (_pull_conv(layer, rows),)
    if isinstance(layer, Scale):
        return (rows.like(rows.values * rows.windows(layer.scale[None], slice(0, 1))),)
    return tuple(rows.like(rows.values * sign) for sign in layer.signs)


def offset(layer: Conv | Scale | Sum, rows: Patches) -> Tensor | float:
    if isinstance(layer, Conv):
        return rows.values.flatten(2).sum(2) @ layer.bias
    return rows.dot(layer.shift[None], slice(0, 1)) if isinstance(layer, Scale) else 0.0


def pull_relu(lines: ReluLines, rows: Patches, own: Tensor | slice) -> tuple[Patches, Tensor]:
    """As ReluLines.pull, under the patches alone."""
    up, down = rows.values.clamp(min=0), rows.values.clamp(max=0)
    slope, rise = rows.windows(lines.slope, own), rows.windows(lines.rise, own)
    return rows.like(up * slope + down * rise), rows.like(down).dot(lines.top, own)


def _pull_conv(conv: Conv, rows: Patches) -> Patches:
    """The patch grows by the window; what falls into the padding is dropped."""
    size = tuple(
        (rows.size[axis] - 1) * conv.stride[axis] + conv.dilation[axis] * (conv.weight.shape[2 + axis] - 1) + 1
        for axis in (0, 1)
    )
    values = conv.transposed(rows.values, size, (0, 0))
    stride = (rows.stride[0] * conv.stride[0], rows.stride[1] * conv.stride[1])
    begin = (
        rows.offset[0] * conv.stride[0] + conv.padding[0],
        rows.offset[1] * conv.stride[1] + conv.padding[1],
    )
    grown = rows.like(values, stride, begin)
    return grown.like(values * grown.windows(values.new_ones(1, 1, *conv.source[1:]), slice(0, 1)))
