"""Norm balls cut by the input box: the classic threats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..core.norms import NORMS, Norm
from ..core.streams import Streams
from ..errors import InputError, unknown
from ..kernels.shapes import wide
from .mask import Mask


@dataclass(frozen=True)
class Ball:
    """Perturbations of size at most `eps`, in input units, inside the input box; only where `mask` allows, if given.

    `name` is linf, l2, l1 or l0. An infinite eps means no limit but the input box: for attacks that look for the smallest perturbation.
    """

    name: str
    eps: float
    mask: Mask | None = None

    def __post_init__(self) -> None:
        if self.name not in NORMS:
            raise unknown("norm", self.name, NORMS)
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more")

    def with_eps(self, eps: float) -> Ball:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: float, upper: float) -> BallRegion:
        """Bind to x (B, *S). Refuses a finite eps that the input range makes meaningless, such as 8 for 8/255."""
        norm, features = NORMS[self.name], math.prod(x.shape[1:])
        most = features if self.name == "l0" else (upper - lower) * norm.rounding(features)
        if most * (1 + 1e-6) < self.eps < math.inf:
            raise InputError(_too_large(self.name, self.eps, most, lower, upper))
        return BallRegion(norm, x, x.new_full((x.shape[0],), min(self.eps, most)), *_limits(x, lower, upper, self.mask))


@dataclass(frozen=True)
class Box:
    """No limit but the input range: a Linf ball as large as the range. Sizes are measured in Linf."""

    mask: Mask | None = None

    name: ClassVar[str] = "box"
    eps: ClassVar[float] = math.inf

    def with_eps(self, eps: float) -> Box:
        return self

    def around(self, x: Tensor, lower: float, upper: float) -> BallRegion:
        """Bind to x (B, *S)."""
        radius = x.new_full((x.shape[0],), upper - lower)
        return BallRegion(NORMS["linf"], x, radius, *_limits(x, lower, upper, self.mask))


def _limits(x: Tensor, lower: float, upper: float, mask: Mask | None) -> tuple[Tensor, Tensor]:
    """The input box of each feature; x itself where the mask forbids a change."""
    low, high = torch.full_like(x[:1], lower), torch.full_like(x[:1], upper)
    if mask is None:
        return low, high
    allowed = mask.tensor(x.device)
    try:
        allowed = allowed.expand(x.shape)
    except RuntimeError:
        raise InputError(
            f"the mask has shape {mask.shape}, the samples {tuple(x.shape[1:])}; give one that broadcasts"
        ) from None
    return torch.where(allowed, low, x), torch.where(allowed, high, x)


def _too_large(name: str, eps: float, most: float, lower: float, upper: float) -> str:
    reach = f"; the largest that means anything is {most:g}"
    if name == "linf":
        mend = f"; did you mean {eps:g}/255?" if upper - lower <= 1 and eps <= 255 else reach
        return f"eps={eps:g} exceeds the input range [{lower:g}, {upper:g}]{mend}"
    what = f"the {int(most)} features of a sample" if name == "l0" else f"the {name} diameter of the input box"
    return f"eps={eps:g} exceeds {what}{reach}"


Allowed = Tensor | np.ndarray[Any, Any] | Mask | None


def linf(eps: float, mask: Allowed = None) -> Ball:
    """No feature changes by more than eps (input units: 8/255 for 8 levels of an image in [0, 1])."""
    return Ball("linf", float(eps), None if mask is None else Mask.of(mask))


def l2(eps: float, mask: Allowed = None) -> Ball:
    """Euclidean length of the change at most eps."""
    return Ball("l2", float(eps), None if mask is None else Mask.of(mask))


def l1(eps: float, mask: Allowed = None) -> Ball:
    """Sum of absolute changes at most eps."""
    return Ball("l1", float(eps), None if mask is None else Mask.of(mask))


def l0(eps: float, mask: Allowed = None) -> Ball:
    """At most eps features change, each freely inside the input range. A pixel's channels are features of their own."""
    return Ball("l0", float(eps), None if mask is None else Mask.of(mask))


def box(mask: Allowed = None) -> Box:
    """No limit but the input range."""
    return Box(None if mask is None else Mask.of(mask))


@dataclass(frozen=True, eq=False)
class BallRegion:
    """A ball of `radius` (B,) around `x` (B, *S), cut by limits that broadcast to x (equal to x where masked out).

    `project` gives the nearest point of ball and box together. `contains` checks the box exactly, and the radius up to float rounding:
    8 units in the last place of the input range, as they add up in the norm.
    """

    norm: Norm
    x: Tensor
    radius: Tensor
    lower: Tensor  # (1, *S) or (B, *S)
    upper: Tensor

    @property
    def origin(self) -> Tensor:
        """x: the points of a ball are inputs."""
        return self.x

    def render(self, point: Tensor) -> Tensor:
        return point

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
        """In float64, a few rows at a time: nothing as large as the batch is made on the way."""
        block = (1 << 16) // max(math.prod(self.shape), 1) if point.device.type == "cpu" else len(point)
        rows = max(block, 1)
        pairs = zip(torch.split(point, rows), torch.split(self.x, rows), strict=True)
        return torch.cat([self.norm.size(here.double() - there.double()) for here, there in pairs])

    def contains(self, point: Tensor) -> Tensor:
        inside = ((point >= self.lower) & (point <= self.upper)).flatten(1).all(1)
        scale = torch.maximum(self.lower.abs(), self.upper.abs()).flatten(1).amax(1).double()
        unit = 8 * torch.finfo(self.x.dtype).eps * self.norm.rounding(self.x[0].numel() if len(self.x) else 1)
        return inside & (self.size(point) <= self.radius.double() + unit * (scale + self.radius.double()))

    def select(self, rows: Tensor) -> BallRegion:
        whole = self.lower.shape[0] != self.x.shape[0] or self.lower.shape[0] == 1
        lower, upper = (self.lower, self.upper) if whole else (self.lower[rows], self.upper[rows])
        chosen = BallRegion(self.norm, self.x[rows], self.radius[rows], lower, upper)
        if "limits" in self.__dict__ and self.norm.nearest is None:  # gathering is cheaper than building again
            chosen.__dict__["limits"] = (self.limits[0][rows], self.limits[1][rows])
        return chosen

    def within(self, radius: Tensor) -> BallRegion:
        """The same ball with other radii (B,)."""
        return replace(self, radius=radius)

    def only(self, free: Tensor, norm: Norm) -> BallRegion:
        """As large as the box, in another norm, where only the features `free` (B, *S) bool may change."""
        lower, upper = torch.where(free, self.lower, self.x), torch.where(free, self.upper, self.x)
        return BallRegion(norm, self.x, norm.size((self.upper - self.lower).expand_as(self.x)), lower, upper)

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

    def _wide(self, per_sample: Tensor) -> Tensor:
        return wide(per_sample, self.x)
