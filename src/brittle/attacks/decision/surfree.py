"""SurFree: go round x on half circles in random planes, and estimate no normal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...core.streams import Streams
from ...kernels.circles import across, unit
from ...kernels.dct import dct, idct
from ...kernels.shapes import wide
from ..parts.approach import nearest_start
from ..parts.asker import Asker, Path, half_circle, narrowed
from ..parts.options import at_least, between

_WIDEST = 0.95 * math.pi / 2
_NARROWEST = 1e-3  # who has come down to this angle leaves: no step would gain more than a millionth
_SIDE = 16  # of smaller images all frequencies are used
_FAINTEST = 0.1  # strength of a wave that x has not


@dataclass(frozen=True, kw_only=True)
class SurFree:
    """Draw a direction across the way to x, try the half circle on both sides of it, and follow it where it wins.

    Maho et al., CVPR 2021, arXiv:2011.12807, algorithm 1: a direction is an image of random waves, each as strong as in x, of the lowest
    half of the frequencies (section 4.3), orthogonal to the last directions and to the way from x; the angle tried grows where it wins and
    shrinks where it does not. Deviations: orthogonal to the last 20 directions rather than 100, the angle grows and shrinks by 5 % rather
    than 2 %, and the last angle is looked for to a third of itself rather than to 1 % of the distance (each is nearer at equal queries);
    the sides are not compared once one has won; waves that x has not are drawn weakly, or a plain image would have no directions; the
    nearest of `looks` random directions more is the start. L2. Begins at `starts`, if given. Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    angle: float = 30.0  # the first that is tried, in degrees; paper: theta_max
    rho: float = 0.95
    memory: int = 20  # directions that the next is orthogonal to
    frequencies: float = 0.5
    precision: float = 0.3  # of the angle, as a part of itself
    looks: int = 32
    stop: bool = False  # leave inside the radius, if that is finite

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Maho et al. 2021, arXiv:2011.12807"

    def __post_init__(self) -> None:
        at_least(self, queries=3, memory=0, looks=0)
        between(self, 0, 90, "angle", why="does not lie on the half circle")
        between(self, 0, 1, "rho", "frequencies", "precision", ends="(]")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        whole = Asker.of(problem, problem.ball("SurFree", "l2"), self.queries, self.stop)
        asker, point = nearest_start(whole, 100, min(self.looks, self.queries // 20), 0.01)
        waves, angle = self._waves(asker.ball.x), torch.full_like(asker.enough, math.radians(self.angle))
        features = math.prod(problem.x.shape[1:])
        past = point.new_zeros(asker.count, min(self.memory, max(features - 2, 0)), features)
        step = 0
        while True:
            stay = (asker.open & (angle > _NARROWEST)).nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point, waves, angle, past = asker.select(stay), point[stay], waves[stay], angle[stay], past[stay]
            if not len(stay):
                return whole.finish()
            direction = _direction(asker.problem.streams.fork(step), waves)
            if past.shape[1]:
                direction -= torch.bmm(torch.bmm(direction[:, None], past.transpose(1, 2)), past)[:, 0]
                direction = across(direction, unit((point - asker.ball.x).flatten(1)))
                past[:, step % past.shape[1]] = direction
            path = half_circle(asker.ball, point, direction)
            point, won = self._follow(asker, path, point, angle)
            angle = torch.where(won, angle / self.rho, angle * self.rho).clamp_max(math.pi / 4)
            step += 1

    def _follow(self, asker: Asker, path: Path, point: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
        """The points (B, *S) at the boundary on the side that wins, and whether one does (B,) bool."""
        left = asker.wins(path(angle), asker.open)
        right = asker.wins(path(-angle), asker.open & ~left)
        won = left | right
        if not bool(won.any()):
            return point, won
        side = torch.where(right, -1.0, 1.0).to(angle.dtype)
        good, bad, going = angle, angle, won
        while bool(going.any()):
            bad = torch.where(going, bad + angle, bad).clamp_max(_WIDEST)
            here = asker.wins(path(side * bad), going)
            good = torch.where(here, bad, good)
            going = here & (bad < _WIDEST) & asker.open
        good = narrowed(asker, lambda middle: path(side * middle), good, bad, self.precision * good, won)
        return torch.where(wide(won, point), path(side * good), point), won

    def _waves(self, x: Tensor) -> Tensor:
        """How strong each wave is drawn (B, *S): tanh of its strength in x, zero in the upper part of the frequencies."""
        sides = x.shape[-2:] if x.ndim > 2 else x.shape[-1:]
        strength = dct(x, len(sides)).abs_().tanh_().clamp_min_(_FAINTEST)
        if min(sides) < _SIDE:
            return strength
        place = torch.arange(sides[-1], device=x.device) / sides[-1]
        if len(sides) == 2:
            place = place + torch.arange(sides[0], device=x.device)[:, None] / sides[0]
        rank = place.flatten().argsort(stable=True).argsort().view(place.shape)
        return strength * (rank < self.frequencies * rank.numel())


def _direction(streams: Streams, waves: Tensor) -> Tensor:
    """(B, N) the waves, each with a factor of -1, 0 or 1."""
    shape = tuple(waves.shape[1:])
    factor = streams.uniform(shape).mul_(3).floor_().sub_(1).to(waves.dtype)
    return idct(factor.mul_(waves), shape[-2:]).flatten(1)
