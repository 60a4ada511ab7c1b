"""Windows of images and the bumps that fill them, for searches that change one window at a time."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

Shape = tuple[int, int, int]  # channels, height, width


def planes(x: Float[Tensor, "b ..."]) -> Shape:
    """What a sample looks like as an image: a vector is one row, and all but the last two dimensions are channels."""
    *channels, height, width = (1, *x.shape[1:])[-max(x.ndim - 1, 2) :]
    return math.prod(channels), height, width


def sides(share: float, shape: Shape, odd: bool = False) -> tuple[int, int]:
    """Height and width of the window that covers this share of an image: a square, if `odd` of odd side and at least 3, or what fits in."""
    _, height, width = shape
    side = max(round((share * height * width) ** 0.5), 3 if odd else 1)
    side += odd and side % 2 == 0
    if side <= min(height, width):
        return side, side
    long = max(round(share * max(height, width)), min(3 if odd else 1, max(height, width)))
    return (height, long) if height < width else (long, width)


def places(u: Float[Tensor, "b ..."], window: tuple[int, int], shape: Shape) -> Int[Tensor, "b c n"]:
    """Flat indices (B, C, n) of a window of that height and width in each image; the first two of u in (0, 1) say where."""
    _, height, width = shape
    rows, columns = height - window[0] + 1, width - window[1] + 1
    top, left = (u[:, 0] * rows).long().clamp_max_(rows - 1), (u[:, 1] * columns).long().clamp_max_(columns - 1)
    return (top.mul_(width).add_(left))[:, None, None] + _offsets(window, shape, u.device)


@lru_cache(maxsize=64)
def _offsets(window: tuple[int, int], shape: Shape, device: torch.device) -> Tensor:
    """Flat indices (C, n) of the window in the first corner."""
    channels, height, width = shape
    index = torch.arange(channels * height * width, device=device).view(channels, height, width)
    return index[:, : window[0], : window[1]].flatten(1)


@lru_cache(maxsize=256)
def bumps(
    window: tuple[int, int], q: int, power: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "2 n"]:
    """A hill beside a hollow, one above the other and side by side, of unit length in Lq. Equation 2 of arXiv:1912.00049: power 2."""
    height, width = window
    upright, across = _pair(height, width, q, power), _pair(width, height, q, power).T
    pair = torch.stack([upright if height > 1 else across, across if width > 1 else upright]).flatten(1)
    return _unit(pair, q).to(device, dtype)


def _pair(height: int, width: int, q: int, power: int) -> Tensor:
    return torch.cat([_hill(height // 2, width, q, power), -_hill(height - height // 2, width, q, power)])


def _hill(height: int, width: int, q: int, power: int) -> Tensor:
    """A pyramid around the middle: the ring at distance r has the height sum_{k > r} k^-power."""
    row, column = (torch.arange(size) - size // 2 for size in (height, width))
    ring = torch.maximum(row.abs()[:, None], column.abs()[None])
    heights = torch.arange(1, max(height, width) // 2 + 2, dtype=torch.float64).pow(-power).flip(0).cumsum(0).flip(0)
    return _unit(heights[ring].view(1, -1), q).view(height, width)


def _unit(rows: Tensor, q: int) -> Tensor:
    length: Tensor = rows.norm(p=q, dim=1, keepdim=True)
    return rows / length.clamp_min(1e-30)
