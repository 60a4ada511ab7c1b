"""The set of inputs that a certificate speaks of: a ball around each sample, cut by the input box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.bounds import Edge
from ..core.problem import Threat
from ..errors import InputError
from ..kernels.shapes import wide
from ..threats.ball import Ball, Box
from ..threats.region import ROUNDING
from .patches import Patches

DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}
_ROUNDS = 6  # of refining the multiplier in L2: every one gives a bound, more give a better one


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """All points between `low` and `high` (B, *S) whose distance to `x` in `norm` is at most `radius` (B,); float64.

    In Linf the ball is part of the limits. Where a mask forbids a change, low = high = x.
    """

    norm: str
    x: Tensor
    low: Tensor
    high: Tensor
    radius: Tensor

    def select(self, rows: Tensor | slice) -> Neighbourhood:
        return Neighbourhood(self.norm, self.x[rows], self.low[rows], self.high[rows], self.radius[rows])

    def least(self, rows: Tensor | Patches, own: Tensor | slice) -> Tensor:
        """(R,) a lower bound of rows . x over the neighbourhood that each row belongs to; exact in Linf and L1."""
        if isinstance(rows, Patches):
            x, low, high = (rows.windows(side, own).flatten(1) for side in (self.x, self.low, self.high))
            rows = rows.values.flatten(1)
        else:
            x, low, high = (side[own].flatten(1) for side in (self.x, self.low, self.high))
            rows = rows.flatten(1)
        room = torch.where(rows > 0, x - low, high - x)  # how far each input can go downhill
        gain = _LEAST[self.norm](rows.abs(), room, self.radius[own])
        return (rows * x).sum(1) - gain


def neighbourhood(threat: Threat, x: Tensor, lower: Edge, upper: Edge) -> Neighbourhood:
    """Of a Linf, L2 or L1 ball or the whole box, a little wider than what a judge lets pass; other threats are refused.

    He lets pass what lies `ROUNDING` units of |x| or |x + d| beyond the ball, feature by feature: at most those of |x| + |d|, whose size is
    that of x and the radius together. One unit more pays for this sum's own rounding.
    """
    if not isinstance(threat, Ball | Box) or threat.name == "l0":
        raise InputError(f"no certificate is known for the threat {_named(threat)}; give linf, l2, l1 or box")
    region = threat.around(x, lower, upper)
    if region.scaled is not None and region.norm.name != "linf":
        raise InputError(
            f"no certificate is known for an eps of each feature in {region.norm.name}; give linf or one eps"
        )
    unit = (ROUNDING + 1) * torch.finfo(x.dtype).eps
    box = region if region.scaled is None else region.scaled
    middle, low, high = x.double(), box.lower.double().expand(x.shape), box.upper.double().expand(x.shape)
    radius = region.radius.double()
    far = wide(radius, x)
    if region.norm.name == "linf":
        far = far if region.scaled is None else far * region.scaled.scale.double()
        far = far + unit * (middle.abs() + far)
        low, high = torch.maximum(low, middle - far), torch.minimum(high, middle + far)
    else:
        radius = radius + unit * (region.norm.size(middle) + radius)
        far = wide(radius, x)  # an infinite bound is no number to reckon with, and the ball ends before it
        low, high = torch.where(low.isinf(), middle - far, low), torch.where(high.isinf(), middle + far, high)
    return Neighbourhood(region.norm.name, middle, low, high, radius)


def _box(size: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    return (size * room).sum(1)


def _l2(size: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    """max size . d over 0 <= d <= room, |d|_2 <= radius, from above, by the dual: for any s > 0 it is at most
    size . d - (|d|^2 - radius^2) / 2s at d = min(s size, room).

    The best s is found from below: entries that reach their room stay there, the others share what is left of the radius.
    """
    tiny = torch.finfo(size.dtype).tiny
    with torch.no_grad():
        s = radius / torch.linalg.vector_norm(size, dim=1).clamp(min=tiny)
        for _ in range(_ROUNDS):
            full = s[:, None] * size >= room
            left = (radius.square() - torch.where(full, room, 0).square().sum(1)).clamp(min=0).sqrt()
            free = torch.linalg.vector_norm(torch.where(full, 0, size), dim=1)
            s = torch.maximum(s, torch.where(free > 0, left / free.clamp(min=tiny), s))
        s = s.clamp(min=1e-100, max=1e100)
    d = torch.minimum(s[:, None] * size, room)
    dual = (size * d).sum(1) - (d.square().sum(1) - radius.square()) / (2 * s)
    return torch.minimum(dual, _box(size, room, radius))


def _l1(size: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    """max size . d over 0 <= d <= room, |d|_1 <= radius: the steepest entries first, each as far as it goes."""
    order = size.argsort(dim=1, descending=True)
    size, room = size.gather(1, order), room.gather(1, order)
    before = room.cumsum(1) - room
    return (size * torch.minimum((radius[:, None] - before).clamp(min=0), room)).sum(1)


_LEAST: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"linf": _box, "l2": _l2, "l1": _l1}


def _named(threat: Threat) -> str:
    return str(getattr(threat, "name", type(threat).__name__))
