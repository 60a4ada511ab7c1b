"""ACG and ReACG: conjugate gradients with APGD's step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.halving import Halving, checkpoints
from ..parts.options import at_least, one_of
from ..parts.query import query


@dataclass(eq=False)
class _Walk:
    """Where each of B samples is, and where its best point by the loss was: what a conjugate step needs. All (B, *P)."""

    point: Tensor
    grad: Tensor  # at the point
    before: Tensor  # the gradient at the point before
    direction: Tensor  # that led here

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(self.point[rows], self.grad[rows], self.before[rows], self.direction[rows])

    def clone(self) -> _Walk:
        return _Walk(self.point.clone(), self.grad.clone(), self.before.clone(), self.direction.clone())

    def take_(self, rows: Tensor, other: _Walk) -> None:
        """Become the other in some rows."""
        for name in ("point", "grad", "before", "direction"):
            getattr(self, name).index_copy_(0, rows, getattr(other, name).index_select(0, rows))


@dataclass(frozen=True, kw_only=True)
class ConjugateGradient:
    """Step along s = g + beta s_before, beta of Hestenes and Stiefel, from steps of two radii that APGD's rules halve.

    ACG: Yamamura et al., Diversified adversarial attacks based on conjugate gradient method, ICML 2022, arXiv:2206.09628, algorithm 1, on
    the margin, with beta at least zero. ReACG (`rescaled`): Yamamura et al., Enhancing output diversity improves conjugate gradient-based
    adversarial attacks, ICPRAI 2024: beta is free, but where |beta| exceeds the mean of |g / s_before| and the beta of the gradients scaled
    to length one is smaller, that one is taken; checkpoints at 43 % and then 19 and 8 % apart, for more long steps. Bound, start and the
    sign of beta, which is opposite to the textbook's for a function that is ascended, are those of the authors' code.
    Deviations: beta is zero where the gradient has not changed beyond rounding, where that code divides by zero; the mean is over features
    whose s_before is not zero; ACG begins at x like ReACG, where its code takes the centre of the feasible box; a won sample leaves, and
    the point of the highest goal margin is returned. Works in any region that can step and project.

    Cost: at most steps x (F + B) + F.
    """

    steps: int = 100
    loss: str = "margin"
    rescaled: bool = False
    start: Literal["clean", "random"] = "clean"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Yamamura 2022, arXiv:2206.09628"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        one_of(self, "start", "clean", "random")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        point = self._begin(problem)
        found, rows = Incumbent.at(problem.region.origin), torch.arange(len(point), device=point.device)
        margin, loss, grad = query(problem, point, self.loss)
        found.offer(point, margin, rows)
        walk = _Walk(point, grad, grad.clone(), grad.clone())
        best, control = walk.clone(), Halving.begin(loss, 2 * problem.region.radius)
        last, stops = 0, checkpoints(self.steps, 43, 24, 8) if self.rescaled else checkpoints(self.steps)
        for taken in range(1, self.steps + 1):
            won = margin > 0
            if bool(won.any()):
                stay = (~won).nonzero().squeeze(1)
                problem, rows, control = problem.select(stay), rows[stay], control.select(stay)
                walk, best = walk.select(stay), best.select(stay)
                if not len(rows):
                    break
            if taken > 1:
                walk.direction.mul_(self._beta(walk)).add_(walk.grad)
            walk.point = problem.region.step_(walk.point, walk.direction.clone(), control.step)
            walk.before = walk.grad
            margin, loss, walk.grad = query(problem, walk.point, self.loss, differentiate=taken < self.steps)
            found.offer(walk.point, margin, rows)
            best.take_(control.compare(loss), walk)
            if taken in stops:
                walk.take_(control.check(taken - last, 0.75), best)
                last = taken
        return found.point

    def _begin(self, problem: Problem) -> Tensor:
        region = problem.region
        if problem.starts is not None:
            return region.project(problem.starts).clone()
        return region.random(problem.streams) if self.start == "random" else region.origin.clone()

    def _beta(self, walk: _Walk) -> Tensor:
        """(B, 1, ..., 1)."""
        grad, before, direction = walk.grad.flatten(1), walk.before.flatten(1), walk.direction.flatten(1)
        beta = hestenes_stiefel(grad, before, direction)
        if self.rescaled:
            smaller = hestenes_stiefel(_unit(grad), _unit(before), direction)
            moved = direction != 0
            ratio = torch.where(moved, grad / direction, 0).abs().sum(1) / moved.sum(1).clamp_min(1)
            swap = (beta.abs() > ratio) & (beta.abs() > smaller.abs())
            beta = torch.where(swap, smaller, beta)
        else:
            beta.clamp_min_(0)
        return wide(beta, walk.grad)


def hestenes_stiefel(grad: Tensor, before: Tensor, direction: Tensor) -> Tensor:
    """beta = <g, y> / <s, y> (B,) with y = g_before - g, for gradients (B, N) that are ascended; 0 where y is but rounding.

    Minus that would make g + beta s conjugate to s: <g - beta s, y> = 0.
    """
    change = before - grad
    size, along = change.norm(dim=1), (direction * change).sum(1)
    least = torch.finfo(grad.dtype).eps ** 0.5  # of a change so small, half of the digits are rounding
    told = (size > least * grad.norm(dim=1)) & (along.abs() > least * size * direction.norm(dim=1))
    beta: Tensor = torch.where(told, (grad * change).sum(1) / along, 0)
    return beta


def _unit(grad: Tensor) -> Tensor:
    unit: Tensor = grad / grad.norm(dim=1, keepdim=True).clamp_min(torch.finfo(grad.dtype).tiny)
    return unit
