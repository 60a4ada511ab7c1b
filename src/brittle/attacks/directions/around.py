"""Gradients at points around, put together so that they say more of the loss than its slope at one point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...kernels.shapes import wide
from ..parts.options import at_least, between, positive
from .role import Gradient, Place, Scene, mean, per_mean


@dataclass(frozen=True, kw_only=True)
class VarianceTuning:
    """g_t + V_{t-1}, where V is how much the mean gradient of random neighbours differs from the gradient itself.

    VMI- and, with Nesterov's look-ahead, VNI-FGSM of Wang and He, CVPR 2021, arXiv:2103.15571. reach: the neighbours are
    uniform in a cube of so many radii (paper: beta).
    """

    neighbours: int = 20
    reach: float = 1.5

    place: ClassVar[Place] = Place.AROUND
    paper: ClassVar[str] = "Wang 2021, arXiv:2103.15571"

    def __post_init__(self) -> None:
        at_least(self, neighbours=0)
        positive(self, "reach")

    @property
    def passes(self) -> int:
        return 1 + self.neighbours

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        variance: list[Tensor] = []

        def bent(point: Tensor) -> Tensor:
            grad = gradient(point)
            tuned = grad + variance.pop() if variance else grad.clone()
            if self.neighbours:
                around = mean(gradient(scene.around(point, self.reach)) for _ in range(self.neighbours))
                variance.append(around - grad)
            return tuned

        return bent


@dataclass(frozen=True, kw_only=True)
class PenalisedNorm:
    """Mean over random neighbours x' of (1 - balance) * g(x') + balance * g(x' - step * g(x') / mean|g(x')|): high ground that is flat.

    PGN of Ge et al., NeurIPS 2023, arXiv:2306.05225, as in its authors' code. reach: the neighbours are uniform in a cube of so many
    radii (paper: zeta = 3 eps). balance: the paper's delta.
    """

    neighbours: int = 20
    reach: float = 3.0
    balance: float = 0.5

    place: ClassVar[Place] = Place.AROUND
    paper: ClassVar[str] = "Ge 2023, arXiv:2306.05225"

    def __post_init__(self) -> None:
        at_least(self, neighbours=1)
        positive(self, "reach")
        between(self, 0, 1, "balance", ends="[]")

    @property
    def passes(self) -> int:
        return 2 * self.neighbours

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def one(point: Tensor) -> Tensor:
            near = scene.around(point, self.reach)
            grad = gradient(near)
            below = gradient(near - wide(scene.step, near) * per_mean(grad))
            return (1 - self.balance) * grad + self.balance * below

        return lambda point: mean(one(point) for _ in range(self.neighbours))


@dataclass(frozen=True, kw_only=True)
class MaximinFlatness:
    """The mean gradient of random neighbours, each first moved to where the loss around it is thought to be least.

    MEF of Qiu et al., IEEE TIFS, arXiv:2405.16181, as in its authors' code. Neighbour i is x + u_i + push * radius * d_i: u_i uniform in
    a cube of `reach` radii (paper: gamma = 2), and d_i what its last gradients say, d_i <- g_i / mean|g_i| - decay * d_i (paper: the
    inner momentum, 0.9; push: xi). The sign is theirs: the gradient is thought to turn from step to step, so that along the last is down.
    Their loop is mifgsm:steps=20,momentum=0.5, and its step 0.1 eps. A gradient is kept for each neighbour.
    """

    neighbours: int = 20
    reach: float = 2.0
    push: float = 0.15
    decay: float = 0.9

    place: ClassVar[Place] = Place.AROUND
    paper: ClassVar[str] = "Qiu 2024, arXiv:2405.16181"

    def __post_init__(self) -> None:
        at_least(self, neighbours=1, push=0)
        positive(self, "reach")
        between(self, 0, 1, "decay", ends="[]")

    @property
    def passes(self) -> int:
        return self.neighbours

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        followed: dict[int, Tensor] = {}  # d of each neighbour

        def one(point: Tensor, i: int) -> Tensor:
            near = scene.around(point, self.reach)
            if i not in followed:
                followed[i] = torch.zeros_like(point)
            grad = gradient(near + wide(scene.ball.radius * self.push, point) * followed[i])
            followed[i] = per_mean(grad) - self.decay * followed[i]
            return grad

        return lambda point: mean(one(point, i) for i in range(self.neighbours))


@dataclass(frozen=True, kw_only=True)
class GradientRelevance:
    """s * g(x) + (1 - s) * G, G the mean gradient of random neighbours, s the cosine between the two.

    GRA of Zhu et al., ICCV 2023. reach: the neighbours are uniform in a cube of so many radii. Deviation: the loop's
    own step, where the paper lets that of a feature shrink whenever its sign flips.
    """

    neighbours: int = 20
    reach: float = 3.5

    place: ClassVar[Place] = Place.AROUND
    paper: ClassVar[str] = "Zhu 2023, ICCV, Gradient Relevance Attack"

    def __post_init__(self) -> None:
        at_least(self, neighbours=1)
        positive(self, "reach")

    @property
    def passes(self) -> int:
        return 1 + self.neighbours

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def bent(point: Tensor) -> Tensor:
            grad = gradient(point).clone()
            around = mean(gradient(scene.around(point, self.reach)) for _ in range(self.neighbours))
            alike = wide(torch.cosine_similarity(grad.flatten(1), around.flatten(1), dim=1), grad)
            return alike * grad + (1 - alike) * around

        return bent


@dataclass(frozen=True, kw_only=True)
class NormPenalty:
    """(1 + weight) * g(x) - weight * g(x + reach * g(x) / |g(x)|): the gradient of the loss less a multiple of its slope's length.

    GNP of Wu et al., ICIP 2023, arXiv:2307.04099; |.| is the Euclidean norm. reach: in input units times the root of the number
    of features, so that it is the mean change of a feature (paper: r = 0.01). weight: the paper's beta. The sign is that of the
    penalty: the slope's length climbs along g(further) - g(x), and is to shrink. TransferAttack adds weight * g(further) instead.
    """

    reach: float = 0.01
    weight: float = 0.8

    place: ClassVar[Place] = Place.AROUND
    passes: ClassVar[int] = 2
    paper: ClassVar[str] = "Wu 2023, arXiv:2307.04099"

    def __post_init__(self) -> None:
        positive(self, "reach")
        at_least(self, weight=0)

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def bent(point: Tensor) -> Tensor:
            grad = gradient(point).clone()
            size = grad.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(grad.dtype).tiny)
            further = gradient(point + self.reach * grad / wide(size, grad))
            return (1 + self.weight) * grad - self.weight * further

        return bent


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """x * mean_i g(x * i / samples): the gradients on the way from black to the input, each feature weighted by its value.

    TAIG-S of Huang and Kong, ECCV 2022, arXiv:2205.13152, with the loss `logit`, as in its authors' code, whose mean has black itself
    besides; with momentum MIG of Ma et al., ICCV 2023, of which public codes integrate the loss `probability`. TransferAttack also weighs
    the gradient at x * i / samples by i, which no integral of it does. Black is 0, whatever the bounds.
    """

    samples: int = 20

    place: ClassVar[Place] = Place.AROUND
    paper: ClassVar[str] = "Huang 2022, arXiv:2205.13152"

    def __post_init__(self) -> None:
        at_least(self, samples=1)

    @property
    def passes(self) -> int:
        return self.samples

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        del scene
        return lambda point: point * mean(gradient(point * (i / self.samples)) for i in range(1, self.samples + 1))
