"""Nearest point (in L2) of norm ball and box together.

Every function takes delta (B, N), the box around the centre as low <= 0 <= high (B, N), and radius (B,), and returns the nearest
delta' with low <= delta' <= high and ||delta'|| <= radius. Clipping after a projection onto the ball alone, as is usual, is feasible but
not nearest; see docs/decisions/002-exact-projections.md. The Linf ball is itself a box and needs nothing here. A row that is done stays
as it is while others go on, so that no answer depends on its neighbours.
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
    inside = torch.clamp(delta, low, high)
    whole = inside.square().sum(1) <= radius.square()  # clipping alone is enough for these
    if bool(whole.all()):
        return inside
    delta = torch.clamp(delta, -1e15, 1e15)  # whose squares do not overflow
    size, room = delta.abs(), inside.abs_()
    square, kept, free = size.square(), torch.empty_like(size), torch.empty_like(size)
    reach = torch.gt(room, 0, out=free).mul_(square).sum(1).sqrt()  # what stands at its limit stays there
    s = torch.where(whole, 1.0, radius / reach.clamp_min(1e-30)).clamp_max(1.0)
    done = whole
    for _ in range(rounds):
        torch.mul(size, s[:, None], out=kept)
        weight = torch.le(kept, room, out=free).mul_(square).sum(1)
        length = torch.minimum(kept, room, out=kept).square_().sum(1)  # fixed + s^2 * weight
        better = (s.square() + (radius.square() - length) / weight.clamp_min(1e-30)).clamp_min(0).sqrt()
        better = torch.where(done, s, torch.maximum(s, better.clamp_max(1.0)))
        done = better <= s * (1 + 1e-5)  # the next change would be of second order in this one
        s = better
        if bool(done.all()):
            break
    return torch.clamp(torch.mul(delta, s[:, None], out=kept), low, high)


def l1(delta: Batch, low: Batch, high: Batch, radius: PerSample, rounds: int = 60) -> Batch:
    """Soft threshold, then clip: sign(delta) * min(max(|delta| - t, 0), room), with t >= 0 such that the sum meets the radius.

    Croce and Hein, ICML 2021, arXiv:2103.01208, proposition 2.1, who sort the corners of the sum, which is piecewise linear in t. Here t is
    found by Newton's method inside a bracket: exact once it is on the right piece, which takes 2 to 8 rounds as a rule of five passes each,
    where the sort costs hundreds. The last factor makes up for the rounding of t where that is large and the radius small.
    """
    inside = torch.clamp(delta, low, high)
    size, room = delta.abs(), inside.abs()
    total = room.sum(1)
    outside = total > radius
    if not bool(outside.any()):
        return inside
    zero, rest, kept, moving = size.new_zeros(()), *(torch.empty_like(size) for _ in range(3))
    falls = torch.eq(size, room, out=moving).sum(1) - torch.eq(size, zero, out=moving).sum(
        1
    )  # minus the slope of the sum
    t, under, over, done = torch.zeros_like(total), torch.zeros_like(total), size.amax(1), ~outside
    eps = 4 * torch.finfo(delta.dtype).eps
    close = 4 * eps * radius
    for _ in range(rounds):
        excess = total - radius
        under, over = torch.where(excess > 0, t, under), torch.where(excess > 0, over, t)
        newton = t + excess / falls.clamp_min(1)
        better = torch.where((newton >= under) & (newton <= over), newton, (under + over) / 2)
        before, t = t, torch.where(done, t, better)
        torch.sub(size, t[:, None], out=rest)
        total = torch.clamp(rest, zero, room, out=kept).sum(1)
        done = ~outside | ((total - radius).abs() <= close) | ((t - before).abs() <= eps * t)
        if bool(done.all()):
            break
        falls = torch.eq(rest, kept, out=moving).sum(1)
    nothing = outside & (
        total <= 0
    )  # t has stepped over the largest entry, between which and its neighbour in floats the radius lies
    if bool(nothing.any()):
        torch.clamp(torch.sub(size, torch.where(nothing, under, t)[:, None], out=rest), zero, room, out=kept)
        total = torch.where(nothing, kept.sum(1), total)
    scale = torch.where(outside, radius / total.clamp_min(torch.finfo(delta.dtype).tiny), 1)
    torch.minimum(kept.mul_(scale[:, None]), room, out=kept)
    return torch.copysign(kept, delta, out=kept)


def l0(delta: Batch, low: Batch, high: Batch, radius: PerSample) -> Batch:
    """Keep the floor(radius) entries whose keeping shortens the distance most, clipped to the box; set the others to zero."""
    inside = torch.clamp(delta, low, high)
    gain = inside * (2 * delta - inside)  # delta^2 - (delta - inside)^2, without the cancellation
    rank = torch.empty_like(gain, dtype=torch.long)
    places = torch.arange(gain.shape[1], device=gain.device).expand_as(rank)
    rank.scatter_(1, gain.argsort(dim=1, descending=True, stable=True), places)
    return torch.where(rank < radius.floor()[:, None], inside, 0)
