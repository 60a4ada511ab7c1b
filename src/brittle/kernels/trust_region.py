"""The smallest perturbation on a plane, not far from where one stands: the step of Brendel and Bethge, NeurIPS 2019, arXiv:1907.01003.

    min size(z)   subject to   <normal, z - delta> = rise,   ||z - delta||_2 <= radius,   low <= z <= high        (equation 3)

For a weight a in [0, 1) the Lagrangian a * size(z) + (1 - a) * (||z - delta||^2 / 2 - t <normal, z>) falls apart into features, and
its least point is a function of a and t: the functions `l2`, `l1`, `l0` and `linf` below. <normal, z> rises with t, which the plane
fixes; the distance from delta rises with a, which the radius fixes. Exact but for L0, where size is no convex function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from . import projections

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]
Column = Float[Tensor, "b 1"]
Moving = Bool[Tensor, "b n"]
Smallest = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Least = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

MOST = 0.999  # of the weight of the size
MISS = 0.03  # share of the rise by which the plane may be missed
NEAR = 0.75  # shares of the radius that are near enough to it
LINES, ROUNDS = 5, 10  # tries at a, and at t for each; 1 or 2, and 2 to 4, as a rule


def l2(delta: Batch, push: Batch, a: Column, top: Column, low: Batch, high: Batch) -> tuple[Batch, Moving]:
    """z, and which features move with t. push = t * normal, here (1 - a) * t * normal; the size is ||z||^2 / 2."""
    pull = torch.addcmul(push, delta, 1 - a)
    z = torch.clamp(pull, low, high)
    return z, z == pull


def l1(delta: Batch, push: Batch, a: Column, top: Column, low: Batch, high: Batch) -> tuple[Batch, Moving]:
    """The size is top * ||z||_1, where top is the largest |delta|: a soft threshold."""
    pull = delta + push
    shrunk = pull.abs().sub_(a / (1 - a) * top).clamp_min_(0).copysign_(pull)
    z = torch.clamp(shrunk, low, high)
    return z, (z == shrunk).logical_and_(z != 0)


def l0(delta: Batch, push: Batch, a: Column, top: Column, low: Batch, high: Batch) -> tuple[Batch, Moving]:
    """The size is top^2 / 2 * ||z||_0: what gains less than its count is given up."""
    pull = delta + push
    z = torch.clamp(pull, low, high)
    kept = z * (2 * pull - z) > a / (1 - a) * top.square()
    return z.mul_(kept), (z == pull).logical_and_(kept)


def linf(delta: Batch, push: Batch, a: Column, top: Column, low: Batch, high: Batch) -> tuple[Batch, Moving]:
    """The size is not weighed but held down: |z| <= (1 - a) * top."""
    pull, limit = delta + push, (1 - a) * top
    z = torch.clamp(pull, torch.maximum(low, -limit), torch.minimum(high, limit))
    return z, z == pull


def step(
    least: Least,
    smallest: Smallest | None,
    delta: Batch,
    normal: Batch,
    rise: PerSample,
    low: Batch,
    high: Batch,
    radius: PerSample,
    weight: PerSample,
) -> tuple[Batch, PerSample]:
    """The smallest z (B, N), and its a (B,); `weight`: a first guess at a, such as that of the step before.

    `smallest` solves the problem without a radius (kernels/planes.py), None where nobody can. Where the plane is out of reach, z comes as
    near to it as box and radius allow. The radius is met from below, up to a quarter.
    """
    level = (normal * delta).sum(1) + rise
    plane = _Plane(least, delta, normal, low, high, level, rise.abs())
    best, t, reached = plane.meet(torch.zeros_like(rise), torch.zeros_like(rise), torch.zeros_like(rise).bool())
    nearest = (best - delta).norm(dim=1)
    far = ~reached | (nearest > radius)
    if bool(far.any()):
        rows = far.nonzero().squeeze(1)
        best[rows] = _towards(delta[rows], normal[rows] * rise[rows, None].sign(), low[rows], high[rows], radius[rows])
    inside, outside, done = (
        torch.zeros_like(rise),
        torch.full_like(rise, torch.inf),
        far,
    )  # weights known to stay, to leave
    if smallest is not None:
        z = smallest(normal, level, low, high)
        stays = ((z - delta).norm(dim=1) <= radius) & ~far
        best.lerp_(z, stays.to(z.dtype)[:, None])
        done = done | stays
        if least is linf:  # a is the size itself, and that of z cannot be undercut
            outside = 1 - z.abs().amax(1) / delta.abs().amax(1).clamp_min(1e-30)
    a = torch.minimum(weight.clamp(1e-6, MOST), 0.9 * outside)
    for _ in range(LINES):
        if bool(done.all()):
            break
        z, t, reached = plane.meet(a, t, done)
        distance = torch.where(reached, (z - delta).norm(dim=1), torch.inf)
        stays, leaves = (distance <= radius) & ~done, (distance > radius) & ~done
        best.lerp_(z, stays.to(z.dtype)[:, None])
        inside, outside = torch.where(stays, a, inside), torch.where(leaves, a, outside)
        done = done | (stays & ((distance >= NEAR * radius) | (a >= MOST))) | (outside - inside < 0.02 * outside)
        a = torch.where(done, a, _next_weight(a, distance, nearest, radius, inside, outside))
    return best, torch.where(inside > 0, inside, torch.where(far, weight, a))


def _towards(delta: Batch, direction: Batch, low: Batch, high: Batch, radius: PerSample) -> Batch:
    """As far along the direction as radius and limits allow."""
    longest = direction / direction.abs().amax(1, keepdim=True).clamp_min(1e-30) * (high - low).amax() * 1e4
    return torch.clamp(delta + projections.l2(longest, low - delta, high - delta, radius), low, high)


def _next_weight(
    a: PerSample, distance: PerSample, nearest: PerSample, radius: PerSample, inside: PerSample, outside: PerSample
) -> PerSample:
    """Of what is known, the a at which the distance falls just short of the radius; its square goes with a^2 while no limit is met."""
    room, used = (
        (((1 + NEAR) / 2 * radius).square() - nearest.square()).clamp_min(0),
        distance.square() - nearest.square(),
    )
    guess = a * (room / used.clamp_min(1e-30)).sqrt().clamp(0.1, 10)
    margin = 0.1 * (outside - inside)
    bounded = torch.minimum(torch.maximum(guess, inside + margin), outside - margin)
    middle = torch.where(distance.isfinite(), bounded, (inside + outside) / 2)
    return torch.where(outside.isfinite(), middle, guess).clamp_max(MOST)


@dataclass(frozen=True, eq=False)
class _Plane:
    """<normal, z> = level, met up to a share `MISS` of the rise."""

    least: Least
    delta: Tensor
    normal: Tensor
    low: Tensor
    high: Tensor
    level: Tensor
    rise: Tensor

    def meet(self, a: PerSample, t: PerSample, done: Bool[Tensor, " b"]) -> tuple[Batch, PerSample, Bool[Tensor, " b"]]:
        """z, t, and whether the plane was met (B,) bool, from a guess at t. Rows that are done are not looked at.

        Newton's steps inside a bracket: <normal, z> is made of straight pieces, in L0 with a jump for each feature. Where it jumps over the
        level, the upper side is as good as it gets.
        """
        squares, top = self.normal.square(), self.delta.abs().amax(1, keepdim=True)
        rounding = 16 * torch.finfo(a.dtype).eps * (self.normal * self.delta).abs().sum(1)
        slack = MISS * self.rise + rounding
        below, above = torch.full_like(a, -torch.inf), torch.full_like(a, torch.inf)
        jump = (self.high - self.low).amax() / self.normal.abs().amax(1).clamp_min(1e-30)
        end = 1e4 * jump  # of t; where nothing moves there, nothing will
        column, settled, reached = a[:, None], done, done
        for taken in range(ROUNDS):
            z, moving = self.least(self.delta, self.normal * t[:, None], column, top, self.low, self.high)
            miss = (z * self.normal).sum(1) - self.level
            reached = reached | (miss.abs() <= slack) | (settled & (miss > 0))
            settled = settled | reached
            if taken == ROUNDS - 1 or bool(settled.all()):
                break
            below, above = torch.where(miss <= 0, t, below), torch.where(miss > 0, t, above)
            slope = (squares * moving).sum(1)
            newton = torch.where(slope > 0, t - miss / slope, torch.inf)
            middle = torch.where(
                below.isinf(), above - jump, torch.where(above.isinf(), below + jump, (below + above) / 2)
            )
            within = (newton > below) & (newton < above) & newton.isfinite()
            narrow = above.isfinite() & ((above - below <= 1e-3 * above.abs()) | (taken == ROUNDS - 2))
            t = torch.where(settled, t, torch.where(narrow, above, torch.where(within, newton, middle)))
            settled, jump = settled | narrow | ((slope == 0) & (t.abs() > end)), jump * 10
        return z, t, reached
