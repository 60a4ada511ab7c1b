"""The discrete cosine transform (orthonormal, type II) over the last two dimensions, or the only one: a product with small matrices."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "..."]


def dct(x: Batch, spatial: int = 2) -> Batch:
    """Coefficients of x (..., H, W), of its last `spatial` (1 or 2) dimensions; the constant is the first."""
    x = x @ _basis(x.shape[-1], x.shape[-1], x.dtype, x.device).T
    return x if spatial == 1 else _basis(x.shape[-2], x.shape[-2], x.dtype, x.device) @ x


def idct(coefficients: Batch, size: tuple[Any, ...] | None = None) -> Batch:
    """The image whose coefficients these are; of `size` (H, W) or (N,), if given: the coefficients that are missing are zero.

    An orthonormal transform: noise of independent equal Gaussians stays that, or becomes such noise of low frequencies alone.
    """
    size = tuple(coefficients.shape[-2:]) if size is None else size
    x = coefficients @ _basis(size[-1], coefficients.shape[-1], coefficients.dtype, coefficients.device)
    if len(size) == 1:
        return x
    return _basis(size[-2], coefficients.shape[-2], coefficients.dtype, coefficients.device).T @ x


@lru_cache(maxsize=64)
def _basis(size: int, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The `count` lowest cosines of `size` samples (count, size), orthonormal."""
    place = torch.arange(size, dtype=torch.float64) + 0.5
    waves = torch.cos(torch.arange(count, dtype=torch.float64)[:, None] * place * (math.pi / size))
    waves *= math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves.to(device, dtype)
