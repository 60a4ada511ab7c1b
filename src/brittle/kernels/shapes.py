"""Numbers of samples beside their points."""

from __future__ import annotations

from torch import Tensor


def wide(per_sample: Tensor, like: Tensor) -> Tensor:
    """One number a sample (B,) as (B, 1, ..., 1), to be used with points (B, *P)."""
    return per_sample.view(-1, *(1,) * (like.ndim - 1))
