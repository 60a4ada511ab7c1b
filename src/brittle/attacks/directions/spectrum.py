"""Spectrum simulation: the picture as other networks might see it, its frequencies louder and softer at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...kernels.shapes import wide
from ..parts.options import at_least, between
from .role import Gradient, Place, Scene, mean, planes


@dataclass(frozen=True, kw_only=True)
class SpectrumSimulation:
    """The mean of the gradients at IDCT(DCT(x + noise) * M), M uniform in [1 - rho, 1 + rho], noise normal with `noise` radii.

    SSA of Long et al., ECCV 2022, arXiv:2207.05382. The gradient is that at the changed picture, not drawn back through the change, as
    in its authors' code; the two agree in the mean over M.
    """

    copies: int = 20  # paper: N
    rho: float = 0.5
    noise: float = 1.0  # standard deviation, in radii (paper: sigma = eps)

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Long 2022, arXiv:2207.05382"

    def __post_init__(self) -> None:
        at_least(self, copies=1, noise=0)
        between(self, 0, 1, "rho", ends="[]")

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        return lambda point: mean(gradient(self.view(point, scene)) for _ in range(self.copies))

    def view(self, x: Tensor, scene: Scene) -> Tensor:
        """x (B, *S) seen anew."""
        shape = tuple(x.shape[1:])
        noise = scene.streams.normal(shape).to(x.dtype).mul_(wide(scene.ball.radius * self.noise, x))
        loudness = scene.uniform(shape).to(x.dtype).mul_(2 * self.rho).add_(1 - self.rho)
        spectrum = cosines(planes(x + noise)) * planes(loudness)
        return cosines(spectrum, inverse=True).view_as(x)


def cosines(x: Tensor, inverse: bool = False) -> Tensor:
    """The orthonormal discrete cosine transform (type II) of the last two dimensions, or its inverse, which is its transpose."""
    rows, columns = (_basis(size, x) for size in x.shape[-2:])
    return rows.T @ x @ columns if inverse else rows @ x @ columns.T


def _basis(size: int, like: Tensor) -> Tensor:
    """(size, size): row k is the k-th cosine, of length 1."""
    k = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(like)
