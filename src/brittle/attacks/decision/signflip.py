"""Sign Flip: turn the signs of a few features at random, and step inwards at random, whatever still wins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.approach import nearest_start
from ..parts.asker import Asker
from ..parts.directions import LEAST, bundle
from ..parts.options import at_least, between

_ROUNDS = 10  # between two looks at how often the steps win
_OFTEN, _SELDOM = 0.7, 0.3  # above and below which shares the lengths change
_FACTOR, _CHANGE, _LEARN = (
    1.5,
    1e-3,
    1e-4,
)  # of the step inwards, of the chance of a flip, and of that of a feature by itself
_TOLERANCE = 1e-3  # how near the boundary the search begins
_LEAST_FLIPS, _MOST_FLIPS = 1e-4, 1e-2  # chances of a flip


@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """Repeat: a random step, clipped to a Linf ball that is a little smaller, and a flip of some features' signs; each taken if it wins.

    Chen et al., Boosting decision-based black-box adversarial attacks with random sign flip, ECCV 2020, algorithm 1: the step inwards is
    longer by half while more than 0.7 of ten win, shorter while less than 0.3 do; the chances of the flips follow theirs in the same way,
    and each feature's own chance falls where it was flipped and that won. `reduction` is their coarser grid.

    Deviations: at least one sign is flipped, or small inputs would be asked about again as they are; the first step is a share of the
    distance, not 0.004; begins at the starts of `hop_skip_jump`; no sample waits for another. Linf. Cost: at most `queries` forwards.
    """

    queries: int = 10_000  # the most forwards a sample is charged
    step: float = 0.05  # first length inwards, as a share of the distance
    flips: float = 1e-3  # first chance of a flip, of each feature
    reduction: float = 1.0  # of each side of the grid on which steps and flips are drawn
    starts: int = 100  # random inputs tried for a start
    looks: int = 40  # and then, to begin nearer to x, unless the problem has starts; at most a twentieth of the queries
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Chen et al. 2020, ECCV, random sign flip"

    def __post_init__(self) -> None:
        at_least(self, queries=3, starts=1)
        between(self, 0, 1, "step", "flips")
        at_least(self, reduction=1, why="would make images larger")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        everyone = Asker.of(problem, problem.ball("signflip", "linf"), self.queries, self.stop)
        asker, point = nearest_start(everyone, self.starts, min(self.looks, self.queries // 20), _TOLERANCE)
        walk = self._begin(asker.ball, point)
        grid = tuple(walk.chance.shape[1:])
        many = bundle(math.prod(grid))  # rounds whose numbers are drawn at a time
        rounds = 0
        while True:
            stay = asker.open.nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, walk = asker.select(stay), walk.select(stay)
            if not len(stay):
                return everyone.finish()
            numbers = asker.problem.streams.fork(rounds).uniform((many, 2, *grid)).to(walk.delta.dtype)
            for step, flips in zip(*(part.unbind(1) for part in numbers.unbind(2)), strict=True):
                _inwards(asker, walk, step)
                _flip(asker, walk, flips)
                rounds += 1
                if rounds % _ROUNDS == 0:
                    walk.adapt()

    def _begin(self, ball: NormBall, point: Tensor) -> _Walk:
        delta = point - ball.x
        chance = torch.full(self._grid(delta), self.flips, dtype=delta.dtype, device=delta.device)
        none = torch.zeros_like(ball.radius)
        return _Walk(delta, self.step * ball.norm.size(delta), chance, none, none.clone())

    def _grid(self, delta: Tensor) -> tuple[int, ...]:
        spatial = min(delta.ndim - 1, 2)
        small = (max(int(side / self.reduction), min(side, LEAST)) for side in delta.shape[-spatial:])
        return (*delta.shape[: delta.ndim - spatial], *small)


@dataclass(eq=False)
class _Walk:
    """What is added to x, before it is cut to the box; the lengths, and how often steps won since they were looked at."""

    delta: Tensor  # (B, *S)
    step: Tensor  # (B,)
    chance: Tensor  # (B, *grid) of each feature to be flipped
    inwards: Tensor  # (B,)
    flipped: Tensor  # (B,)

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(*(value[rows] for value in vars(self).values()))

    def adapt(self) -> None:
        """Longer steps and more flips where most won, shorter and fewer where few did."""
        power = (self.inwards > _OFTEN * _ROUNDS).to(self.step.dtype) - (self.inwards < _SELDOM * _ROUNDS).to(
            self.step.dtype
        )
        self.step *= (math.log(_FACTOR) * power).exp()
        more = (self.flipped > _OFTEN * _ROUNDS).to(self.step.dtype) - (self.flipped < _SELDOM * _ROUNDS).to(
            self.step.dtype
        )
        self.chance.add_(wide(more, self.chance), alpha=_CHANGE).clamp_(_LEAST_FLIPS, _MOST_FLIPS)
        self.inwards.zero_()
        self.flipped.zero_()


def _inwards(asker: Asker, walk: _Walk, u: Tensor) -> None:
    """A step of that length up or down in each feature, clipped to a Linf ball smaller by as much; u (B, *grid) in (0, 1)."""
    step = wide(walk.step, walk.delta)
    limit = wide(asker.ball.norm.size(walk.delta), walk.delta) - step
    delta = torch.addcmul(walk.delta, _enlarged((u - 0.5).sign_(), walk.delta), step)
    torch.minimum(delta, limit, out=delta)
    torch.maximum(delta, limit.neg_(), out=delta)
    won = asker.wins(_at(asker.ball, delta), asker.open)
    walk.delta.lerp_(delta, wide(won.to(delta.dtype), delta))
    walk.inwards += won


def _flip(asker: Asker, walk: _Walk, u: Tensor) -> None:
    """Some signs, each by its own chance, and one in any case; u (B, *grid) in (0, 1)."""
    rarity = (u / walk.chance).flatten(1)
    flip = (rarity < 1).scatter_(1, rarity.argmin(1, keepdim=True), True).view_as(u)
    sign = flip.to(walk.delta.dtype).mul_(-2).add_(1)
    delta = walk.delta * _enlarged(sign, walk.delta)
    won = asker.wins(_at(asker.ball, delta), asker.open)
    share = wide(won.to(delta.dtype), delta)
    walk.delta.lerp_(delta, share)
    walk.chance.addcmul_(sign, share, value=_LEARN).clamp_(_LEAST_FLIPS, _MOST_FLIPS)
    walk.flipped += won


def _at(ball: NormBall, delta: Tensor) -> Tensor:
    return torch.clamp(ball.x + delta, ball.lower, ball.upper)


def _enlarged(small: Tensor, like: Tensor) -> Tensor:
    """Each value of the grid for its block of features."""
    spatial = min(like.ndim - 1, 2)
    for axis in range(like.ndim - spatial, like.ndim):
        if small.shape[axis] != like.shape[axis]:
            place = torch.arange(like.shape[axis], device=like.device) * small.shape[axis] // like.shape[axis]
            small = small.index_select(axis, place)
    return small
