"""What may be done to a picture, as values: turned, dimmed, put elsewhere, shuffled, thinned, covered, seen in other frequencies, cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .blocks import BlockShuffle, sampled
from .diversity import DiverseInputs
from .role import Scene, planes
from .spectrum import SpectrumSimulation

Operation = Callable[[Tensor, Scene], Tensor]  # one picture (1, *S) and the scene of its sample -> another picture


def same(x: Tensor, scene: Scene) -> Tensor:
    del scene
    return x


@dataclass(frozen=True)
class Turned:
    """By the angle, or a half, quarter, 8th or 16th of it; 0 where nothing comes from."""

    angle_deg: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        angle = math.radians(self.angle_deg / 2 ** _one_of(5, scene))
        height, width = planes(x).shape[-2:]
        cos, sin, aspect = math.cos(angle), math.sin(angle), height / width
        return _mapped(x, [[cos, -sin * aspect, 0], [sin / aspect, cos, 0]])


@dataclass(frozen=True)
class Shifted:
    """Right and down by a fifth to five fifths of a share of its sides; 0 where nothing comes from."""

    share: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        shift = -2 * self.share * (1 + _one_of(5, scene)) / 5
        return _mapped(x, [[1, 0, shift], [0, 1, shift]])


@dataclass(frozen=True)
class Cropped:
    """Its middle, a fifth to five fifths of the way from `share` of its sides to the whole, and enlarged."""

    share: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        part = self.share + (1 - self.share) * (1 + _one_of(5, scene)) / 5
        return _mapped(x, [[part, 0, 0], [0, part, 0]])


@dataclass(frozen=True)
class Dimmed:
    """Divided by 1, 2, 4 and so on, one of so many."""

    scales: int

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        return x / 2.0 ** _one_of(self.scales, scene)


@dataclass(frozen=True)
class Resized:
    """As `di` does it, always."""

    growth: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        return DiverseInputs(prob=1.0, growth=self.growth).view(x, scene.uniform((4,)).tolist())


@dataclass(frozen=True)
class Shuffled:
    """As `bsr` does it, nothing turned."""

    blocks: int

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        return sampled(x, BlockShuffle(blocks=self.blocks, angle_deg=0.0).grids(x, scene))


@dataclass(frozen=True)
class Dropped:
    """A share of its features 0, at random."""

    share: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        kept = scene.uniform(tuple(x.shape[1:])) >= self.share
        return x * kept.to(x.dtype)


@dataclass(frozen=True)
class Covered:
    """One block of a grid of `blocks` a side 0."""

    blocks: int

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        pictures = planes(x)
        left = torch.ones_like(pictures)
        rows, columns = (_block(side, self.blocks, scene) for side in pictures.shape[-2:])
        left[..., rows, columns] = 0
        return (pictures * left).view_as(x)


@dataclass(frozen=True)
class Tuned:
    """As `ssa` does it."""

    rho: float

    def __call__(self, x: Tensor, scene: Scene) -> Tensor:
        return SpectrumSimulation(rho=self.rho).view(x, scene)


TENTHS = tuple(i / 10 for i in range(1, 10))
OPERATIONS: tuple[Operation, ...] = (
    same,
    *(Turned(30.0 * i) for i in range(1, 11)),
    *(Dimmed(i) for i in range(1, 11)),
    *(Resized(1.05 + i / 20) for i in range(1, 11)),
    *(Shuffled(i) for i in range(3, 13)),
    *(Dropped(i / 20) for i in range(1, 11)),
    *(Covered(i) for i in range(2, 12)),
    *(Tuned(rho) for rho in TENTHS),
    *(Cropped(share) for share in TENTHS),
    *(Shifted(0.45 + i / 20) for i in range(1, 10)),
)


def _one_of(count: int, scene: Scene) -> int:
    """0 to count - 1."""
    return int(float(scene.uniform((1,))) * count)


def _block(side: int, blocks: int, scene: Scene) -> slice:
    at = _one_of(blocks, scene)
    return slice(round(side * at / blocks), round(side * (at + 1) / blocks))


def _mapped(x: Tensor, rows: list[list[float]]) -> Tensor:
    """x (1, *S), each pixel taken from where a map (2, 3) of the square [-1, 1]^2 takes it."""
    pictures = planes(x)
    grid = F.affine_grid(torch.tensor([rows]).to(x), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False).view_as(x)
