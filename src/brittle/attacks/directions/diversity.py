"""Input diversity: the picture a little smaller or larger, and somewhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..parts.options import at_least, between
from .role import Gradient, Place, Scene, planes, pulled


@dataclass(frozen=True, kw_only=True)
class DiverseInputs:
    """With probability `prob`, the picture resized at random, padded with zeros at random to `growth` times its size, and resized back.

    DI2-FGSM of Xie et al., CVPR 2019, arXiv:1803.06978. The side is uniform from its own to `growth` times it. Deviations: the
    padded picture is resized back, because networks want their own input size (as in TransferAttack); each sample draws for itself.
    """

    prob: float = 0.5
    growth: float = 1.1

    place: ClassVar[Place] = Place.VIEW
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Xie 2019, arXiv:1803.06978"

    def __post_init__(self) -> None:
        between(self, 0, 1, "prob", ends="[]")
        at_least(self, growth=1)

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def bent(point: Tensor) -> Tensor:
            drawn = scene.uniform((4,)).tolist()
            return pulled(lambda x: self.view(x, drawn), point, gradient)

        return bent

    def view(self, x: Tensor, drawn: list[list[float]]) -> Tensor:
        """x (B, *S) seen anew; four numbers in (0, 1) a sample: whether at all, the size, the place from the top and from the left."""
        pictures = planes(x)
        seen = [self._one(picture[None], *four) for picture, four in zip(pictures, drawn, strict=True)]
        return torch.cat([pictures[:0], *seen]).view_as(x)

    def _one(self, picture: Tensor, whether: float, size: float, top: float, left: float) -> Tensor:
        height, width = picture.shape[-2:]
        high, broad = int(height * self.growth), int(width * self.growth)
        if whether >= self.prob or (high, broad) == (height, width):
            return picture
        rows, columns = height + int(size * (high - height)), width + int(size * (broad - width))
        above, before = int(top * (high - rows)), int(left * (broad - columns))
        seen = F.interpolate(picture, (rows, columns), mode="bilinear")
        seen = F.pad(seen, (before, broad - columns - before, above, high - rows - above))
        return F.interpolate(seen, (height, width), mode="bilinear")
