"""ALMA: the smallest perturbation by an augmented Lagrangian, whose multiplier every sample finds for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import Classify
from ...core.losses import find_slope, steered_margin
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.hunt import Hunt, finite
from ..parts.options import at_least, positive

FIRST = {"l1": 0.5, "l2": 0.1}  # the paper's epsilon on MNIST and CIFAR-10
DECAY, MOMENTUM = 0.9, 0.9  # of the squared gradients, and of the steps
SMOOTHING, LEAST, MOST = 0.9, 1e-6, 1e12  # of the multiplier; paper: alpha, and its bounds
CHECK, IMPROVED, GROWTH = 10, 0.95, 1.2  # paper: M, tau, gamma
LAST = 0.01  # the last step as a share of the first
TOLERANCE = 1e-4  # by how much the ratio must be won


@dataclass(frozen=True, kw_only=True)
class ALMA:
    """RMSprop with momentum on ||delta|| + P(d), d the difference of logits ratio, P a penalty whose multiplier follows its slope.

    Rony et al., Augmented Lagrangian Adversarial Attacks, ICCV 2021, arXiv:2011.11857, algorithm 1 with the penalty P2, the first step
    length of section 4.3 and the difference of logits ratio of section 4.2; the penalty parameter grows until a sample is won,
    its step size falls from then on.

    Deviations: with 2 classes, or 3 and a target, where the ratio does not exist, the difference of logits is divided by its slope at x,
    or by the gap of the first and third logit; where the gradient at x is zero, a random step away from it comes first. The point of one
    linearised step is asked about too, which on a linear victim is the answer, and the best point is pulled in at the end.
    Cost: 1 forward and 1 backward a step; 2 forwards and `candidates` backwards before, `search` forwards after. A sample that is won
    untouched leaves after the first. Norms: l2, l1.
    """

    steps: int = 1000
    first: float | None = (
        None  # length of the first step in the norm, share of the input range; None: 0.1 in l2, 0.5 in l1
    )
    candidates: int = 3  # classes looked at for the linearised step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Rony et al. 2021, arXiv:2011.11857"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        positive(self, "first")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        hunt = Hunt.begin(problem, "alma", *FIRST, candidates=self.candidates)
        if not len(hunt):
            return hunt.answer
        problem, region = hunt.problem, hunt.region
        length = (FIRST[region.norm.name] if self.first is None else self.first) * hunt.span
        point = hunt.start(length)
        square, moving = torch.ones_like(point), torch.zeros_like(point)
        multiplier, penalty = torch.ones_like(hunt.clean), torch.ones_like(hunt.clean)  # paper: mu, rho
        since = torch.full_like(hunt.clean, self.steps + 1)  # step at which it was won first
        before = step = torch.zeros_like(hunt.clean)
        for taken in range(self.steps):
            delta = point - region.x
            size = region.norm.size(delta)
            asked = point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            seen = outputs.detach()
            lost, slope = _ratio(seen, problem.classes, hunt.scale)
            won = hunt.keep(point, size, problem.goal.margin(seen))
            if taken and (taken + 1) % CHECK == 0:
                stuck = (since > self.steps) & ~(lost < IMPROVED * before)
                penalty = torch.where(stuck, GROWTH * penalty, penalty)
            if taken == 0 or (taken + 1) % CHECK == 0:
                before = lost
            if taken:
                target = _rise(lost, penalty, multiplier)
                multiplier = torch.lerp(target, multiplier, SMOOTHING).nan_to_num_(nan=1.0).clamp_(LEAST, MOST)
            since = torch.where(won & (since > self.steps), float(taken), since)
            (grad,) = torch.autograd.grad(outputs, asked, slope.mul_(_rise(lost, penalty, multiplier)[:, None]))
            grad = finite(grad, region.free)
            if taken == 0:
                step = _first_step(region, point, grad, length)
            elif region.norm.name == "l2":
                grad.addcmul_(delta, wide(1 / size.clamp_min(1e-30), point))
            else:
                grad.add_(delta.sign_())
            share = LAST ** ((taken - since).clamp_min(0) / (self.steps - since))
            square.mul_(DECAY).addcmul_(grad, grad, value=1 - DECAY)
            moving.mul_(MOMENTUM).addcdiv_(grad, torch.sqrt(square).add_(1e-8))
            point.addcmul_(moving, wide(-step * share, point))
            torch.clamp(point, region.lower, region.upper, out=point)
        return hunt.finish(self.search)


def _ratio(outputs: Tensor, goal: Classify, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The difference of logits ratio (B,), positive where lost, and its slope in the outputs (B, C)."""
    lost, slope = -steered_margin(outputs, goal) + TOLERANCE, -find_slope("margin")(outputs, goal)
    if outputs.shape[1] == 2:
        return lost / scale, slope / scale[:, None]
    count = 4 if goal.aim is not None and outputs.shape[1] > 3 else 3
    top = outputs.topk(count, dim=1)
    weight = outputs.new_tensor([1.0, 0.0, *(-1 / (count - 2),) * (count - 2)])
    gap = (top.values @ weight).add_(1e-8)
    ratio = lost / gap
    slope = slope.div_(gap[:, None]).scatter_add_(1, top.indices, -(ratio / gap)[:, None] * weight)
    return ratio, slope


def _rise(lost: Tensor, penalty: Tensor, multiplier: Tensor) -> Tensor:
    """dP2/dd (B,): mu + 2 mu rho d + rho^2 d^2 / 2 for d >= 0, and mu / (1 - rho d)^2 below."""
    above = multiplier + 2 * multiplier * penalty * lost + 0.5 * (penalty * lost).square()
    return torch.where(lost >= 0, above, multiplier / (1 - penalty * lost.clamp_max(0)).square())


def _first_step(region: NormBall, point: Tensor, grad: Tensor, length: Tensor) -> Tensor:
    """(B,) How far to go against the gradient for the point to move by `length`, clipped to the box; bisected."""

    def falls_short(step: Tensor) -> Tensor:
        there = torch.clamp(point - wide(step, point) * grad, region.lower, region.upper)
        return region.norm.size(there - point) < length

    high = length / region.norm.size(grad).clamp_min(torch.finfo(grad.dtype).tiny ** 0.5)
    low = torch.zeros_like(high)
    for _ in range(20):
        short = falls_short(high)
        low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
    for _ in range(20):
        middle = (low + high) / 2
        short = falls_short(middle)
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high
