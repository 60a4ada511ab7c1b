"""Steepest ascent: where to go from `point` to raise a linear function most, with a step of the given length in each norm.

Every function takes point, grad (B, *S), step (B,), and the limits of each feature (tensors that broadcast to (B, *S)), and returns the
moved point, not yet projected. Linf and L2 ignore the limits. L1 and L0 put the whole step on few features, so one that stands at its
limit must not be chosen: they solve the step inside the box exactly.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .shapes import wide
from .sizes import linf as _largest

Batch = Float[Tensor, "b ..."]
PerSample = Float[Tensor, " b"]
Limit = Float[Tensor, "..."]


def linf(point: Batch, grad: Batch, step: PerSample, low: Limit, high: Limit) -> Batch:
    """point + step * sign(grad). Goodfellow et al. 2015, arXiv:1412.6572."""
    return torch.addcmul(point, grad.sign(), wide(step, point))


def l2(point: Batch, grad: Batch, step: PerSample, low: Limit, high: Limit) -> Batch:
    """point + step * grad / ||grad||; scaled by the largest entry first where squares would under- or overflow."""
    square = grad.square().flatten(1).sum(1)
    if not bool(((square > 1e-24) & (square < 1e30)).all()):
        grad = grad / wide(_largest(grad).clamp_min(1e-38), point)
        square = grad.square().flatten(1).sum(1)
    return torch.addcmul(point, grad, wide(step / square.sqrt().clamp_min(1e-12), point))


def l1(point: Batch, grad: Batch, step: PerSample, low: Limit, high: Limit) -> Batch:
    """Fill the features of largest |grad| to their limits, in order, until the step is spent.

    Without limits this is the textbook step, the whole of it on the one largest entry.
    """
    room = torch.where(grad > 0, high - point, point - low).clamp_min(0).flatten(1)
    slope, order = grad.abs().flatten(1).sort(dim=1, descending=True, stable=True)
    room = torch.where(slope > 0, room.gather(1, order), 0).minimum(
        step[:, None]
    )  # more is never spent, were it infinite
    before = room.double().cumsum(1) - room  # spent on the features ahead; float64: the difference cancels
    spent = torch.minimum((step[:, None] - before).clamp_min(0).to(room.dtype), room)
    move = torch.zeros_like(room).scatter_(1, order, spent).view_as(point)
    return point + move * grad.sign()


def l0(point: Batch, grad: Batch, step: PerSample, low: Limit, high: Limit) -> Batch:
    """Send the ceil(step) features of largest |grad| * room to their limits."""
    limit = torch.where(grad > 0, high, low).expand_as(point)
    worth = (grad.abs() * (limit - point).abs()).flatten(1)
    rank = torch.empty_like(worth, dtype=torch.long)
    places = torch.arange(worth.shape[1], device=worth.device).expand_as(rank)
    rank.scatter_(1, worth.argsort(dim=1, descending=True, stable=True), places)
    chosen = (rank < step.ceil()[:, None]) & (worth > 0)
    return torch.where(chosen.view_as(point), limit, point)


def largest_signs(grad: Float[Tensor, "b n"], count: PerSample, rounds: int = 48) -> Float[Tensor, "b n"]:
    """The sign of the `count` features (B,) of largest |grad|, and of those that tie with them; zero elsewhere.

    The threshold is bisected on the number of features above it, which is exact as soon as that number is right, and faster than sorting.
    """
    size = grad.abs()
    chosen, above = torch.empty_like(size), size.amax(1)
    under = torch.zeros_like(above)  # as many features as asked, or more, are at least so large
    same = 1 + 2 * torch.finfo(grad.dtype).eps
    for done in range(rounds):
        middle = (under + above) / 2
        number = torch.ge(size, middle[:, None], out=chosen).sum(1)
        enough = number >= count
        under, above = torch.where(enough, middle, under), torch.where(enough, above, middle)
        if done % 4 == 3 and bool(((number == count) | (above <= under * same)).all()):
            break
    return torch.ge(size, under[:, None], out=chosen).mul_(grad.sign())
