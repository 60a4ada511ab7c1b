"""The normal of a decision boundary, estimated from which side random probes fall on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.streams import Streams
from .asker import Asker
from .directions import bundle, directions


def estimated_normal(
    asker: Asker,
    point: Tensor,
    probe: Tensor,
    count: Tensor | int,
    streams: Streams,
    kind: str = "full",
    reduction: float = 4.0,
) -> Tensor:
    """Where winning gets easier (B, *S), not normalised, from `count` probes a sample, at length `probe` (B,) from points of the boundary.

    sum_i (s_i - mean s) u_i with s_i = 1 where point + probe u_i wins, else -1. Chen et al., S&P 2020, arXiv:1904.02144, equations 9 and
    16: the mean is taken off because the point is a little beyond the boundary. u_i is what is left of the direction in the box. `count`
    may be one number or one a sample (B,); a sample that has fewer questions left asks those. 1 forward a probe.
    """
    shape, ball = tuple(point.shape[1:]), asker.ball
    features = math.prod(shape)
    each = count if isinstance(count, Tensor) else torch.full_like(asker.left, count)
    each = torch.minimum(each, asker.left)
    sums, totals = point.new_zeros(asker.count, 2, features), point.new_zeros(asker.count, 2)
    lower, upper, many = ball.lower[:, None], ball.upper[:, None], bundle(features)
    most = int(each.max()) if asker.count else 0
    places = torch.arange(most, device=point.device)
    for start in range(0, most, many):
        u = directions(streams, shape, many, kind, reduction)[:, : most - start].to(point.dtype)
        if ball.free is not None:
            u = u * ball.free[:, None]
        scale = probe[:, None] / u.flatten(2).norm(dim=2).clamp_min(1e-30)
        asked = torch.addcmul(point[:, None], u, scale.view(*scale.shape, *(1,) * len(shape)))
        torch.clamp(asked, lower, upper, out=asked)
        wanted = places[start : start + many] < each[:, None]
        sign = asker.together(asked, wanted).to(u.dtype).mul_(2).sub_(1)
        weight = torch.stack([sign * wanted, wanted.to(u.dtype)], 1)
        sums.baddbmm_(weight, asked.sub_(point[:, None]).flatten(2))
        totals += weight.sum(2)
    mean = totals[:, 0] / totals[:, 1].clamp_min(1)
    mean = torch.where(mean.abs() < 1, mean, 0)  # all on one side: their sum is what is known
    return torch.addcmul(sums[:, 0], sums[:, 1], mean[:, None], value=-1).view_as(point)
