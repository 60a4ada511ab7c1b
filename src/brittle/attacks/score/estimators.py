"""How to estimate a gradient from pairs of scores, as values for `EstimatedAscent`: NES, SPSA, finite differences and bandits.

An estimator looks at the loss at two probes a pair and learns from their difference. What it knows is one tensor a sample, its belief.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.streams import Streams
from ...kernels.shapes import wide
from ...kernels.squares import planes
from ..parts.options import at_least, one_of, positive


class Estimator(Protocol):
    """A frozen value that estimates gradients of B samples (B, *S)."""

    @property
    def pairs(self) -> int:
        """How many pairs of probes there are for one gradient."""

    def begin(self, x: Tensor) -> Tensor:
        """The belief (B, ...) before anything is known."""

    def draw(self, belief: Tensor, streams: Streams) -> Tensor:
        """The noise (B, ...) of the next pair."""

    def probes(self, belief: Tensor, noise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Two directions (B, *S) of any length; how far to go along them is the loop's to say."""

    def learn(self, belief: Tensor, noise: Tensor, difference: Tensor) -> Tensor:
        """The belief after the loss at the first probe was higher by so much (B,)."""

    def gradient(self, belief: Tensor, x: Tensor) -> Tensor:
        """The gradient (B, *S) believed in, up to a positive factor."""

    def forget(self, belief: Tensor) -> Tensor:
        """The belief with which the next gradient begins."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Random directions, weighted by how much the loss differs between their two ends; each gradient from new ones.

    `gaussian` is NES with antithetic sampling (Ilyas et al., ICML 2018, arXiv:1804.08598, algorithm 1), `signs` is SPSA (Spall 1992; Uesato
    et al., ICML 2018, arXiv:1802.05666, algorithm 1), `feature` is the symmetric difference quotient of one random feature (Chen et al.,
    ZOO, 2017, arXiv:1708.03999, equation 6).
    """

    noise: Literal["gaussian", "signs", "feature"] = "gaussian"
    pairs: int = 10

    def __post_init__(self) -> None:
        at_least(self, pairs=1)
        one_of(self, "noise", "gaussian", "signs", "feature")

    def begin(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def draw(self, belief: Tensor, streams: Streams) -> Tensor:
        shape = tuple(belief.shape[1:])
        if self.noise == "gaussian":
            return streams.normal(shape).to(belief.dtype)
        if self.noise == "signs":
            return streams.uniform(shape).sub_(0.5).sign_().to(belief.dtype)
        count = math.prod(shape)
        feature = (streams.uniform((1,)) * count).long().clamp_max_(count - 1)
        return belief.new_zeros(len(belief), count).scatter_(1, feature, 1.0).view(belief.shape)

    def probes(self, belief: Tensor, noise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return noise, -noise

    def learn(self, belief: Tensor, noise: Tensor, difference: Tensor) -> Tensor:
        return belief.addcmul_(noise, wide(difference, noise))

    def gradient(self, belief: Tensor, x: Tensor) -> Tensor:
        return belief

    def forget(self, belief: Tensor) -> Tensor:
        return torch.zeros_like(belief)


@dataclass(frozen=True, kw_only=True)
class Bandits:
    """A prior that lasts from step to step, on a coarser grid than the image, moved by each pair of probes around it.

    Ilyas et al., ICLR 2019, arXiv:1807.07978, algorithms 2 and 3: time and data prior. Deviation: the prior is the sum of all that was
    learned, as their gradient step in L2 has it, in Linf too, where they take an exponentiated one; and the exploration is in lengths
    of the prior, so that no rate hangs on the scale of the loss.
    """

    exploration: float = 1.0  # length of the noise around the prior, in lengths of the prior (paper: delta)
    side: int | None = None  # of the prior's grid; None: a quarter of the image's, at least 7

    pairs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        positive(self, "exploration", "side")

    def begin(self, x: Tensor) -> Tensor:
        channels, *sides = planes(x)
        return x.new_zeros(len(x), channels, *(min(side, self.side or max(math.ceil(side / 4), 7)) for side in sides))

    def draw(self, belief: Tensor, streams: Streams) -> Tensor:
        shape = tuple(belief.shape[1:])
        return streams.normal(shape).to(belief.dtype).div_(math.sqrt(math.prod(shape)))

    def probes(self, belief: Tensor, noise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        prior = belief / wide(belief.flatten(1).norm(dim=1).clamp_min(torch.finfo(belief.dtype).tiny), belief)
        above, below = (torch.add(prior, noise, alpha=sign * self.exploration) for sign in (1, -1))
        return self.gradient(above, x), self.gradient(below, x)

    def learn(self, belief: Tensor, noise: Tensor, difference: Tensor) -> Tensor:
        return belief.addcmul_(noise, wide(difference, noise))

    def gradient(self, belief: Tensor, x: Tensor) -> Tensor:
        _, height, width = planes(x)
        return F.interpolate(belief, size=(height, width), mode="nearest").view(x.shape)

    def forget(self, belief: Tensor) -> Tensor:
        return belief
