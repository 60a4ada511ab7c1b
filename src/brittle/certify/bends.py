"""The layers that are not linear, ReLU and max-pooling, and the two straight lines between which each is known to run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 2.0**-40  # relative; far more than float64 loses in an intercept


@dataclass(frozen=True, eq=False)
class ReluLines:
    """slope x <= relu(x) <= rise x + top, for inputs between limits; all (B, *S), `free` where any lower slope in [0, 1] is right."""

    slope: Tensor
    rise: Tensor
    top: Tensor
    free: Tensor

    def pull(self, rows: Tensor, own: Tensor | slice, slopes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Coefficients (R, *S) of a lower bound of rows . relu(x), and its constant (R,). `own` says whose lines a row takes."""
        lower = self.slope[own] if slopes is None else torch.where(self.free[own], slopes, self.slope[own])
        down = rows.clamp(max=0)
        return (rows - down) * lower + down * self.rise[own], (down * self.top[own]).flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Relu:
    """relu(x). Upper line: the chord. Lower line: x where the triangle is then smaller, else 0.

    Zhang et al., NeurIPS 2018, arXiv:1811.00866, section 3.3 and table 3.
    """

    def interval(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low.clamp(min=0), high.clamp(min=0)

    def unsettled(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, *S) how loose the lines are; 0 where there is nothing to gain from better limits."""
        return torch.minimum(-low, high).clamp(min=0)

    def lines(self, low: Tensor, high: Tensor) -> ReluLines:
        free = (low < 0) & (high > 0)
        rise = torch.where(free, high / (high - low).clamp(min=torch.finfo(low.dtype).tiny), (low >= 0).to(low.dtype))
        top = torch.where(free, torch.maximum(-rise * low, (1 - rise) * high) * (1 + ROUNDING), 0.0)
        slope = torch.where(free, (high > -low).to(low.dtype), rise)
        return ReluLines(slope, rise, top, free)


@dataclass(frozen=True, eq=False)
class PoolLines:
    """x[below] <= y <= rise x[above] + top: for each output (B, O) one input below it and one above."""

    below: Tensor
    above: Tensor
    rise: Tensor
    top: Tensor
    source: tuple[int, ...]

    def pull(self, rows: Tensor, own: Tensor | slice, slopes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As ReluLines.pull; there are no slopes to choose."""
        flat = rows.flatten(1)
        down = flat.clamp(max=0)
        back = rows.new_zeros(len(rows), _size(self.source))
        back = back.scatter_add(1, self.below[own].expand_as(flat), flat - down)
        back = back.scatter_add(1, self.above[own].expand_as(flat), down * self.rise[own])
        return back.view(len(rows), *self.source), (down * self.top[own]).sum(1)


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest of each window: `windows` (O, K) holds the places of its values in the flattened input, -1 for none.

    Lower line: one value of the window. Upper line: with i the value of the highest upper limit and c the highest limit of the others, the
    chord of max(x_i, c), which is nowhere above the constant max_i u_i.
    """

    windows: Tensor
    source: tuple[int, ...]
    target: tuple[int, ...]

    def interval(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        shape = (len(low), *self.target)
        return self._windows(low).amax(2).view(shape), self._windows(high).amax(2).view(shape)

    def unsettled(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, *S) the width of the limits."""
        return high - low

    def lines(self, low: Tensor, high: Tensor) -> PoolLines:
        lows, highs = self._windows(low), self._windows(high)
        below = (lows + highs).argmax(2, keepdim=True)
        top, above = highs.max(2, keepdim=True)
        others = highs.scatter(2, above, -torch.inf).amax(2)
        least, top = lows.gather(2, above).squeeze(2), top.squeeze(2)
        settled = others <= least
        rise = torch.where(settled, 1.0, (top - others) / (top - least).clamp(min=torch.finfo(low.dtype).tiny))
        cut = torch.maximum(others - rise * least, top - rise * top)
        rounded = cut + ROUNDING * (others.abs() + least.abs() + top.abs())
        places = self.windows.expand(len(low), -1, -1)
        return PoolLines(
            places.gather(2, below).squeeze(2),
            places.gather(2, above).squeeze(2),
            rise,
            torch.where(settled, 0.0, rounded),
            self.source,
        )

    def _windows(self, x: Tensor) -> Tensor:
        """(B, O, K), minus infinity where a window has no value."""
        values = x.flatten(1)[:, self.windows.clamp(min=0)]
        return torch.where(self.windows >= 0, values, -torch.inf)


def windows_of(
    shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """(O, K) places, in the flattened (C, H, W), of the values under each window; -1 in the padding."""
    places = torch.arange(_size(shape)).view(shape)
    padded = torch.nn.functional.pad(places, (padding[1], padding[1], padding[0], padding[0]), value=-1)
    return padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1]).reshape(-1, kernel[0] * kernel[1])


def _size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


Bend = Relu | MaxPool
Lines = ReluLines | PoolLines
