"""PDGD and PDPGD: the smallest perturbation as a game between the perturbation and the price of failing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.linearise import crossing, nearest_plane
from ...core.losses import find_slope
from ...core.norms import NORMS
from ...core.oracle import Access
from ...core.problem import NormBall, Problem
from ...core.shrink import shrunk
from ...errors import InputError
from ...kernels import sizes
from ...kernels.adam import Adam

DECAY, DUAL_STEP, DUAL_DECAY = 0.01, 0.1, 0.1  # the primal step falls exponentially over a phase, the dual one linearly
SMOOTHING, LEAST = 0.9, 1e-6  # of the price's moving average; the least ratio of the two prices
REACH = 0.1  # first step of the second phase, as a share of the largest change of the best point
FLOOR = 20  # the metric of the proximal step spans no more than this factor
PACE = 50


@dataclass(frozen=True, kw_only=True)
class PDGD:
    """Adam on share * ||delta|| + (1 - share) * softplus(-margin), while the share rises where the point wins and falls where it does not.

    Matyasko and Chau, PDPGD: Primal-Dual Proximal Gradient Descent Adversarial Attack, 2021, arXiv:2106.01538, algorithm 1: the share is a
    multinoulli variable moved by the sign of the constraint (multiplicative updates) and averaged. The second phase starts over from
    the best point with short steps (their "finetune").

    Deviations: the margin is measured in units of its slope at x, so that neither the scale of the logits nor of the inputs matters (on
    a plain ResNet-20 the sizes fall to a tenth); the second phase's steps are a share of the best perturbation, not of the input range;
    starts at x, not at random around it, unless the gradient there is zero; the best point is pulled in along its way at the end.
    Cost: 1 forward and 1 backward a step and at x, and `search` forwards at the end; 1 for a sample won untouched. Norm: l2.
    """

    steps: int = 500
    step_size: float = 0.1  # share of the input range
    ratio: float = 0.01  # first price of size against that of failing; the paper's C_0
    finetune: float = 0.25  # share of the steps in the second phase
    candidates: int = 3  # classes looked at for the first step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Matyasko and Chau 2021, arXiv:2106.01538"

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        return _play(self, problem, ("l2",), proximal=False)


@dataclass(frozen=True, kw_only=True)
class PDPGD:
    """PDGD where the norm is not in the gradient but a proximal step after Adam's, exact in Adam's own metric; any norm.

    Matyasko and Chau 2021, arXiv:2106.01538, algorithm 2, with the proximal operators of L1, L2, Linf, and of L_2/3 in place of L0, which
    the paper found better than hard thresholds. Proximal Adam: Yun et al., NeurIPS 2021, arXiv:1910.10094.

    Deviations: those of PDGD; the proximal step is solved exactly, where the paper's code makes up to 5 inner steps, and entries of the
    metric below a 20th of the largest are raised to it, which is about what stopping after a few inner steps does: with the true
    metric, features whose gradient is small at first are never tried (L1 sizes triple on a robust network).
    Cost: 1 forward and 1 backward a step and at x, and `search` forwards at the end; 1 for a sample won untouched. Norms: all.
    """

    steps: int = 500
    step_size: float = 0.1  # share of the input range
    ratio: float = 0.01  # first price of size against that of failing; the paper's C_0
    finetune: float = 0.25  # share of the steps in the second phase
    candidates: int = 3  # classes looked at for the first step, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Matyasko and Chau 2021, arXiv:2106.01538"

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        return _play(self, problem, (), proximal=True)


def _check(attack: PDGD | PDPGD) -> None:
    if attack.steps < 1:
        raise InputError(f"steps={attack.steps} would do nothing; give 1 or more")
    for name in ("step_size", "ratio"):
        if not getattr(attack, name) > 0:
            raise InputError(f"{name}={getattr(attack, name):g} does not work; give a positive number")
    if attack.search < 0:
        raise InputError(f"search={attack.search} is not a number of forwards; give zero or more")
    if not 0 <= attack.finetune < 1:
        raise InputError(f"finetune={attack.finetune:g} is not a share of the steps; give 0 or more, below 1")


def _play(attack: PDGD | PDPGD, whole: Problem, norms: tuple[str, ...], proximal: bool) -> Tensor:
    """Both phases and the line search, on the samples that are not won untouched."""
    name = type(attack).__name__.lower()
    x = whole.ball(name, *norms).origin
    norm = whole.ball(name).norm
    straight = norm if norm.dual is not None else NORMS["l1"]
    outputs, value, normal = nearest_plane(whole, x, straight, attack.candidates)
    clean = whole.goal.margin(outputs)
    rows = (~(clean > 0)).nonzero().squeeze(1)
    answer = x.clone()
    if not len(rows):
        return answer
    problem, clean = whole.select(rows), clean[rows]
    region = problem.ball(name)
    normal = _finite(normal[rows], region.free)
    assert straight.dual is not None
    slope = straight.dual(normal)
    first = attack.step_size * (region.upper - region.lower).flatten(1).amax(1).expand(len(rows))
    point = region.origin.clone()
    if problem.starts is not None:
        point = torch.clamp(problem.starts.to(point.dtype), region.lower, region.upper)
    elif norm is straight:
        point = _finite(crossing(region, point, outputs[rows], value[rows], normal, 0.0) - point, None).add_(point)
    dead = slope == 0
    if bool(dead.any()):
        noise = problem.streams.normal(tuple(point.shape[1:])).to(point.dtype)
        away = torch.clamp(point + noise * _wide(first, point), region.lower, region.upper)
        point = torch.where(_wide(dead, point), away, point)
    scale = torch.where(dead, 1.0, slope / 2)
    game = _Game(problem, region, proximal, scale, Incumbent.at(region.origin), clean.clone())
    fine = round(attack.steps * attack.finetune)
    log_ratio = torch.full_like(scale, -math.log(attack.ratio))
    pace = max(DUAL_STEP, PACE / attack.steps)
    at_best = game.play(point, log_ratio, first, pace, attack.steps - fine)
    if fine:
        found, largest = game.best.found, sizes.linf(game.best.point - region.x)
        start = torch.where(_wide(found, point), game.best.point, point)
        step = torch.where(found, REACH * largest, first)
        game.play(start, at_best, step, pace / 10, fine)
    answer[rows] = shrunk(problem, game.best.point, game.margin, clean, attack.search)
    return answer


@dataclass(frozen=True, eq=False)
class _Game:
    """What does not change during the steps, and the best point so far."""

    problem: Problem
    region: NormBall
    proximal: bool
    scale: Tensor  # (B,) units of the margin
    best: Incumbent
    margin: Tensor  # (B,) at the best point; that of x before one is found

    def play(self, point: Tensor, log_ratio: Tensor, step: Tensor, dual_step: float, steps: int) -> Tensor:
        """One phase from the points, with the log (B,) of failing's price over size's; returns what that was at the best point."""
        region, best, goal, slope = self.region, self.best, self.problem.goal, find_slope("margin")
        point, adam, at_best, price = point.clone(), Adam.like(point), log_ratio, log_ratio.sigmoid()
        bound = -math.log(LEAST)
        for taken in range(steps):
            delta = point - region.x
            size = region.norm.size(delta)
            asked = point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = self.problem.oracle(asked)
            seen = outputs.detach()
            margin = goal.margin(seen)
            won = margin > 0
            better = won & (size < best.size)
            at_best = torch.where(better, log_ratio, at_best)
            self.margin.copy_(torch.where(better, margin, self.margin))
            best.offer_smaller(point, size, won)
            weight = torch.sigmoid(-margin).div_(self.scale)
            if not self.proximal:
                weight.mul_(price)
            (grad,) = torch.autograd.grad(outputs, asked, slope(seen, goal).mul_(-weight[:, None]))
            grad = _finite(grad, region.free)
            if not self.proximal:
                grad.addcmul_(delta, _wide((1 - price) / size.clamp_min(1e-30), point))
            adam.see(grad)
            now = step * DECAY ** (taken / steps)
            torch.clamp(adam.descend_(point, now), region.lower, region.upper, out=point)
            if self.proximal:
                self._shrink_(point, (1 - price) / price * now, adam.metric)
            rise = dual_step * (1 - (1 - DUAL_DECAY) * taken / max(steps - 1, 1))
            log_ratio = torch.where(won, log_ratio - rise, log_ratio + rise).clamp_(-bound, bound)
            price = torch.lerp(log_ratio.sigmoid(), price, SMOOTHING)
        return at_best

    def _shrink_(self, point: Tensor, weight: Tensor, metric: Tensor) -> None:
        """The proximal step, in place."""
        region, flat = self.region, metric.flatten(1)
        metric = torch.maximum(flat, flat.amax(1, keepdim=True) / FLOOR)
        delta = region.norm.prox((point - region.x).flatten(1), weight, metric)
        torch.add(region.x, delta.view_as(point), out=point)
        torch.clamp(point, region.lower, region.upper, out=point)


def _finite(grad: Tensor, free: Tensor | None) -> Tensor:
    """Zero where the gradient is not a number, or the mask forbids a change."""
    grad = torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)
    return grad if free is None else grad.mul_(free)


def _wide(per_sample: Tensor, like: Tensor) -> Tensor:  # (B,) -> (B, 1, ..., 1)
    return per_sample.view(-1, *(1,) * (like.ndim - 1))
