"""The picture cut in blocks, and something done to each: shuffled and rotated, or shifted, flipped, dimmed and roughened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.streams import Streams
from ..parts.options import at_least, between
from .role import Gradient, Place, Scene, mean, planes, pulled


@dataclass(frozen=True, kw_only=True)
class BlockShuffle:
    """The mean of the gradients at copies whose strips are shuffled and turned by up to `angle`, and in each of which blocks are shuffled.

    BSR of Wang et al., CVPR 2024, arXiv:2308.10299; the cuts, and whether strips lie or stand, are drawn for each copy, lengths as in its
    authors' code (uniform between 1 and 2, scaled to the side). angle in degrees. What a rotation leaves empty is 0.
    """

    copies: int = 20
    blocks: int = 3  # a side
    angle_deg: float = 24.0

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Wang 2024, arXiv:2308.10299"

    def __post_init__(self) -> None:
        at_least(self, copies=1, blocks=1)
        between(self, 0, 180, "angle_deg", ends="[]")

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def one(point: Tensor) -> Tensor:
            grids = self.grids(point, scene)
            return pulled(lambda x: sampled(x, grids), point, gradient)

        return lambda point: mean(one(point) for _ in range(self.copies))

    def grids(self, point: Tensor, scene: Scene) -> Tensor:
        """(B, H, W, 2): `grid` for a copy of each picture of the point (B, *S), drawn anew."""
        drawn = scene.uniform((1 + self.blocks * (3 + 2 * self.blocks),))
        height, width = planes(point).shape[-2:]
        grids = [self.grid(numbers, height, width) for numbers in drawn.cpu()]
        return torch.stack(grids).to(point) if grids else point.new_zeros(0, height, width, 2)

    def grid(self, numbers: Tensor, height: int, width: int) -> Tensor:
        """(H, W, 2): from where each pixel of a copy comes, row and column; beyond the picture where from nowhere."""
        if numbers[0] < 0.5:  # strips that stand are strips that lie in the picture mirrored at its diagonal
            return self._lying(numbers[1:], width, height).flip(2).transpose(0, 1)
        return self._lying(numbers[1:], height, width)

    def _lying(self, numbers: Tensor, height: int, width: int) -> Tensor:
        n = self.blocks
        cuts, order, turns = numbers[:n], numbers[n : 2 * n].argsort(), numbers[2 * n : 3 * n] * 2 - 1
        inner = numbers[3 * n :].view(n, 2, n)
        lengths = _lengths(cuts, height)
        starts = torch.tensor([0, *lengths]).cumsum(0)
        strips = []
        for strip in order.tolist():
            columns = torch.split(torch.arange(width), _lengths(inner[strip, 0], width))
            across = torch.cat([columns[block] for block in inner[strip, 1].argsort().tolist()]).float()
            local = torch.stack(torch.meshgrid(torch.arange(lengths[strip]).float(), across, indexing="ij"), 2)
            strips.append(
                _turned(local, float(turns[strip]) * self.angle_deg, lengths[strip], width, int(starts[strip]))
            )
        return torch.cat(strips)


def _lengths(numbers: Tensor, side: int) -> list[int]:
    """Of the blocks that a side is cut into, by a number in (0, 1) for each."""
    shares = 1 + numbers.double()
    ends = (shares.cumsum(0) / shares.sum() * side).round().long().tolist()
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _turned(local: Tensor, angle_deg: float, height: int, width: int, start: int) -> Tensor:
    """Where pixels (H, W, 2) of a strip come from, if it is turned about its middle; far away where that is outside of the strip."""
    middle = torch.tensor([(height - 1) / 2, (width - 1) / 2])
    angle = torch.tensor(angle_deg).deg2rad()
    cos, sin = angle.cos(), angle.sin()
    came = (local - middle) @ torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])]) + middle
    edge = torch.tensor([height - 0.5, width - 0.5])
    inside = ((came >= -0.5) & (came <= edge)).all(2, keepdim=True)
    return torch.where(inside, came + torch.tensor([float(start), 0.0]), -1e4)


def sampled(x: Tensor, grid: Tensor) -> Tensor:
    """x (B, *S) at the rows and columns (B, H, W, 2), linearly between pixels, 0 beyond the picture."""
    pictures = planes(x)
    sides = grid.new_tensor(pictures.shape[-2:])
    return F.grid_sample(pictures, ((2 * grid + 1) / sides - 1).flip(3), align_corners=False).view_as(x)


@dataclass(frozen=True, kw_only=True)
class StructureInvariant:
    """The mean of the gradients at copies with a change in each block: shift down or across, flip either way, half turn, dim, noise.

    SIA of Wang et al., ICCV 2023, arXiv:2309.14700; the seven changes of its authors' code, drawn for each block and copy. A shift goes
    round within its block; dimming is by a factor uniform in (0, 1); noise is uniform within `noise` radii, cut by the bounds.
    """

    copies: int = 20
    blocks: int = 3  # a side
    noise: float = 1.0

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Wang 2023, arXiv:2309.14700"

    def __post_init__(self) -> None:
        at_least(self, copies=1, blocks=1, noise=0)

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        return lambda point: mean(pulled(self._view(point, scene), point, gradient) for _ in range(self.copies))

    def _view(self, point: Tensor, scene: Scene) -> _Changed:
        height, width = planes(point).shape[-2:]
        maps = [self.changes(one, height, width) for one in _each(scene.streams, self.blocks)]
        home = torch.arange(height * width).view(1, height, width)
        whence, dimmed, rough = (torch.stack(parts) for parts in zip(*maps, strict=True)) if maps else (home[:0],) * 3
        noise = scene.around(torch.zeros_like(point), self.noise)
        device = point.device
        return _Changed(whence.to(device), dimmed.to(point), rough.to(device).bool(), noise, scene.bounds)

    def changes(self, numbers: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """(H, W) each: the index of the pixel that comes here, the factor it is dimmed by, and whether it gets noise."""
        n = self.blocks
        rows, columns = (_cuts(numbers[i, : n - 1, 0], side) for i, side in ((0, height), (1, width)))
        whence = torch.arange(height * width).view(height, width)
        dimmed, rough = torch.ones(height, width), torch.zeros(height, width, dtype=torch.bool)
        for i in range(n):
            for j in range(n):
                block = (slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1]))
                kind, amount = int(numbers[2 + i, j, 0] * 7), float(numbers[2 + i, j, 1])
                moved = whence[block]
                if kind < 2:
                    moved = moved.roll(int(amount * moved.shape[kind]), kind)
                elif kind < 5:
                    moved = moved.flip(((0,), (1,), (0, 1))[kind - 2])
                elif kind == 5:
                    dimmed[block] = amount
                else:
                    rough[block] = True
                whence[block] = moved.clone()
        return whence, dimmed, rough


def _each(streams: Streams, n: int) -> Sequence[Tensor]:
    """For each sample the numbers in (0, 1) that its copy needs: (2 + n, n, 2), two rows for the cuts and one for each row of blocks."""
    return list(streams.uniform((2 + n, n, 2)).cpu())


def _cuts(numbers: Tensor, side: int) -> list[int]:
    """0, where to cut, and the side: different places where there are enough."""
    free = list(range(1, side))
    places = [free.pop(int(float(number) * len(free))) for number in numbers if free]
    places += [side] * (len(numbers) - len(places))
    return [0, *sorted(places), side]


@dataclass(frozen=True, eq=False)
class _Changed:
    """A view: pixels taken from elsewhere, dimmed, and roughened where `rough` (B, H, W) says so."""

    whence: Tensor  # (B, H, W) int64
    dimmed: Tensor
    rough: Tensor
    noise: Tensor  # (B, *S)
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        pictures = planes(x)
        whence = self.whence.flatten(1)[:, None].expand(-1, pictures.shape[1], -1)
        moved = pictures.flatten(2).gather(2, whence).view_as(pictures) * self.dimmed[:, None]
        noisy = (moved + planes(self.noise)).clamp(*self.bounds)
        return torch.where(self.rough[:, None], noisy, moved).view_as(x)
