"""From a point that wins, back towards x: what attacks that see only the predicted class do again and again."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...core.problem import NormBall
from ...kernels.shapes import wide
from .asker import Asker, narrowed
from .boundary import noise_input
from .directions import directions

_FORK = 0x57B1  # looks draw from streams of their own
_NEARER = 0.95  # a look asks about a point by this much nearer than the best
_WAVES = (8.0, 1.0, 4.0, 2.0)  # how much lower than all the frequencies of the waves are, in turn
_COARSE = 16  # how many times less exact the boundary is looked for in a look


def nearest_start(asker: Asker, draws: int, looks: int, tolerance: float) -> tuple[Asker, Tensor]:
    """The samples for which a start was found, as an asker, and their points (B', *S) on the boundary.

    x, the problem's starts and up to `draws` random inputs are asked about until one wins, and from there the way back. Without starts of
    the problem's, `looks` more: random inputs and random waves in turn, each as near to x as 0.95 of the best so far, so that one which
    wins is a better start. 1 forward a look, and the way back for each that wins, of which there are about log(looks).
    """
    found = asker.begin(draws)
    asker = asker.select((found & asker.open).nonzero().squeeze(1))
    if asker.problem.starts is not None or not looks or not asker.count:
        return asker, back(asker, asker.point, tolerance, asker.open)
    ball, streams = asker.ball, asker.problem.streams.fork(_FORK)
    point = back(asker, asker.point, tolerance * _COARSE, asker.open)
    for look in range(looks):
        size = _NEARER * ball.norm.size(point - ball.x)
        if look % 2:
            wave = directions(streams, tuple(point.shape[1:]), 1, "dct", _WAVES[look // 2 % len(_WAVES)])[:, 0]
            near = torch.clamp(ball.ascend(ball.x, wave.to(point.dtype), size), ball.lower, ball.upper)
        else:
            far = noise_input(ball, streams, look // 2)
            near = along(ball, far, (size / ball.norm.size(far - ball.x).clamp_min(1e-30)).clamp_max(1))
        here = asker.wins(near, asker.open)
        if bool(here.any()):
            point = torch.where(wide(here, point), back(asker, near, tolerance * _COARSE, here), point)
    return asker, back(asker, point, tolerance, asker.open)


def back(asker: Asker, far: Tensor, tolerance: float, wanted: Tensor) -> Tensor:
    """From points that win towards x, to the last that still wins, up to this share of the way; else the points."""
    one = torch.ones_like(asker.ball.radius)
    path = partial(along, asker.ball, far)
    return path(narrowed(asker, path, one, torch.zeros_like(one), one * tolerance, wanted))


def along(ball: NormBall, far: Tensor, share: Tensor) -> Tensor:
    """The point at this share (B,) of the way from x to `far`: on the segment, or in Linf `far` clipped to a smaller box."""
    if ball.norm.nearest is not None:
        return torch.lerp(ball.x, far, wide(share, far))
    radius = wide(share * ball.norm.size(far - ball.x), far)
    return torch.where(wide(share < 1, far), torch.clamp(far, ball.x - radius, ball.x + radius), far)
