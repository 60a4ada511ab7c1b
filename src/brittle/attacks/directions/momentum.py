"""Where the gradient is taken: ahead, along the gradient of the step before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...kernels.shapes import wide
from ..parts.options import at_least, positive
from .role import Gradient, Place, Scene, mean, per_mean


@dataclass(frozen=True, kw_only=True)
class PreGradient:
    """The gradient at x + step * g', g' being the gradient of the step before over its mean absolute value.

    PI-FGSM of Wang et al., BMVC 2021, arXiv:2103.10609. Unlike Nesterov's look-ahead it follows the last gradient and
    not all of them. Deviation: divided by the mean absolute value, as the momentum is, where the paper writes no norm.
    """

    place: ClassVar[Place] = Place.AHEAD
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Wang 2021, arXiv:2103.10609"

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        before: list[Tensor] = []

        def bent(point: Tensor) -> Tensor:
            grad = gradient(point + wide(scene.step, point) * before.pop() if before else point)
            before.append(per_mean(grad))
            return grad

        return bent


@dataclass(frozen=True, kw_only=True)
class EnhancedMomentum:
    """The mean of the gradients at x + c_i * step * g', c_i evenly in [-reach, reach], g' being that mean a step before.

    EMI-FGSM of Wang et al., BMVC 2021, arXiv:2103.10609. Deviation: g' over its mean absolute value and times the
    step, as in TransferAttack; the paper writes c_i * g'. reach: in steps.
    """

    samples: int = 11
    reach: float = 7.0

    place: ClassVar[Place] = Place.AHEAD
    paper: ClassVar[str] = "Wang 2021, arXiv:2103.10609"

    def __post_init__(self) -> None:
        at_least(self, samples=1)
        positive(self, "reach")

    @property
    def passes(self) -> int:
        return self.samples

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        before: list[Tensor] = []
        factors = torch.linspace(-self.reach, self.reach, self.samples).tolist() if self.samples > 1 else [0.0]

        def bent(point: Tensor) -> Tensor:
            along = before.pop() if before else torch.zeros_like(point)
            ahead = wide(scene.step, point) * along
            grad = mean(gradient(point + factor * ahead) for factor in factors)
            before.append(per_mean(grad))
            return grad

        return bent
