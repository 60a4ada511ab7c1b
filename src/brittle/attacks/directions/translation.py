"""Translation invariance: a gradient that is smoothed over the neighbouring pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import InputError
from ..parts.options import at_least, positive
from .role import Gradient, Place, Scene, planes


@dataclass(frozen=True, kw_only=True)
class TranslationInvariant:
    """The gradient convolved with a Gaussian kernel, which stands for the mean gradient of the picture shifted about.

    Dong et al., CVPR 2019, arXiv:1904.02884; the kernel is that of its authors' code. side: odd, of the kernel in pixels. deviations:
    standard deviations from its middle to its edge. The kernel sums to 1; outside the picture the gradient is 0.
    """

    side: int = 15
    deviations: float = 3.0

    place: ClassVar[Place] = Place.SMOOTH
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Dong 2019, arXiv:1904.02884"

    def __post_init__(self) -> None:
        at_least(self, side=1)
        positive(self, "deviations")
        if self.side % 2 == 0:
            raise InputError(f"side={self.side} has no middle pixel; give an odd number, such as {self.side + 1}")

    def kernel(self, like: Tensor) -> Tensor:
        """(side,): the kernel is its outer product with itself."""
        at = (
            torch.linspace(-self.deviations, self.deviations, self.side).to(like)
            if self.side > 1
            else like.new_zeros(1)
        )
        one = torch.exp(-at.square() / 2)
        return one / one.sum()

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        del scene

        def bent(point: Tensor) -> Tensor:
            grad = gradient(point)
            if not len(grad):
                return grad
            flat, one = planes(grad).flatten(0, 1)[:, None], self.kernel(grad)
            rows = F.conv2d(flat, one.view(1, 1, -1, 1), padding="same")
            return F.conv2d(rows, one.view(1, 1, 1, -1), padding="same").view_as(grad)

        return bent
