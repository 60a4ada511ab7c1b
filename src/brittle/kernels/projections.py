"""Nearest point (in L2) of norm ball and box together.

Every function takes delta (B, N), the box around the centre as low <= 0 <= high (B, N), and radius (B,), and returns the nearest
delta' with low <= delta' <= high and ||delta'|| <= radius. Clipping after a projection onto the ball alone, as is usual, is feasible but
not nearest; see docs/decisions/002-exact-projections.md. The Linf ball is itself a box and needs nothing here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]


def l2(delta: Batch, low: Batch, high: Batch, radius: PerSample, rounds: int = 30) -> Batch:
    """The answer is clip(s * delta) for one s in [0, 1] a sample (KKT), where it meets the sphere.

    s is approached from below: given which entries are clipped, the rest fixes s; a larger s clips more, and so on. Every round is
    feasible, the sequence rises, and it ends after finitely many rounds (2 to 4 as a rule).
    """
    size = delta.abs()
    room = torch.where(delta > 0, high, -low)
    whole = torch.minimum(size, room).norm(dim=1) <= radius  # clipping alone is enough for these
    s = torch.where(whole, 1.0, radius / size.norm(dim=1).clamp_min(1e-30)).clamp_max(1.0)
    for _ in range(rounds):
        clipped = s[:, None] * size > room
        fixed = torch.where(clipped, room, 0).square().sum(1)
        free = torch.where(clipped, 0, size).square().sum(1)
        better = ((radius.square() - fixed).clamp_min(0) / free.clamp_min(1e-30)).sqrt()
        better = torch.where(whole, s, torch.maximum(s, better.clamp_max(1.0)))
        if bool((better <= s * (1 + 1e-7)).all()):
            break
        s = better
    return torch.clamp(s[:, None] * delta, low, high)


def l1(delta: Batch, low: Batch, high: Batch, radius: PerSample) -> Batch:
    """Soft threshold, then clip: sign(delta) * min(max(|delta| - t, 0), room), with t >= 0 such that the sum meets the radius.

    The sum as a function of t is piecewise linear with a corner where an entry leaves zero (t = |delta|) and one where it reaches its
    room (t = |delta| - room): sort the corners, add up from the largest t downwards, solve inside the piece. Croce and Hein, ICML 2021,
    arXiv:2103.01208, proposition 2.1. The sum runs in float64.
    """
    size = delta.abs().double()
    room = torch.where(delta > 0, high, -low).double()
    target = radius.double()[:, None]
    corners, order = torch.cat([size, size - room], dim=1).sort(dim=1, descending=True)
    rises = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1).gather(1, order)
    slope = rises.cumsum(1)
    total = torch.zeros_like(corners)  # the sum at each corner
    total[:, 1:] = (slope[:, :-1] * (corners[:, :-1] - corners[:, 1:])).cumsum(1)
    piece = (total < target).sum(1, keepdim=True).sub(1).clamp_min(0)  # last corner still below the radius
    short = (target - total.gather(1, piece)).clamp_min(0)
    t = corners.gather(1, piece) - short / slope.gather(1, piece).clamp_min(1)
    needed = torch.minimum(size, room).sum(1, keepdim=True) > target
    t = torch.where(needed, t.clamp_min(0), 0)
    kept = torch.minimum((size - t).clamp_min(0), room).to(delta.dtype)
    return torch.copysign(kept, delta)


def l0(delta: Batch, low: Batch, high: Batch, radius: PerSample) -> Batch:
    """Keep the floor(radius) entries whose keeping shortens the distance most, clipped to the box; set the others to zero."""
    inside = torch.clamp(delta, low, high)
    gain = inside * (2 * delta - inside)  # delta^2 - (delta - inside)^2, without the cancellation
    rank = torch.empty_like(gain, dtype=torch.long)
    places = torch.arange(gain.shape[1], device=gain.device).expand_as(rank)
    rank.scatter_(1, gain.argsort(dim=1, descending=True, stable=True), places)
    return torch.where(rank < radius.floor()[:, None], inside, 0)
