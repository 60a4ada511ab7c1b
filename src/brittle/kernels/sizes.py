"""Size of a perturbation in each norm: delta (B, *S) -> (B,)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def linf(delta: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Largest absolute change of a feature."""
    return delta.flatten(1).abs().amax(1) if delta[0:1].numel() else delta.new_zeros(delta.shape[0])


def l2(delta: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Euclidean length; scaled by the largest entry first, so that tiny perturbations do not underflow."""
    flat = delta.flatten(1)
    top = linf(delta).clamp_min(1e-38)
    length: Tensor = (flat / top[:, None]).norm(dim=1)
    return length * top


def l1(delta: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Sum of absolute changes."""
    return delta.flatten(1).abs().sum(1)


def l0(delta: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Number of changed features (each channel of a pixel is a feature)."""
    return (delta.flatten(1) != 0).sum(1).to(delta.dtype)
