"""Norm balls cut by the input box: the classic threats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..core.bounds import Edge, Numbers, PerFeature, as_edge, feature, interval, limits, shown, widest
from ..core.norms import NORMS
from ..errors import InputError, unknown
from .mask import Mask
from .region import BallRegion, Scaled


@dataclass(frozen=True)
class Ball:
    """Perturbations of size at most `eps`, in input units, inside the input box; only where `mask` allows, if given.

    `name` is linf, l2, l1 or l0. An infinite eps means no limit but the input box: for attacks that look for the smallest perturbation.
    scale: if given, an eps for each feature, in input units. Each change counts as a share of it: in Linf no feature changes by more than
    its own, in L2 and L1 the length or the sum of the shares is limited. Then `eps` and sizes are in these shares: 1 is every feature's
    eps as it was given. A feature whose eps is zero does not change.
    """

    name: str
    eps: float
    mask: Mask | None = None
    scale: PerFeature | None = None

    def __post_init__(self) -> None:
        if self.name not in NORMS:
            raise unknown("norm", self.name, NORMS)
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more")
        if self.scale is not None:
            _check_scale(self.name, self.scale)

    def with_eps(self, eps: float) -> Ball:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> BallRegion:
        """Bind to x (B, *S). Refuses a finite eps that the input range makes meaningless, such as 8 for 8/255."""
        norm, features = NORMS[self.name], math.prod(x.shape[1:])
        low, high = _limits(x, lower, upper, self.mask)
        scaled = None if self.scale is None else _scaled(x, self.scale, low, high)
        if scaled is not None:
            unit = scaled.scale
            x, low, high = x / unit, scaled.lower / unit, scaled.upper / unit
        if self.name == "l0":
            most = float(features)
        elif isinstance(lower, float) and isinstance(upper, float) and scaled is None:
            most = (upper - lower) * norm.rounding(features)
        else:
            most = float(norm.size((high - low).double()).amax()) if features and len(high) else 0.0
        if most * (1 + 1e-6) < self.eps < math.inf and len(x):
            raise InputError(_too_large(self, most, lower, upper))
        return BallRegion(norm, x, x.new_full((x.shape[0],), min(self.eps, most)), low, high, scaled)


@dataclass(frozen=True)
class Box:
    """No limit but the input range: a Linf ball as large as the range. Sizes are measured in Linf."""

    mask: Mask | None = None

    name: ClassVar[str] = "box"
    eps: ClassVar[float] = math.inf

    def with_eps(self, eps: float) -> Box:
        return self

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> BallRegion:
        """Bind to x (B, *S)."""
        radius = x.new_full((x.shape[0],), widest(lower, upper))
        return BallRegion(NORMS["linf"], x, radius, *_limits(x, lower, upper, self.mask))


def _limits(x: Tensor, lower: Edge, upper: Edge, mask: Mask | None) -> tuple[Tensor, Tensor]:
    """The input box of each feature; x itself where the mask forbids a change."""
    low, high = limits(x, lower, upper)
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


def _scaled(x: Tensor, scale: PerFeature, low: Tensor, high: Tensor) -> Scaled:
    """The inputs in units of each feature's eps; those whose eps is zero stand still."""
    if torch.finfo(x.dtype).bits < 32:
        raise InputError(f"an eps for each feature needs inputs in float32 or float64, not {x.dtype}; give x.float()")
    unit = scale.like(x, "the eps of each feature")
    still = unit == 0
    if bool(still.any()):
        low, high = torch.where(still, x, low), torch.where(still, x, high)
    return Scaled(x, torch.where(still, 1, unit), low, high)


def _check_scale(name: str, scale: PerFeature) -> None:
    if name == "l0":
        raise InputError(
            "l0 counts features and has one eps, how many may change; for an eps of each feature give linf"
        )
    wrong = ~((scale.array >= 0) & (scale.array < math.inf))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"eps={scale.array[place]:g} of feature {feature(place)} is not a size; give zero or more, finite"
        )
    if not scale.array.any():
        raise InputError("the eps of every feature is zero; give at least one above zero")


def _too_large(ball: Ball, most: float, lower: Edge, upper: Edge) -> str:
    name, eps = ball.name, ball.eps
    reach = f"; the largest that means anything is {most:g}"
    if ball.scale is not None:
        return f"eps={eps:g} times that of each feature exceeds the input range [{shown(lower, upper)}]{reach}"
    if name == "linf":
        plain = most <= 1 and eps <= 255
        mend = f"; did you mean {eps:g}/255?" if plain else reach
        return f"eps={eps:g} exceeds the input range {interval(lower, upper)}{mend}"
    what = f"the {int(most)} features of a sample" if name == "l0" else f"the {name} diameter of the input box"
    return f"eps={eps:g} exceeds {what}{reach}"


Allowed = Tensor | np.ndarray[Any, Any] | Mask | None


def linf(eps: Numbers, mask: Allowed = None) -> Ball:
    """No feature changes by more than eps (input units: 8/255 for 8 levels of an image in [0, 1]).

    eps: a number, or a tensor or array with one for each feature, of a sample's shape or one that broadcasts to it (`Ball.scale`).
    """
    return _ball("linf", eps, mask)


def l2(eps: Numbers, mask: Allowed = None) -> Ball:
    """Euclidean length of the change at most eps; with an eps for each feature, of the change as shares of these at most 1."""
    return _ball("l2", eps, mask)


def l1(eps: Numbers, mask: Allowed = None) -> Ball:
    """Sum of absolute changes at most eps; with an eps for each feature, of the change as shares of these at most 1."""
    return _ball("l1", eps, mask)


def l0(eps: float, mask: Allowed = None) -> Ball:
    """At most eps features change, each freely inside the input range. A pixel's channels are features of their own."""
    return _ball("l0", eps, mask)


def box(mask: Allowed = None) -> Box:
    """No limit but the input range."""
    return Box(None if mask is None else Mask.of(mask))


def _ball(name: str, eps: Numbers, mask: Allowed) -> Ball:
    allowed, size = None if mask is None else Mask.of(mask), as_edge(eps, "eps")
    return Ball(name, 1.0, allowed, size) if isinstance(size, PerFeature) else Ball(name, size, allowed)
