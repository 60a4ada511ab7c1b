"""A norm ball around a batch of inputs, cut by the input box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..core.norms import Norm
from ..core.streams import Streams
from ..kernels.shapes import wide

ROUNDING = 4  # units in the last place of a feature; x + delta costs half a one, the radius as much, the sums of a norm up to three
REACH, FAR = 10.0, 1000.0  # see `BallRegion.searched`


@dataclass(frozen=True, eq=False)
class Scaled:
    """The inputs of a region whose points are inputs over `scale`: every feature in units of its own."""

    inputs: Tensor  # (B, *S)
    scale: Tensor  # (1, *S), above zero
    lower: Tensor  # of the inputs; broadcasts to them, equal to them where masked out
    upper: Tensor

    def render(self, moved: Tensor) -> Tensor:
        """The inputs where each feature has moved so many of its units; differentiable, also where rounding meets a bound."""
        made = self.inputs + moved * self.scale
        inside = torch.clamp(made.detach(), self.lower, self.upper)
        return inside + (made - made.detach()) if made.requires_grad else inside

    def select(self, rows: Tensor) -> Scaled:
        lower, upper = (limit if len(limit) == 1 else limit[rows] for limit in (self.lower, self.upper))
        return Scaled(self.inputs[rows], self.scale, lower, upper)


@dataclass(frozen=True, eq=False)
class BallRegion:
    """A ball of `radius` (B,) around `x` (B, *S), cut by limits that broadcast to x (equal to x where masked out).

    Where each feature has an eps of its own, points are inputs over it (`scaled`), and so are x, the limits and all sizes: the ball of
    such points is round, so that every attack works on it as on any other, and `render` makes inputs of them.
    `project` gives the nearest point of ball and box together. `contains` checks the box exactly, and the radius up to the rounding that
    x + delta suffers: a point belongs where one of the exact ball lies within ROUNDING units in the last place of it, feature by feature.
    A unit is that of x or of the point, whichever is larger, in their own type; where a feature did not change nothing was rounded.
    """

    norm: Norm
    x: Tensor
    radius: Tensor
    lower: Tensor  # (1, *S) or (B, *S)
    upper: Tensor
    scaled: Scaled | None = None

    @property
    def origin(self) -> Tensor:
        """x: the points of a ball are inputs."""
        return self.x

    def render(self, point: Tensor) -> Tensor:
        return point if self.scaled is None else self.scaled.render(point - self.x)

    def point(self, inputs: Tensor) -> Tensor:
        """The point (B, *S) that makes these inputs."""
        return inputs if self.scaled is None else inputs / self.scaled.scale

    def made(self, rows: Tensor, point: Tensor) -> Tensor:
        return point if self.scaled is None else self.scaled.select(rows).render(point - self.x[rows])

    @cached_property
    def limits(self) -> tuple[Tensor, Tensor]:
        """The tightest box around the region: the input box, and the ball where it is itself a box."""
        if self.norm.nearest is not None:
            return self.lower, self.upper
        radius = self._wide(self.radius)
        return torch.maximum(self.x - radius, self.lower), torch.minimum(self.x + radius, self.upper)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.x.shape[1:])

    @cached_property
    def free(self) -> Tensor | None:
        """(B, *S) bool: features that may change; None where all may."""
        free = self.lower < self.upper
        return None if self.lower.shape[0] != self.x.shape[0] or bool(free.all()) else free

    def searched(self) -> BallRegion:
        """The region as an attack sees it: with a box of a size that steps and starts can be measured by.

        A bound that is infinite, or FAR times further from x than REACH times the largest value of the sample or the radius, whichever is
        more, gives way to one at that distance. Of a ball of finite radius nothing is lost; in L0 and where eps is infinite the box is the
        threat, and only infinite bounds give way.
        """
        features = tuple(range(1, self.x.ndim))
        if not len(self.x):
            return self
        furthest = (
            (self.upper - self.lower).amax(features).expand(len(self.x)) if self.norm.name == "l0" else self.radius
        )
        largest = self.x.abs().amax(features)
        reach = REACH * torch.maximum(largest, torch.where(furthest < math.inf, furthest, 0))
        reach = self._wide(torch.where(reach > 0, reach, REACH))
        down, up = (self.x - self.lower > FAR * reach), (self.upper - self.x > FAR * reach)
        if not bool((down | up).any()):
            return self
        lower = torch.where(down, self.x - reach, self.lower)
        upper = torch.where(up, self.x + reach, self.upper)
        most = self.radius if self.norm.name == "l0" else self.norm.size(upper - lower)
        return replace(self, lower=lower, upper=upper, radius=torch.minimum(self.radius, most))

    def project(self, point: Tensor) -> Tensor:
        low, high = self.limits
        if self.norm.nearest is None:
            return torch.clamp(point, low, high)
        x, shape = self.x, self.x.shape
        flat = ((point - x).flatten(1), (low - x).flatten(1), (high - x).flatten(1))
        delta = self.norm.nearest(*flat, self.radius).view(shape)
        return torch.clamp(delta.add_(x), low, high, out=delta)

    def ascend(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        if self.free is not None and self.norm.nearest is not None:
            grad = grad * self.free  # a masked feature must not take part in the norm of the direction
        return self.norm.ascend(point, grad, step, self.lower, self.upper)

    def step_(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        """`project(ascend(...))`; in Linf without a single new tensor, because on a small network making them is what costs."""
        if self.norm.nearest is not None:
            return self.project(self.ascend(point, grad, step))
        low, high = self.limits
        return torch.clamp(point.addcmul_(grad.sign_(), self._wide(step)), low, high, out=point)

    def random(self, streams: Streams) -> Tensor:
        """Uniform in the ball, then projected. L0: that many features, at random, uniform in the input range."""
        if self.norm.name == "l0":
            return self._random_features(streams)
        noise = self.norm.noise(streams, self.shape, self.free).to(self.x.dtype)
        return self._around(noise.mul_(self._wide(self.radius)))

    def gaussian(self, streams: Streams) -> Tensor:
        noise = streams.normal(self.shape).to(self.x.dtype)
        if self.free is not None:
            noise.mul_(self.free)
        if self.norm.name == "l0":
            return self._around(noise.mul_(self.upper - self.lower))
        return self._around(noise.mul_(self._wide(self.radius / self.norm.size(noise).clamp_min(1e-30))))

    def size(self, point: Tensor) -> Tensor:
        return self._measured(point, torch.sub)

    def contains(self, point: Tensor) -> Tensor:
        inside = ((point >= self.lower) & (point <= self.upper)).flatten(1).all(1)
        return inside & (self._measured(point, self._surely) <= self.radius.double())

    def select(self, rows: Tensor) -> BallRegion:
        whole = self.lower.shape[0] != self.x.shape[0] or self.lower.shape[0] == 1
        lower, upper = (self.lower, self.upper) if whole else (self.lower[rows], self.upper[rows])
        scaled = None if self.scaled is None else self.scaled.select(rows)
        chosen = BallRegion(self.norm, self.x[rows], self.radius[rows], lower, upper, scaled)
        if "limits" in self.__dict__ and self.norm.nearest is None:  # gathering is cheaper than building again
            chosen.__dict__["limits"] = (self.limits[0][rows], self.limits[1][rows])
        return chosen

    def within(self, radius: Tensor) -> BallRegion:
        """The same ball with other radii (B,)."""
        return replace(self, radius=radius)

    def only(self, free: Tensor, norm: Norm) -> BallRegion:
        """As large as the box, in another norm, where only the features `free` (B, *S) bool may change."""
        lower, upper = torch.where(free, self.lower, self.x), torch.where(free, self.upper, self.x)
        radius = norm.size((self.upper - self.lower).expand_as(self.x))
        return BallRegion(norm, self.x, radius, lower, upper, self.scaled)

    def _around(self, delta: Tensor) -> Tensor:
        """x + delta, projected; delta is overwritten."""
        point = delta.add_(self.x)
        return torch.clamp(point, *self.limits, out=point) if self.norm.nearest is None else self.project(point)

    def _random_features(self, streams: Streams) -> Tensor:
        free = (self.lower < self.upper).expand(self.x.shape)
        rank = torch.where(free, streams.uniform(self.shape), 2.0).flatten(1).argsort(dim=1, stable=True).argsort(dim=1)
        chosen = (rank < self.radius.floor()[:, None]).view_as(self.x) & free
        value = self.lower + streams.uniform(self.shape).to(self.x.dtype) * (self.upper - self.lower)
        return torch.where(chosen, torch.clamp(value, self.lower, self.upper), self.x)

    def _measured(self, point: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Size of change(inputs, clean inputs) in float64, a few rows at a time: nothing as large as the batch is made on the way."""
        block = (1 << 16) // max(math.prod(self.shape), 1) if point.device.type == "cpu" else len(point)
        rows = max(block, 1)
        clean = self.x if self.scaled is None else self.scaled.inputs
        pairs = zip(torch.split(self.render(point), rows), torch.split(clean, rows), strict=True)
        moved = (change(here.double(), there.double()) for here, there in pairs)
        if self.scaled is not None:
            scale = self.scaled.scale.double()
            moved = (delta / scale for delta in moved)
        return torch.cat([self.norm.size(delta) for delta in moved])

    def _surely(self, made: Tensor, clean: Tensor) -> Tensor:
        """How far each feature has moved, whatever was rounded on the way. L0 counts whether it has, which is exact."""
        if self.norm.name == "l0":
            return made - clean
        rounded = torch.maximum(made.abs(), clean.abs()).mul_(ROUNDING * torch.finfo(self.x.dtype).eps)
        return (made - clean).abs_().sub_(rounded).clamp_min_(0)

    def _wide(self, per_sample: Tensor) -> Tensor:
        return wide(per_sample, self.x)
