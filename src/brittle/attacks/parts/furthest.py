"""The point of a ball that is furthest along a direction."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.problem import NormBall
from ...kernels.shapes import wide

_BEYOND = 1e3  # radii: so far that only what the box leaves of it is inside


def furthest(ball: NormBall, direction: Tensor) -> Tensor:
    """x + s * direction (B, *S), clipped to the box, with the s that meets the radius after clipping; in Linf a corner, x where it is zero.

    Clipping x + radius * direction / size instead, as is usual, loses what the box takes away.
    """
    if ball.norm.nearest is None:
        low, high = ball.limits
        return torch.where(direction > 0, high, torch.where(direction < 0, low, ball.x))
    if ball.free is not None:
        direction = direction * ball.free
    length = _BEYOND * ball.radius / ball.norm.size(direction).clamp_min(1e-30)
    return ball.project(torch.addcmul(ball.x, direction, wide(length, direction)))
