"""Proximal operators of the norms in a diagonal metric: where a step that shrinks the perturbation ends.

Every function takes delta (B, N), weight (B,) and metric (B, N), all of them >= 0, and returns the exact

    argmin_z  weight * ||z|| + 1/2 * sum_i metric_i (z_i - delta_i)^2

Each entry of the answer lies between 0 and its delta, so what was inside the input box stays inside. Where the metric is zero an entry
costs nothing to move, and is given up.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]


def l1(delta: Batch, weight: PerSample, metric: Batch) -> Batch:
    """Soft threshold at weight / metric."""
    shrunk = delta.abs().sub_(_share(weight, metric)).clamp_min_(0)
    return shrunk.copysign_(delta)


def l2(delta: Batch, weight: PerSample, metric: Batch, rounds: int = 40) -> Batch:
    """z_i = n m_i d_i / (n m_i + w) with n = ||z||; zero where ||m d|| <= w.

    n solves f(n) = 1 / ||m d / (n m + w)|| = 1. f rises and is concave, so that Newton's steps from n = 0 approach from below; they end
    where n stands still, after 3 to 8.
    """
    top = metric.amax(1, keepdim=True).clamp_min(torch.finfo(delta.dtype).tiny) if metric.shape[1] else metric
    metric, weight = metric / top, weight[:, None] / top
    pull = metric * delta
    most = pull.norm(dim=1, keepdim=True)
    gone = most <= weight
    weight = weight.maximum(most * torch.finfo(delta.dtype).eps).clamp_min_(torch.finfo(delta.dtype).tiny)
    n = torch.zeros_like(weight)
    for _ in range(rounds):
        below = torch.addcmul(weight, metric, n)
        part = pull / below
        square = part.square()
        norm = square.sum(1, keepdim=True)
        slope = square.mul_(metric).div_(below).sum(1, keepdim=True)
        higher = n + ((norm.sqrt() - 1) * norm / slope.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_min_(0)
        higher = torch.where(gone, 0, higher)
        if bool((higher <= n * (1 + 4 * torch.finfo(delta.dtype).eps)).all()):
            break
        n = higher
    return (pull * n).div_(torch.addcmul(weight, metric, n))


def linf(delta: Batch, weight: PerSample, metric: Batch, rounds: int = 100) -> Batch:
    """clip(delta, -t, t), t >= 0 such that sum m (|d| - t)+ = w; zero where sum m |d| <= w.

    In the plain metric this is delta minus its projection onto the L1 ball (Moreau). The sum is convex and piecewise linear in t:
    Newton's steps from t = 0 approach from below and end on the right piece after a few, without sorting.
    """
    size = delta.abs()
    t, weight = torch.zeros_like(weight)[:, None], weight[:, None]
    for _ in range(rounds):
        over = size > t
        slope = (metric * over).sum(1, keepdim=True)
        above = (size * metric).mul_(over).sum(1, keepdim=True)
        higher = torch.where(slope > 0, (above - weight) / slope, t).clamp_min_(0)
        if bool((higher <= t).all()):
            break
        t = torch.maximum(higher, t)
    return torch.minimum(size, t, out=size).copysign_(delta)


def l23(delta: Batch, weight: PerSample, metric: Batch) -> Batch:
    """Of the sum of |z|^(2/3), a stand-in for L0 whose threshold is softer. Cao et al., J. Vis. Commun. Image R. 2013, theorem 1."""
    lam = 2 * _share(weight, metric)
    size = delta.abs()
    kept = size > (2 / 3) * (3 * lam.pow(3)).pow(1 / 4)
    lam = lam.clamp(torch.finfo(delta.dtype).tiny ** 0.5, torch.finfo(delta.dtype).max ** 0.25)
    inner = (27 / 16 * size.square() * lam.pow(-1.5)).clamp_min_(1)
    root = (2 / math.sqrt(3)) * lam.pow(1 / 4) * torch.cosh(torch.acosh(inner) / 3).sqrt()
    shrunk = ((root + (2 * size / root - root.square()).clamp_min_(0).sqrt()) / 2).pow(3)
    return torch.where(kept, torch.minimum(shrunk, size), 0).copysign_(delta)


def _share(weight: Tensor, metric: Tensor) -> Tensor:
    """weight / metric (B, N), a large finite number where the metric is zero."""
    return (weight[:, None] / metric.clamp_min(torch.finfo(metric.dtype).tiny)).clamp_max_(
        torch.finfo(metric.dtype).max
    )
