"""Threats that move pixels in place of changing them: rotation and translation, and smooth flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.bounds import Edge, limits, shown
from ..core.norms import NORMS
from ..core.streams import Streams
from ..errors import InputError
from ..kernels.shapes import wide
from .region import BallRegion

Render = Callable[[Tensor, Tensor], Tensor]  # (images (B, C, H, W) whose background is zero, points) -> images


@dataclass(frozen=True)
class Spatial:
    """Rotate by at most `angle_deg` degrees and shift by at most `shift` of the image's side, both ways at once.

    Engstrom et al., ICML 2019, arXiv:1712.02779. A point is (B, 3): angle, shift along the width, shift along the height, each as a share
    of its limit in [-1, 1]; `eps` scales all three. Pixels that come from outside the image have the lower bound's value (black). Bilinear.
    """

    angle_deg: float = 30.0
    shift: float = 0.1
    eps: float = 1.0

    name: ClassVar[str] = "spatial"

    def __post_init__(self) -> None:
        if not 0 <= self.angle_deg <= 180:
            raise InputError(f"angle_deg={self.angle_deg:g} is no angle; give 0 to 180 degrees")
        if not 0 <= self.shift <= 1:
            raise InputError(f"shift={self.shift:g} is not a share of the image's side; give 0 to 1")
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more (1 is the whole of angle and shift)")

    def with_eps(self, eps: float) -> Spatial:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> SpatialRegion:
        """Bind to images x (B, C, H, W) or (B, H, W)."""
        _need_image(x, self.name)
        origin = x.new_zeros(len(x), 3)
        limit = x.new_ones(1, 3)
        radius = x.new_full((len(x),), min(self.eps, 1.0))
        turned = partial(_turned, angle=math.radians(self.angle_deg), shift=self.shift)
        return bound(BallRegion(NORMS["linf"], origin, radius, -limit, limit), x, lower, upper, turned)


@dataclass(frozen=True)
class Flow:
    """Every pixel may come from up to `eps` pixels away, along each axis: a flow field, bilinear.

    Xiao et al., ICLR 2018, arXiv:1801.02612, equation 1. A point is the flow (B, 2, H, W), in pixels along width and height. How smooth the
    flow is, is the attack's to see to: `stadv` does.
    """

    eps: float

    name: ClassVar[str] = "flow"

    def __post_init__(self) -> None:
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more pixels")

    def with_eps(self, eps: float) -> Flow:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> SpatialRegion:
        """Bind to images x (B, C, H, W) or (B, H, W)."""
        _need_image(x, self.name)
        height, width = x.shape[-2:]
        most = float(max(height, width))
        origin = x.new_zeros(len(x), 2, height, width)
        limit = torch.full_like(origin[:1], most)
        radius = x.new_full((len(x),), min(self.eps, most))
        return bound(BallRegion(NORMS["linf"], origin, radius, -limit, limit), x, lower, upper, _flowed)


@dataclass(frozen=True, eq=False)
class SpatialRegion:
    """A Linf ball of transformation parameters around none, and what they make of the images."""

    parameters: BallRegion
    x: Tensor  # (B, C, H, W) or (B, H, W)
    lower: Tensor  # (1, *S)
    upper: Tensor
    transform: Render

    @property
    def origin(self) -> Tensor:
        """No transformation."""
        return self.parameters.x

    @property
    def radius(self) -> Tensor:
        return self.parameters.radius

    def render(self, point: Tensor) -> Tensor:
        """The transformed images; x itself, exactly, where the point is the origin."""
        images, lower, upper = (
            side if self.x.ndim == 4 else side[:, None] for side in (self.x, self.lower, self.upper)
        )
        made = torch.clamp(self.transform(images - lower, point).add(lower), lower, upper).view_as(self.x)
        still = (point.detach() == 0).flatten(1).all(1)
        return torch.where(wide(still, made), self.x + (made - made.detach()), made)

    def point(self, inputs: Tensor) -> Tensor:
        return inputs

    def made(self, rows: Tensor, point: Tensor) -> Tensor:
        return self.select(rows).render(point)

    def searched(self) -> SpatialRegion:
        return self

    def random(self, streams: Streams) -> Tensor:
        return self.parameters.random(streams)

    def gaussian(self, streams: Streams) -> Tensor:
        return self.parameters.gaussian(streams)

    def ascend(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        return self.parameters.ascend(point, grad, step)

    def project(self, point: Tensor) -> Tensor:
        return self.parameters.project(point)

    def step_(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        return self.parameters.step_(point, grad, step)

    def size(self, point: Tensor) -> Tensor:
        return self.parameters.size(point)

    def contains(self, point: Tensor) -> Tensor:
        return self.parameters.contains(point)

    def select(self, rows: Tensor) -> SpatialRegion:
        return replace(self, parameters=self.parameters.select(rows), x=self.x[rows])

    def within(self, radius: Tensor) -> SpatialRegion:
        return replace(self, parameters=self.parameters.within(radius))


def bound(parameters: BallRegion, x: Tensor, lower: Edge, upper: Edge, transform: Render) -> SpatialRegion:
    """The region of x (B, *S) under these parameters; InputError where a bound is infinite, from which no picture can be filled."""
    low, high = limits(x, lower, upper)
    if not bool((torch.isfinite(low) & torch.isfinite(high)).all()):
        raise InputError(
            f"what changes a picture as a whole needs finite bounds, and these are {shown(lower, upper)}; give (lowest, highest)"
        )
    return SpatialRegion(parameters, x, low, high, transform)


def _turned(images: Tensor, point: Tensor, angle: float, shift: float) -> Tensor:
    """Rotate about the centre by point[:, 0] * angle, then shift by point[:, 1:] * shift sides."""
    height, width = images.shape[-2:]
    turn, moved = point[:, 0] * angle, 2 * shift * point[:, 1:]
    cos, sin, ratio = turn.cos(), turn.sin(), height / width
    across = torch.stack([cos, sin * ratio, -(cos * moved[:, 0] + sin * ratio * moved[:, 1])], 1)
    down = torch.stack([-sin / ratio, cos, sin / ratio * moved[:, 0] - cos * moved[:, 1]], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _flowed(images: Tensor, flow: Tensor) -> Tensor:
    """The pixel at p is taken from p + flow(p); beyond the edge, from the edge."""
    height, width = images.shape[-2:]
    down, across = torch.meshgrid(
        torch.arange(height, dtype=flow.dtype, device=flow.device),
        torch.arange(width, dtype=flow.dtype, device=flow.device),
        indexing="ij",
    )
    grid = torch.stack([(2 * (across + flow[:, 0]) + 1) / width - 1, (2 * (down + flow[:, 1]) + 1) / height - 1], -1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _need_image(x: Tensor, name: str) -> None:
    if x.ndim not in (3, 4):
        raise InputError(
            f"{name} moves pixels; samples of shape {tuple(x.shape[1:])} have none: give (C, H, W) or (H, W)"
        )


def spatial(angle_deg: float = 30.0, shift: float = 0.1, eps: float = 1.0) -> Spatial:
    """Rotation by at most angle_deg degrees and translation by at most shift of the side; eps scales both."""
    return Spatial(float(angle_deg), float(shift), float(eps))


def flow(eps: float) -> Flow:
    """Every pixel may come from up to eps pixels away, along each axis."""
    return Flow(float(eps))
