"""FMN: ascend the margin inside a ball that shrinks where the point wins and grows where it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.norms import Norm
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.furthest import furthest
from ..parts.hunt import Hunt
from ..parts.options import at_least, between, positive
from ..parts.query import query

_STEP_SIZE = {"l0": 1.0, "l1": 1.0, "l2": 1.0, "linf": 10.0}  # input ranges; the paper's, for Linf that of AttackBench

_SHORT, _STRETCH = (
    1e-3,
    1e3,
)  # clipping shortens by more than this; times this no feature is left that clipping will not stop
_HALVINGS = 10  # of the way from x to a given start


@dataclass(frozen=True, kw_only=True)
class FMN:
    """Normalised gradient steps, projected onto a ball whose radius follows the boundary; step size and radius factor fall as a cosine.

    Pintor et al., NeurIPS 2021, arXiv:2102.12827, algorithm 1. Norms: linf, l2, l1, l0. `loss` is ascended; the paper's is `margin`.

    Deviations: begins at random beyond the boundary that is nearest when linearised, not at x, because at x it goes for the class that is
    ahead and is blind to inactive units (10 to 40 % smaller on networks trained to be robust, never larger by more than 1 %), and the
    nearest point of that boundary counts too; in l2 the point is put on the sphere, as in the authors' other implementation; a search
    pulls the answer back onto the boundary.
    Cost: 1 forward and 1 backward a step, `candidates` backwards in the first; 2 forwards and `search` besides, 10 to use given starts.
    """

    steps: int = 100
    step_size: float | None = None  # of the first step, in input ranges; paper: alpha_0. None: 1, in Linf 10
    step_size_last: float = 0.01  # of the last, as a part of the first; paper: alpha_K
    factor: float = 0.05  # by which the radius changes, first; paper: gamma_0
    factor_last: float = 0.001  # and last; paper: gamma_K
    loss: str = "margin"
    candidates: int = 9  # other classes looked at for the nearest boundary of the start, the likeliest first; paper: 1
    noise: float = 2.0  # of the start, in distances of that boundary; paper: 0
    search: int = 3  # forwards of the final search; paper: 0

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Pintor 2021, arXiv:2102.12827"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        positive(self, "step_size", "step_size_last")
        between(self, 0, 1, "factor", "factor_last", why="cannot change a radius")
        at_least(self, noise=0, why="is not a size")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        hunt = Hunt.begin(problem, "fmn", candidates=self.candidates)
        if len(hunt):
            best, margin = self.walk(hunt)
            hunt.keep(best.point, best.size, margin)
        return hunt.finish(self.search)

    def walk(self, hunt: Hunt) -> tuple[Incumbent, Tensor]:
        """The smallest winning points of the algorithm, and their margins (B,), minus infinity where there is none."""
        problem, region = hunt.problem, hunt.region
        x, norm = region.x, region.norm
        first = hunt.span * (_STEP_SIZE[norm.name] if self.step_size is None else self.step_size)
        furthest = norm.size(torch.maximum(x - region.lower, region.upper - x))
        best, margin = Incumbent.at(x), torch.full_like(furthest, -torch.inf)
        point, taken = self._start(hunt)
        eps = torch.full_like(furthest, math.inf)
        for step in range(taken, self.steps + 1):
            if step == self.steps:
                here = problem.goal.margin(problem.oracle(point))
            else:
                here, _, grad = query(problem, point, self.loss)
            won, size = here > 0, norm.size(point - x)
            margin = torch.where(won & (size < best.size), here, margin)
            best.offer_smaller(point, size, won)
            if step == self.steps:
                break
            cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
            gamma = self.factor_last + (self.factor - self.factor_last) * cosine
            eps = _radius(norm, eps, size, here, grad, best, gamma).minimum(furthest)
            alpha = first * (self.step_size_last + (1 - self.step_size_last) * cosine)
            length = grad.flatten(1).norm(dim=1).clamp_min_(1e-30)
            point = _onto(region, torch.addcmul(point, grad, wide(alpha / length, grad)), eps)
        return best, margin

    def _start(self, hunt: Hunt) -> tuple[Tensor, int]:
        """The point (B, *S) to begin from, and how many steps were spent on it."""
        problem, region, point = hunt.problem, hunt.region, hunt.beyond
        if problem.starts is None:
            if not self.noise or region.norm.plane is None:
                return point, 1
            around = region.within(region.norm.size(point - region.x) * self.noise)
            return torch.clamp(point + around.random(problem.streams) - region.x, region.lower, region.upper), 1
        point = torch.clamp(problem.starts, region.lower, region.upper)
        size = region.norm.size(point - region.x)
        near, far = torch.zeros_like(size), size
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            won = problem.goal.margin(problem.oracle(region.within(middle).project(point))) > 0
            near, far = torch.where(won, near, middle), torch.where(won, middle, far)
        return region.within(far).project(point), 0


def _radius(norm: Norm, eps: Tensor, size: Tensor, here: Tensor, grad: Tensor, best: Incumbent, gamma: float) -> Tensor:
    """The next radius (B,): less where the point of this size wins; more where another did; and where none did, up to the boundary.

    Algorithm 1, lines 5 to 11. In L0 a radius changes by one feature at least, and the boundary is not looked for.
    """
    won = here > 0
    less_by = 64 * torch.finfo(size.dtype).eps  # rounding must not decide which of two is smaller
    smallest = best.size.to(size.dtype) * (1 - less_by)
    if norm.plane is None:
        eps = torch.where(eps.isfinite(), eps, size.clamp_min(1))
        less = torch.minimum(eps - 1, (eps * (1 - gamma)).floor()).minimum(smallest)
        return torch.where(won, less, torch.maximum(eps + 1, (eps * (1 + gamma)).floor())).clamp_min_(0)
    assert norm.dual is not None
    away = here.abs() / norm.dual(grad).clamp_min_(1e-30)
    less = torch.minimum(torch.minimum(eps, size) * (1 - gamma), smallest)
    more = torch.where(best.found, eps, size + away) * (1 + gamma)
    return torch.where(won, less, more)


def _onto(region: NormBall, point: Tensor, eps: Tensor) -> Tensor:
    """On the sphere of radius eps (B,) or, where the box is in the way, inside it. `point` may be overwritten.

    L2: scaled and clipped, as in the authors' code, and where clipping shortens it stretched until it is that long. Others: stretched if
    too small, and projected onto ball and box together.
    """
    norm, x = region.norm, region.x
    if norm.plane is None:
        return region.within(eps).project(point)
    point -= x
    scale = eps / norm.size(point).clamp_min_(1e-30)
    if norm.name == "l2":
        far = point.mul_(wide(scale, x)).add_(x)
        point = torch.clamp(far, region.lower, region.upper)
        short = (norm.size(point - x) < eps * (1 - _SHORT)).nonzero().squeeze(1)
        if len(short):
            point[short] = furthest(region.within(eps).select(short), far[short] - x[short])
        return point
    return region.within(eps).project(point.mul_(wide(scale.clamp_min_(1), x)).add_(x))
