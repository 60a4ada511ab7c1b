"""PDGD and PDPGD: the smallest perturbation as a game between the perturbation and the price of failing."""

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

DECAY, DUAL_STEP, DUAL_DECAY = 0.01, 0.1, 0.1  # the primal step falls exponentially, the dual one linearly
DUAL_REACH = 50  # how far all dual steps together can go, at least
SMOOTHING, LEAST = 0.9, 1e-6  # of the price's moving average; the least ratio of the two prices
FLOOR = 20  # the metric of the proximal step spans no more than this factor


@dataclass(frozen=True, kw_only=True)
class PDGD:
    """Adam on share * ||delta|| + (1 - share) * softplus(-margin), while the share rises where the point wins and falls where it does not.

    Matyasko and Chau, PDPGD: Primal-Dual Proximal Gradient Descent Adversarial Attack, 2021, arXiv:2106.01538, algorithm 1: the share is a
    multinoulli variable moved by the sign of the constraint (multiplicative updates) and averaged.

    Deviations: the margin is measured in units of its slope at x, so that the scale of the logits does not matter, and the first price
    of size is a hundredth of theirs: on a plain ResNet-20 the sizes fall to a tenth of those with the logits as they are. No second
    phase ("finetune"), which then gains nothing. Starts at x, not at random around it, unless the gradient there is zero. The
    point of one linearised step is asked about too, which on a linear victim is the answer, and the best point is pulled in at the end.
    Cost: 1 forward and 1 backward a step; 2 forwards and `candidates` backwards before, `search` forwards after. A sample that is won
    untouched leaves after the first. Norm: l2.
    """

    steps: int = 500
    step_size: float = 0.1  # share of the input range
    ratio: float = 1e-4  # first price of size against that of failing; the paper's C_0
    candidates: int = 3  # classes looked at for the linearised step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Matyasko and Chau 2021, arXiv:2106.01538"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        positive(self, "step_size", "ratio")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        return _play(self, Hunt.begin(problem, "pdgd", "l2", candidates=self.candidates), proximal=False)


@dataclass(frozen=True, kw_only=True)
class PDPGD:
    """PDGD where the norm is not in the gradient but a proximal step after Adam's, exact in Adam's own metric; any norm.

    Matyasko and Chau 2021, arXiv:2106.01538, algorithm 2, with the proximal operators of L1, L2, Linf, and of L_2/3 in place of L0, which
    the paper found better than hard thresholds. Proximal Adam: Yun et al., NeurIPS 2021, arXiv:1910.10094.

    Deviations: those of PDGD; the proximal step is solved exactly, where the paper's code makes up to 5 inner steps, and entries of the
    metric below a 20th of the largest are raised to it, which is about what stopping after a few inner steps does: with the true
    metric, features whose gradient is small at first are never tried (L1 sizes triple on a robust network).
    Cost: that of PDGD. Norms: all.
    """

    steps: int = 500
    step_size: float = 0.1  # share of the input range
    ratio: float = 1e-4  # first price of size against that of failing; the paper's C_0
    candidates: int = 3  # classes looked at for the linearised step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Matyasko and Chau 2021, arXiv:2106.01538"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        positive(self, "step_size", "ratio")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        return _play(self, Hunt.begin(problem, "pdpgd", candidates=self.candidates), proximal=True)


def _play(attack: PDGD | PDPGD, hunt: Hunt, proximal: bool) -> Tensor:
    """All steps, each at once a descent on the points and an ascent on the prices."""
    if not len(hunt):
        return hunt.answer
    problem, region, slope = hunt.problem, hunt.region, find_slope("margin")
    goal, scale, first = problem.goal, hunt.scale / 2, attack.step_size * hunt.span
    point = hunt.start(first)
    adam = Adam.like(point)
    log_ratio = torch.full_like(scale, -math.log(attack.ratio))  # of failing's price to that of size
    price, bound, pace = log_ratio.sigmoid(), -math.log(LEAST), max(DUAL_STEP, DUAL_REACH / attack.steps)
    for taken in range(attack.steps):
        delta = point - region.x
        size = region.norm.size(delta)
        asked = point.detach().requires_grad_()
        with torch.enable_grad():
            outputs = problem.oracle(asked)
        seen = outputs.detach()
        margin = goal.margin(seen)
        won = hunt.keep(point, size, margin)
        weight = torch.sigmoid(-margin).div_(scale)
        if not proximal:
            weight.mul_(price)
        (grad,) = torch.autograd.grad(outputs, asked, slope(seen, goal).mul_(-weight[:, None]))
        grad = finite(grad, region.free)
        if not proximal:
            grad.addcmul_(delta, wide((1 - price) / size.clamp_min(1e-30), point))
        adam.see(grad)
        step = first * DECAY ** (taken / attack.steps)
        torch.clamp(adam.descend_(point, step), region.lower, region.upper, out=point)
        if proximal:
            _shrink_(region, point, (1 - price) / price * step, adam.metric)
        rise = pace * (1 - (1 - DUAL_DECAY) * taken / max(attack.steps - 1, 1))
        log_ratio = torch.where(won, log_ratio - rise, log_ratio + rise).clamp_(-bound, bound)
        price = torch.lerp(log_ratio.sigmoid(), price, SMOOTHING)
    return hunt.finish(attack.search)


def _shrink_(region: NormBall, point: Tensor, weight: Tensor, metric: Tensor) -> None:
    """The proximal step, in place."""
    flat = metric.flatten(1)
    metric = torch.maximum(flat, flat.amax(1, keepdim=True) / FLOOR)
    delta = region.norm.prox((point - region.x).flatten(1), weight, metric)
    torch.add(region.x, delta.view_as(point), out=point)
    torch.clamp(point, region.lower, region.upper, out=point)
