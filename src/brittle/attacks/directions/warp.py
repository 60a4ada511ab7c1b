"""Deformation: the picture warped by a thin plate that is pushed about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..parts.options import at_least
from .role import Gradient, Place, Scene, mean, planes, pulled


@dataclass(frozen=True, kw_only=True)
class ConstrainedWarping:
    """The mean of the gradients at warped copies, each warp first moved one step to where the loss is less.

    DeCoWA of Lin et al., AAAI 2024, arXiv:2402.03951: the inner points of a `mesh` x `mesh` grid over [-1, 1]^2 are moved by noise uniform
    in [-push, push], then by -rate times the gradient of the loss with respect to that; the thin-plate spline through all is the warp.
    """

    copies: int = 20
    mesh: int = 3
    push: float = 1.0
    rate: float = 0.01  # paper: rho

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Lin 2024, arXiv:2402.03951"

    def __post_init__(self) -> None:
        at_least(self, copies=1, mesh=3, push=0, rate=0)

    @property
    def passes(self) -> int:
        return 2 * self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        spread: list[Tensor] = []

        def one(point: Tensor) -> Tensor:
            if not spread:
                spread.append(influence(self.mesh, *planes(point).shape[-2:]).to(point))
            push = scene.uniform(((self.mesh - 2) ** 2, 2)).to(point).mul_(2).sub_(1).mul_(self.push)
            still = point.detach()
            push = push - self.rate * pulled(lambda p: warped(still, p, spread[0]), push, gradient)
            return pulled(lambda x: warped(x, push, spread[0]), point, gradient)

        return lambda point: mean(one(point) for _ in range(self.copies))


def warped(x: Tensor, push: Tensor, spread: Tensor) -> Tensor:
    """x (B, *S), pixels taken from where the pushes (B, I, 2), right and down, move them; 0 beyond the picture."""
    pictures = planes(x)
    home = F.affine_grid(torch.eye(2, 3).to(x).expand(len(x), 2, 3), list(pictures.shape), align_corners=False)
    grid = home + torch.einsum("hwi,bic->bhwc", spread, push)
    return F.grid_sample(pictures, grid, align_corners=False).view_as(x)


def influence(mesh: int, height: int, width: int) -> Tensor:
    """(H, W, I): how far each pixel is moved by the thin-plate spline if one of the I inner points of the mesh is moved by 1."""
    at = torch.linspace(-1, 1, mesh, dtype=torch.float64)
    knots = torch.cartesian_prod(at, at).flip(1)
    inner = (knots.abs() < 1 - 1e-9).all(1)
    count = len(knots)
    plate = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    plate[:count, :count], plate[:count, count:] = _bending(knots, knots), _affine(knots)
    plate[count:, :count] = plate[:count, count:].T
    y, x = ((2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1 for side in (height, width))
    pixels = torch.cartesian_prod(y, x).flip(1)
    rows = torch.cat([_bending(pixels, knots), _affine(pixels)], 1)
    moves = rows @ torch.linalg.inv(plate)[:, :count]
    inside: Tensor = moves[:, inner]
    return inside.view(height, width, -1)


def _bending(points: Tensor, knots: Tensor) -> Tensor:
    square = (points[:, None] - knots[None]).square().sum(2)
    bending: Tensor = square * (square + 1e-9).log()
    return bending


def _affine(points: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(points[:, :1]), points], 1)
