"""Carlini and Wagner's attacks: small perturbations by Adam in a space without bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_slope
from ...core.problem import NormBall, Problem
from ...kernels.adam import Adam
from ...kernels.shapes import wide
from ..parts.hunt import Hunt, finite
from ..parts.options import at_least, positive

HOME = 0.5  # |tanh(w)| at x where that is at a bound; at the 0.999 that comes of the paper's, black pixels hardly move
EDGE = 0.999  # and most, of a given start
FACTOR = 10.0  # between one weight and the next until there is a bracket
LOOKS, STALLED = 10, 0.9999  # how often a round looks whether a sample still gets on, and what is no progress
SHRINK, WITHIN, CLOSE = (
    0.9,
    1.02,
    0.99,
)  # Linf: next tau after a success, what is one, how near to the best is near enough
DECAY = 0.1  # of the step over a round
STRIDE = 0.05  # Linf: the first step of a round, in tau
NEAR = 2.0  # the first step, in distances to where the boundary seems to be


@dataclass(frozen=True, kw_only=True)
class CW:
    """L2: minimise ||delta||^2 + c * max(-margin, 0) by Adam over w, x + delta = tanh(w), for the least c that wins, bisected.

    Linf: minimise sum(max(|delta| - tau, 0)) + c * max(-margin, 0) while tau shrinks. Carlini and Wagner, Towards Evaluating the
    Robustness of Neural Networks, S&P 2017, arXiv:1608.04644, sections VI-A and VI-C, loss f6.

    Deviations: x lies where tanh still has a slope, because black pixels hardly move otherwise (on robust MNIST networks most images
    were not won at all); the first c is what a linear victim needs, and the point that one would lose at is asked about too; the step
    falls to a tenth over a round; a sample leaves a round that gets no further; the best point is pulled in at the end.
    Cost: 1 forward and 1 backward a step; 2 forwards and `candidates` backwards before, `search` forwards after. Norms: l2, linf.
    """

    steps: int = 100  # of a round
    rounds: int = 9  # values of c
    step_size: float = 0.3  # in the space of w
    candidates: int = 3  # classes looked at for the linearised step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __post_init__(self) -> None:
        at_least(self, steps=1, rounds=1, candidates=1, search=0)
        positive(self, "step_size")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        hunt = Hunt.begin(problem, "cw", "l2", "linf", candidates=self.candidates)
        if len(hunt):
            self._euclidean(hunt) if hunt.region.norm.name == "l2" else self._largest(hunt)
        return hunt.finish(self.search)

    def _euclidean(self, hunt: Hunt) -> None:
        weight = 2 * hunt.clean.abs() / hunt.scale.square()  # what a linear victim needs
        low, high = torch.zeros_like(weight), torch.full_like(weight, math.inf)
        curve = _Curve.of(hunt.region)
        start = hunt.start(self.step_size * hunt.span)
        for _ in range(self.rounds):
            found = self._round(hunt, curve, start, weight)
            low, high = torch.where(found, low, weight), torch.where(found, weight, high)
            between = torch.where(low > 0, (low * high).sqrt(), high / FACTOR)
            weight = torch.where(high < math.inf, between, low * FACTOR)

    def _round(self, hunt: Hunt, curve: _Curve, start: Tensor, weight: Tensor) -> Tensor:
        """One descent of every sample with its weight; returns which of them won (B',). A sample that gets no further leaves."""
        problem, slope, rows = hunt.problem, find_slope("margin"), torch.arange(len(hunt), device=weight.device)
        found, before = torch.zeros_like(weight, dtype=torch.bool), torch.full_like(weight, math.inf)
        w = curve.back(start)
        adam, every = Adam.like(w), max(self.steps // LOOKS, 1)
        step = self._step(hunt)
        for taken in range(self.steps):
            bent = w.tanh()
            point = curve.point(bent)
            delta = point - curve.x
            asked = point.requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            seen, point = outputs.detach(), point.detach()
            margin, square = problem.goal.margin(seen), delta.square().flatten(1).sum(1)
            won = hunt.keep(point, square.sqrt(), margin, rows)
            found[rows] |= won
            pull = torch.where(won, 0.0, weight)
            (grad,) = torch.autograd.grad(outputs, asked, slope(seen, problem.goal).mul_(-pull[:, None]))
            grad = finite(grad, None).add_(delta, alpha=2)
            if taken and taken % every == 0:
                loss = square + weight * (-margin).clamp_min(0)
                stay = (~(loss > STALLED * before)).nonzero().squeeze(1)
                before = loss
                if len(stay) < len(rows):
                    if not len(stay):
                        break
                    problem, rows, curve, adam = problem.select(stay), rows[stay], curve.select(stay), adam.select(stay)
                    w, bent, grad, weight, before = w[stay], bent[stay], grad[stay], weight[stay], before[stay]
                    step = step[stay]
            adam.see(curve.pull_(grad, bent))
            adam.descend_(w, step * DECAY ** (taken / self.steps))
        return found

    def _step(self, hunt: Hunt) -> Tensor:
        """(B',) The first step, no longer than that all features together go as far as the boundary seems to be from x."""
        near = -hunt.clean / hunt.scale / hunt.region.norm.rounding(hunt.region.x[0].numel())
        return torch.minimum(torch.full_like(near, self.step_size), NEAR * near / hunt.span)

    def _largest(self, hunt: Hunt) -> None:
        """Linf, where every sample has its own rounds: one ends where it wins within tau, or after `steps` steps."""
        problem, slope, best = hunt.problem, find_slope("margin"), hunt.best
        rows, curve = torch.arange(len(hunt), device=hunt.clean.device), _Curve.of(hunt.region)
        w = curve.back(hunt.start(self.step_size * hunt.span))
        tau = torch.where(best.found, SHRINK * best.size.to(w.dtype), hunt.span)
        weight, age, adam = torch.zeros_like(tau), torch.zeros_like(tau), Adam.like(w)
        for taken in range(self.steps * self.rounds):
            bent = w.tanh()
            point = curve.point(bent)
            delta = point - curve.x
            size = hunt.region.norm.size(delta)
            asked = point.requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            seen, point = outputs.detach(), point.detach()
            won = hunt.keep(point, size, problem.goal.margin(seen), rows)
            (grad,) = torch.autograd.grad(outputs, asked, slope(seen, problem.goal).neg_())
            grad = finite(grad, None)
            if taken == 0:  # the price of failing below that of any feature's excess: tau is kept where it can be
                weight = 0.5 / grad.flatten(1).abs().amax(1).clamp_min(1e-30)
            grad.mul_(wide(torch.where(won, 0.0, weight), grad))
            grad.add_(delta.sign() * (delta.abs() > wide(tau, delta)))
            smallest = best.size[rows].to(tau.dtype)
            done, late = won & (size <= WITHIN * tau), age >= self.steps - 1
            weight = torch.where(late & ~done & smallest.isinf(), 2 * weight, weight)
            tau = torch.where(late & smallest.isfinite(), (tau + smallest) / 2, tau)
            tau = torch.where(done, SHRINK * size, tau)
            age = torch.where(done | late, 0.0, age + 1)
            if taken % LOOKS == LOOKS - 1:
                stay = (~(tau > CLOSE * smallest)).nonzero().squeeze(1)
                if not len(stay):
                    break
                if len(stay) < len(rows):
                    problem, rows, curve, adam = problem.select(stay), rows[stay], curve.select(stay), adam.select(stay)
                    w, bent, grad, weight = w[stay], bent[stay], grad[stay], weight[stay]
                    tau, age = tau[stay], age[stay]
            adam.see(curve.pull_(grad, bent))
            step = torch.minimum(torch.full_like(tau, self.step_size), STRIDE * tau / curve.half.flatten(1).amax(1))
            adam.descend_(w, step * DECAY ** (age / self.steps))


@dataclass(frozen=True, eq=False)
class _Curve:
    """x + half * (tanh(w) - tanh(w_0)), clipped: all of the box, and x at w_0."""

    x: Tensor
    half: (
        Tensor  # (1, *S) or (B, *S): half of the width of the box, and as much more as w_0 is away from where tanh ends
    )
    bent: Tensor  # (B, *S): tanh(w_0)
    lower: Tensor
    upper: Tensor

    @classmethod
    def of(cls, region: NormBall) -> _Curve:
        half = (region.upper - region.lower) / 2
        middle = (region.upper + region.lower) / 2
        bent = HOME * (region.x - middle) / half.clamp_min(torch.finfo(half.dtype).tiny)
        return cls(region.x, half * (2 / (1 + HOME)), bent.clamp_(-HOME, HOME), region.lower, region.upper)

    def point(self, bent: Tensor) -> Tensor:
        moved = torch.addcmul(self.x, bent - self.bent, self.half)
        return torch.clamp(moved, self.lower, self.upper, out=moved)

    def back(self, point: Tensor) -> Tensor:
        """The w of points."""
        bent = (point - self.x) / self.half.clamp_min(torch.finfo(self.half.dtype).tiny) + self.bent
        return bent.clamp_(-EDGE, EDGE).atanh_()

    def pull_(self, grad: Tensor, bent: Tensor) -> Tensor:
        """The gradient in w of what has this gradient in the points, in place."""
        return grad.mul_(self.half).addcmul_(grad, bent.square(), value=-1)

    def select(self, rows: Tensor) -> _Curve:
        shared = self.half.shape[0] != self.x.shape[0] or self.half.shape[0] == 1
        box = (self.half, self.lower, self.upper)
        half, lower, upper = box if shared else tuple(part[rows] for part in box)
        return _Curve(self.x[rows], half, self.bent[rows], lower, upper)
