"""Object-based diversity: the picture printed on a body that stands somewhere, turned and lit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..parts.options import between
from .bodies import BODIES, rays, struck, turned
from .role import Gradient, Place, Scene, planes, pulled


@dataclass(frozen=True, kw_only=True)
class ObjectBased:
    """The picture on a box, can, ball or cushion, seen from a random place in a random light, with noise behind it.

    ODI of Byun et al., CVPR 2022, arXiv:2203.09123, with the ranges of its authors' main configuration: elevation, azimuth and tilt
    uniform within `angle_deg`, the distance times 1 plus or minus `spread`, the rest of the body in one colour, a lamp near its front.
    Deviations: bodies with a formula in place of their six scanned meshes; light is ambient and diffuse alone, as in that configuration.
    """

    angle_deg: float = 35.0
    spread: float = 0.2

    place: ClassVar[Place] = Place.VIEW
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Byun 2022, arXiv:2203.09123"

    def __post_init__(self) -> None:
        between(self, 0, 90, "angle_deg", ends="[)")
        between(self, 0, 0.5, "spread", ends="[]")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        return lambda point: pulled(self.view(point, scene), point, gradient)

    def view(self, point: Tensor, scene: Scene) -> Printed:
        """A view of inputs like the point (B, *S), drawn anew."""
        pictures = planes(point)
        channels, height, width = pictures.shape[1:]
        chosen, background = scene.uniform((10,)).tolist(), scene.uniform((channels, height, width))
        colour = scene.uniform((channels, 1, 1)) * 0.6 + 0.1
        seen = [self._one(numbers, height, width) for numbers in chosen]
        empty = (torch.zeros(0, height, width, 2), torch.zeros(0, height, width), torch.zeros(0, height, width))
        canvas, light, hit = (torch.stack(one) for one in zip(*seen, strict=True)) if seen else empty
        canvas, light, hit = canvas.to(point), light.to(point), hit.to(point)
        return Printed(canvas, light, hit, colour.to(point), background.to(point), scene.bounds)

    def _one(self, numbers: list[float], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where each pixel lies on the picture (H, W, 2), its light (H, W), and whether there is a body at all (H, W)."""
        which, *angles, near, x, y, z, ambient, diffuse = numbers
        body = BODIES[int(which * len(BODIES))]
        elevation, azimuth, tilt = ((2 * one - 1) * math.radians(self.angle_deg) for one in angles)
        distance = body.distance * (1 + self.spread * (2 * near - 1))
        stand, ways = rays(height, width, turned(elevation, azimuth, tilt), distance)
        point, normal, hit = struck(body, stand, ways)
        lamp = torch.tensor([4 * x - 2, 4 * y - 2, 2 + 4 * z])
        shone = (normal * F.normalize(lamp - point, dim=-1)).sum(-1).clamp_min(0)
        return body.canvas(point), 0.6 + 0.3 * ambient + 0.5 * diffuse * shone, hit.float()


@dataclass(frozen=True, eq=False)
class Printed:
    """A view: the picture where `canvas` (B, H, W, 2) is within [-1, 1], elsewhere the body's colour, beyond it the background."""

    canvas: Tensor
    light: Tensor  # (B, H, W)
    hit: Tensor  # (B, H, W), 0 or 1
    colour: Tensor  # (B, K, 1, 1) in (0, 1)
    background: Tensor  # (B, K, H, W) in (0, 1)
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        lower, upper = self.bounds
        printed = F.grid_sample(planes(x) - lower, self.canvas, padding_mode="border", align_corners=False)
        inside = (self.canvas.abs() <= 1).all(3)[:, None]
        surface = torch.where(inside, printed, self.colour * (upper - lower)) * self.light[:, None]
        seen = torch.where(self.hit[:, None] > 0, surface, self.background * (upper - lower)) + lower
        return seen.clamp(lower, upper).view_as(x)
