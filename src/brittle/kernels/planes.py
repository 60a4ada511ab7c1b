"""Smallest move onto a hyperplane inside a box: the delta of least size with <w, delta> = gap and low <= delta <= high.

Every function takes w (B, N), gap (B,), the box around the point as low <= 0 <= high (B, N), and returns delta (B, N). Where the box does
not reach the hyperplane, delta goes as far towards it as the box allows; where w is zero, nowhere. Without the box these are the steps of
DeepFool (arXiv:1511.04599); with it, the projections of FAB (arXiv:1907.02044, section 3.1).

With the signs taken off, w >= 0 and 0 <= delta <= room, each solution is one number t a sample: delta = min(t, room) in Linf,
min(t * w, room) in L2, and the features filled in the order of w in L1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]

_ROUNDS = 60  # more than is ever needed; 3 to 8 as a rule
_FEW = 64  # features that a small L1 move fills; only where these are not enough are all of them sorted


def linf(w: Batch, gap: PerSample, low: Batch, high: Batch) -> Batch:
    """All features move equally far, as far as their room goes."""
    slope, gap, room, sign = _unsigned(w, gap, low, high)
    return _filled(slope, None, gap, room).mul_(sign)


def l2(w: Batch, gap: PerSample, low: Batch, high: Batch) -> Batch:
    """Along w, clipped at the box."""
    slope, gap, room, sign = _unsigned(w, gap, low, high)
    return _filled(slope, slope, gap, room).mul_(sign)


def l1(w: Batch, gap: PerSample, low: Batch, high: Batch) -> Batch:
    """The features of the largest |w| to the end of their room, in order, the last of them as far as is needed."""
    slope, gap, room, sign = _unsigned(w, gap, low, high)
    slope.mul_(room > 0)  # these could not move
    delta = torch.zeros_like(slope)
    enough = (
        _fill_steepest(delta, slope, gap, room, _FEW)
        if w.shape[1] > 4 * _FEW
        else torch.zeros_like(gap, dtype=torch.bool)
    )
    rest = (~enough).nonzero().squeeze(1)
    if len(rest):
        part = torch.zeros_like(slope[rest])
        _fill_steepest(part, slope[rest], gap[rest], room[rest], w.shape[1])
        delta[rest] = part
    return delta.mul_(sign)


def _fill_steepest(delta: Tensor, slope: Tensor, gap: Tensor, room: Tensor, count: int) -> Tensor:
    """Write into delta the move that closes the gap with the `count` steepest features; whether they are enough (B,) bool."""
    steep, order = (
        slope.topk(count, dim=1) if count < slope.shape[1] else slope.sort(dim=1, descending=True, stable=True)
    )
    space = room.gather(1, order)
    gain = steep * space
    missing = (
        gap.double()[:, None] - gain.cumsum(1, dtype=torch.float64) + gain
    )  # before each feature; float64: it cancels
    move = missing.to(space.dtype).div_(steep.clamp_min_(torch.finfo(space.dtype).tiny)).clamp_min_(0)
    delta.scatter_(1, order, torch.minimum(move, space, out=move))
    return missing[:, -1] <= gain[:, -1]


def _unsigned(w: Tensor, gap: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """|w| and |gap| over the largest |w|, the room in the direction that closes the gap (none where w is zero), and its sign."""
    sign = w.sign().mul_(torch.where(gap < 0, -1, 1).to(w.dtype)[:, None])
    slope = w.abs()
    top = slope.amax(1, keepdim=True) if w.shape[1] else w.new_ones(len(w), 1)
    slope.div_(top.clamp_min_(torch.finfo(w.dtype).tiny))
    room = torch.where(sign > 0, high, low).mul_(sign)  # |high| or |low|; 0 where the sign is
    return slope, gap.abs().div(top.squeeze(1)).clamp_max(torch.finfo(w.dtype).max), room, sign


def _filled(slope: Tensor, rate: Tensor | None, gap: Tensor, room: Tensor) -> Tensor:
    """min(t * rate, room) with <slope, .> = gap; a rate of None is one everywhere.

    The sum is concave in t: Newton's method from t = 0 rises, never passes the solution, and ends on it after finitely many rounds,
    each of which knows more of the features that are at the end of their room.
    """
    each = slope if rate is None else slope * rate
    most = torch.finfo(slope.dtype).max
    move, free = torch.mul(slope, room), torch.empty_like(slope)
    reached = move.sum(1) > gap
    t = torch.where(reached, gap / each.sum(1).clamp_min(1e-30), most)
    for _ in range(_ROUNDS):
        torch.mul(rate, t[:, None], out=move) if rate is not None else move.copy_(t[:, None])
        still = torch.mul(torch.lt(move, room, out=free), each, out=free).sum(1).clamp_min_(1e-30)
        torch.minimum(move, room, out=move)
        rise = gap.sub(torch.mul(slope, move, out=free).sum(1)).div_(still).masked_fill_(~reached, 0)
        if bool((rise <= 1e-7 * t).all()):
            break
        t = rise.clamp_min_(0).add_(t)
    return move
