"""An adversary who may choose among several balls: what is inside any of them is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..core.bounds import Edge
from ..core.norms import NORMS
from ..core.streams import Streams
from ..errors import InputError
from ..kernels.shapes import wide
from .ball import Ball
from .region import BallRegion


@dataclass(frozen=True)
class Union:
    """Any one of several balls, each as large as its own eps times the scale `eps`: 1 is every ball as it was given.

    Tramer and Boneh, NeurIPS 2019, arXiv:1904.13000, section 2 (the union of S_i); Maini et al., ICML 2020, arXiv:1909.04068, section 3.
    The size of a point is the least scale at which one of the balls has it: the least of size / eps over the balls.
    InputError for no ball, for what is no ball, and for a ball whose own eps is zero or infinite.
    """

    members: tuple[Ball, ...]
    eps: float = 1.0

    name: ClassVar[str] = "union"

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError("union has nothing to choose from; give balls such as linf(8 / 255), l2(0.5)")
        for member in self.members:
            name = getattr(member, "name", type(member).__name__)
            if name not in NORMS:
                raise InputError(f"union takes no {name}; give balls: linf, l2, l1 or l0")
            if member.scale is not None:
                raise InputError(f"union takes no eps for each feature; give {name} with one number")
            if not 0 < member.eps < math.inf:
                raise InputError(f"{member.name} has eps={member.eps:g} in a union; give a finite size above zero")
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a scale; give zero or more (1 is every ball as it was given)")

    @property
    def balls(self) -> tuple[Ball, ...]:
        """The members at the scale."""
        return tuple(member.with_eps(member.eps * self.eps) for member in self.members)

    def with_eps(self, eps: float) -> Union:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> UnionRegion:
        """Bind to x (B, *S). Refuses a scale at which the input range makes a member's eps meaningless."""
        regions = tuple(ball.around(x, lower, upper) for ball in self.balls)
        units = tuple(member.eps for member in self.members)
        if self.eps < math.inf:
            return UnionRegion(regions, units, x.new_full((len(x),), self.eps))
        most = torch.stack([region.radius / unit for region, unit in zip(regions, units, strict=True)])
        return UnionRegion(regions, units, most.amax(0))


def union(*threats: Ball | Union, eps: float = 1.0) -> Union:
    """Any one of several balls: `union(linf(8 / 255), l2(0.5), l1(12))`; a union stands for its balls. `eps` scales all of them."""
    balls: list[Ball] = []
    for threat in threats:
        balls += threat.balls if isinstance(threat, Union) else (threat,)
    return Union(tuple(balls), float(eps))


@dataclass(frozen=True, eq=False)
class UnionRegion:
    """Balls around the same x; sizes and steps are scales: shares of each ball's own eps (`units`)."""

    members: tuple[BallRegion, ...]
    units: tuple[float, ...]
    radius: Tensor  # (B,)

    @property
    def x(self) -> Tensor:
        return self.members[0].x

    @property
    def origin(self) -> Tensor:
        return self.x

    def render(self, point: Tensor) -> Tensor:
        return point

    def point(self, inputs: Tensor) -> Tensor:
        return inputs

    def made(self, rows: Tensor, point: Tensor) -> Tensor:
        return point

    def searched(self) -> UnionRegion:
        members = tuple(member.searched() for member in self.members)
        most = torch.stack([member.radius / unit for member, unit in zip(members, self.units, strict=True)]).amax(0)
        return UnionRegion(members, self.units, torch.minimum(self.radius, most))

    def random(self, streams: Streams) -> Tensor:
        """Of a ball at random, each as likely as the others."""
        return self._drawn(streams, BallRegion.random)

    def gaussian(self, streams: Streams) -> Tensor:
        return self._drawn(streams, BallRegion.gaussian)

    def ascend(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        """In the ball in which <grad, .> rises most, by the step times its eps. Maini et al. 2020, equation 7, by the slope."""
        moved = torch.stack(
            [member.ascend(point, grad, step * unit) for member, unit in zip(self.members, self.units, strict=True)]
        )
        rise = ((moved - point) * grad).flatten(2).sum(2)
        return _rows_of(moved, rise.argmax(0))

    def project(self, point: Tensor) -> Tensor:
        """Into the ball whose size is the least; a point of any ball stays."""
        nearest, inside = self.sizes(point).argmin(0), point.clone()
        for place, member in enumerate(self.members):
            rows = (nearest == place).nonzero().squeeze(1)
            if len(rows):
                inside[rows] = member.select(rows).project(point[rows])
        return inside

    def step_(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        return self.project(self.ascend(point, grad, step))

    def sizes(self, point: Tensor) -> Tensor:
        """The scale at which each of the M balls has the point (M, B) float64; infinite where its mask forbids a change."""
        scales = []
        for member, unit in zip(self.members, self.units, strict=True):
            size = member.size(point) / unit
            if member.free is not None:
                changed = ((point != member.x) & ~member.free).flatten(1).any(1)
                size = torch.where(changed, math.inf, size)
            scales.append(size)
        return torch.stack(scales)

    def size(self, point: Tensor) -> Tensor:
        return self.sizes(point).amin(0)

    def contains(self, point: Tensor) -> Tensor:
        return torch.stack([member.contains(point) for member in self.members]).any(0)

    def select(self, rows: Tensor) -> UnionRegion:
        return UnionRegion(tuple(member.select(rows) for member in self.members), self.units, self.radius[rows])

    def within(self, radius: Tensor) -> UnionRegion:
        """The same balls at other scales (B,)."""
        pairs = zip(self.members, self.units, strict=True)
        return UnionRegion(tuple(member.within(radius * unit) for member, unit in pairs), self.units, radius)

    def _drawn(self, streams: Streams, draw: Callable[[BallRegion, Streams], Tensor]) -> Tensor:
        chosen = (streams.uniform(()) * len(self.members)).long().clamp_max(len(self.members) - 1)
        return _rows_of(torch.stack([draw(member, streams) for member in self.members]), chosen)


def _rows_of(points: Tensor, chosen: Tensor) -> Tensor:
    """(B, *S): of the M points (M, B, *S) of each sample the chosen one (B,)."""
    return points.gather(0, wide(chosen, points[0])[None].expand(1, *points.shape[1:])).squeeze(0)
