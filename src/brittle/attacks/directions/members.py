"""Several networks at once: what is made of the gradients of an ensemble's members. All of them need two surrogates or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from ...core.losses import cross_entropy
from ...kernels.shapes import wide
from ..parts.options import at_least, between, positive
from .role import Gradient, Place, Scene, mean, per_mean, planes


@dataclass(frozen=True, kw_only=True)
class MeanLoss:
    """The mean of the networks' gradients: that of the mean of their losses.

    Dong et al., CVPR 2018, arXiv:1710.06081, section 3.3, "ensemble in loss"; the other two ways of that section are victims, see
    `brittle.victims.ensemble`. Cost: 1 forward + 1 backward of each network. Random views are drawn for each network anew.
    """

    place: ClassVar[Place] = Place.NETWORKS
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Dong 2018, arXiv:1710.06081"

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        del gradient
        alone, hear = solos(scene, "losses"), scene.hearing()
        return lambda point: mean(hear(point, one) for one in alone)


@dataclass(frozen=True, kw_only=True)
class VarianceReduced:
    """The momentum of an inner climb along g_k(x') - g_k(x) + g(x), g the ensemble's gradient, g_k that of a network drawn each step.

    SVRE of Xiong et al., CVPR 2022, arXiv:2111.10752, algorithm 1: x' starts at x and takes `rounds` steps for each network, as
    long as the loop's own, with `momentum`; 4 rounds are the paper's 16 steps for 4 networks. Deviations: each sample draws for itself;
    g_k(x) is asked once and kept, where the paper asks again, which is the same unless views are random.
    Cost: 2 + rounds forwards and backwards of each network.
    """

    rounds: int = 4
    momentum: float = 1.0

    place: ClassVar[Place] = Place.NETWORKS
    paper: ClassVar[str] = "Xiong 2022, arXiv:2111.10752"

    def __post_init__(self) -> None:
        at_least(self, rounds=1, momentum=0)

    @property
    def passes(self) -> int:
        return 2 + self.rounds

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        alone, hear, ball = solos(scene, "svre"), scene.hearing(), scene.ball
        steps, count = self.rounds * len(alone), len(alone)

        def bent(point: Tensor) -> Tensor:
            together, apart = gradient(point), torch.stack([hear(point, one) for one in alone])
            drawn = (scene.uniform((steps,)).double() * count).long()  # (B, steps)
            samples = torch.arange(len(point), device=point.device)
            climber, momentum = point, torch.zeros_like(point)
            for which in drawn.unbind(1):
                reduced = hear(climber, alone[which, samples]) - apart[which, samples] + together
                momentum = self.momentum * momentum + per_mean(reduced)
                climber = ball.project(ball.ascend(climber, momentum, scene.step))
            return momentum

        return bent


@dataclass(frozen=True, kw_only=True)
class CommonWeakness:
    """The way from x to where the networks push it one after the other, each by its normalised gradient, after a small step downhill.

    MI-CWA of Chen et al., ICLR 2024, arXiv:2303.09105: the step downhill looks for flat ground, the walk from network to network for
    ground that they have in common. reverse: of the step downhill, in radii (paper: r = eps / 15). stride: how far a network pushes, the
    root mean square over features, in radii (paper: beta = 250 in Euclidean length, which at 16/255 on 3 x 224 x 224 is 10.27: mostly
    the rim). momentum: of the pushes, kept from step to step (paper: mu). Cost: 2 forwards + 2 backwards of each network.
    """

    reverse: float = 1 / 15
    stride: float = 10.27
    momentum: float = 1.0

    place: ClassVar[Place] = Place.NETWORKS
    passes: ClassVar[int] = 2
    paper: ClassVar[str] = "Chen 2024, arXiv:2303.09105"

    def __post_init__(self) -> None:
        at_least(self, reverse=0, momentum=0)
        positive(self, "stride")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        alone, hear, ball = solos(scene, "cwa"), scene.hearing(), scene.ball
        downhill, push = ball.radius * self.reverse, ball.radius * self.stride * math.sqrt(ball.x[:1].numel())
        before: list[Tensor] = []

        def bent(point: Tensor) -> Tensor:
            walker = ball.project(ball.ascend(point, -gradient(point), downhill))
            momentum = before.pop() if before else torch.zeros_like(point)
            for one in alone:
                momentum = self.momentum * momentum + unit(hear(walker, one))
                walker = ball.project(walker + wide(push, point) * momentum)
            before.append(momentum)
            return walker - point

        return bent


@dataclass(frozen=True, kw_only=True)
class AdaptiveEnsemble:
    """The gradient of the ensemble with larger shares for networks whose own step also fools the others; 0 where the networks disagree.

    AdaEA of Chen et al., ICCV 2023, arXiv:2308.02897. The share of network j is the softmax of `sharpness` (paper: beta) times the
    sum over the others i of L_i(x_j) / L_i(x_i), x_j being x after the loop's step along g_j and L the cross-entropy. A pixel counts
    where the cosine between gradients over its channels, a mean over pairs of networks, is `threshold` or more. Deviations: shares
    are each sample's own; with a target the fraction is turned over, for there the cross-entropy falls; weighed anew each step, which
    the authors' code does at the first alone, and their mean over pairs divides by one network too many.
    Cost: 2 forwards + 2 backwards of each network, and as many forwards as pairs (i, j).
    """

    sharpness: float = 10.0
    threshold: float = -0.3

    place: ClassVar[Place] = Place.NETWORKS
    passes: ClassVar[int] = 2
    paper: ClassVar[str] = "Chen 2023, arXiv:2308.02897"

    def __post_init__(self) -> None:
        at_least(self, sharpness=0)
        between(self, -1, 1, "threshold", ends="[]")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        del gradient
        alone, hear = solos(scene, "adaea"), scene.hearing()

        def bent(point: Tensor) -> Tensor:
            apart = [hear(point, one) for one in alone]
            return hear(point, self.shares(point, apart, alone, scene)) * self.agreed(apart)

        return bent

    @torch.no_grad()
    def shares(self, point: Tensor, apart: Sequence[Tensor], alone: Tensor, scene: Scene) -> Tensor:
        """(B, K): how much each network is heard, by how well a step along its gradient fools the others."""
        goal = scene.problem.classes
        tried = [scene.ball.project(scene.ball.ascend(point, grad, scene.step)) for grad in apart]
        doors = [scene.problem.sharing(one) for one in alone]
        loss = torch.stack([torch.stack([cross_entropy(door.oracle(x), goal) for x in tried]) for door in doors])
        loss = loss.abs().clamp_min(torch.finfo(loss.dtype).eps)  # (K, K, B): of network i at the point of j
        own = loss.diagonal().T[:, None]  # (K, 1, B)
        fraction = loss / own if goal.aim is None else own / loss
        others = fraction.sum(0) - 1  # that of i = j is 1
        return (self.sharpness * others).softmax(0).T.to(point.dtype)

    def agreed(self, apart: Sequence[Tensor]) -> Tensor:
        """1 or 0 (B, *S): whether the networks agree at a feature's pixel."""
        scaled = [planes(per_mean(grad)) for grad in apart]
        alike = mean(torch.cosine_similarity(one, other, dim=1) for one, other in combinations(scaled, 2))
        agreed = (alike >= self.threshold).to(apart[0].dtype)[:, None]
        return agreed.expand_as(scaled[0]).reshape(apart[0].shape)


def solos(scene: Scene, who: str) -> Tensor:
    """Shares (K, B, K), for each network those where it is heard alone; InputError, naming who asks, where there is a single network."""
    count, x = scene.networks(who), scene.problem.x
    return torch.eye(count, dtype=x.dtype, device=x.device)[:, None].expand(count, len(x), count)


def unit(grad: Tensor) -> Tensor:
    """Of Euclidean length 1, a sample at a time."""
    return grad / wide(grad.flatten(1).norm(dim=1).clamp_min(torch.finfo(grad.dtype).tiny), grad)
