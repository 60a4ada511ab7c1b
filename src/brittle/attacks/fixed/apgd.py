"""APGD: projected gradient ascent with momentum that halves its own steps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.oracle import Access
from ...core.problem import Problem
from ...errors import InputError
from ..parts.query import query


@dataclass(eq=False)
class _Walk:
    """Where each of B samples is: the current point, the one before, the best by the loss, and the counts of equation 2."""

    point: Tensor  # (B, *P)
    before: Tensor
    grad: Tensor  # at the point
    best: Tensor
    best_grad: Tensor
    best_loss: Tensor  # (B,)
    loss: Tensor
    step: Tensor
    rises: Tensor  # steps since the last checkpoint that raised the loss
    best_then: Tensor  # the best loss at the last checkpoint
    halved: Tensor  # bool: the step was halved there

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Ascend with momentum from steps of two radii; at checkpoints, halve the step where the loss does not rise and go on from the best.

    Croce and Hein, ICML 2020, arXiv:2003.01690, algorithm 1, with its parameters: momentum 0.75, checkpoints of section 3.2, rho 0.75.
    Deviations: a sample that is won leaves, and of one that is not the point of the highest goal margin is returned rather than of the
    highest loss; projections onto ball and box are exact; the start is uniform in the ball, where the authors' code goes to its surface.
    Where the authors' code and the paper disagree it is the paper's: checkpoints rounded up, condition 1 strict, and after a restart the
    loss of the best point counts as the one before. The loss of a victim that answers at random is a mean over `draws`, where that code
    takes the last draw's.
    Works in any region that can step and project; under l1 use SparseAPGD.
    Cost: at most steps x draws x (F + B) + draws x F.
    """

    steps: int = 100
    loss: str = "cross_entropy"
    draws: int = 1  # answers averaged a step, for victims that answer at random
    rho: float = 0.75  # share of the steps since a checkpoint that must have raised the loss

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce and Hein 2020, arXiv:2003.01690"

    def __post_init__(self) -> None:
        for name in ("steps", "draws"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} would do nothing; give 1 or more")
        if not 0 < self.rho <= 1:
            raise InputError(f"rho={self.rho:g} is not a share of the steps; give more than 0 and at most 1")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region = problem.region
        start = region.random(problem.streams) if problem.starts is None else region.project(problem.starts).clone()
        found, rows = Incumbent.at(region.origin), torch.arange(len(start), device=start.device)
        answer = query(problem, start, self.loss, self.draws)
        found.offer(start, answer.margin, rows)
        walk = _begin(start, answer.grad, answer.loss, 2 * region.radius)
        margin, last, stops = answer.margin, 0, checkpoints(self.steps)
        for taken in range(1, self.steps + 1):
            won = margin > 0
            if bool(won.any()):
                chosen = (~won).nonzero().squeeze(1)
                problem, rows, walk = problem.select(chosen), rows[chosen], walk.select(chosen)
                if not len(rows):
                    break
            _move(problem, walk, 0.75 if taken > 1 else 1.0)
            margin, loss, walk.grad = query(problem, walk.point, self.loss, self.draws, taken < self.steps)
            found.offer(walk.point, margin, rows)
            _compare(walk, loss)
            if taken in stops:
                self._check(walk, taken - last)
                last = taken
        return found.point

    def _check(self, walk: _Walk, window: int) -> None:
        """Conditions 1 and 2 of section 3.2: the loss rose too seldom; neither step nor best loss has changed since the last one."""
        stuck = ~walk.halved & (walk.best_then >= walk.best_loss)
        walk.halved = (walk.rises < self.rho * window) | stuck
        walk.step = torch.where(walk.halved, walk.step / 2, walk.step)
        walk.loss = torch.where(walk.halved, walk.best_loss, walk.loss)
        back = walk.halved.nonzero().squeeze(1)
        walk.point.index_copy_(0, back, walk.best.index_select(0, back))
        walk.grad.index_copy_(0, back, walk.best_grad.index_select(0, back))
        walk.best_then = walk.best_loss.clone()
        walk.rises.zero_()


def checkpoints(steps: int) -> set[int]:
    """w_j = ceil(p_j * steps) with p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)."""
    percent, gap, found = 22, 22, set()  # whole numbers, which no rounding lifts over a step
    while percent <= 100:
        found.add(-(-percent * steps // 100))
        gap = max(gap - 3, 6)
        percent += gap
    return found


def _begin(start: Tensor, grad: Tensor, loss: Tensor, step: Tensor) -> _Walk:
    return _Walk(
        point=start,
        before=start.clone(),
        grad=grad,
        best=start.clone(),
        best_grad=grad.clone(),
        best_loss=loss.clone(),
        loss=loss,
        step=step,
        rises=torch.zeros_like(loss),
        best_then=loss.clone(),
        halved=torch.ones_like(loss, dtype=torch.bool),
    )


def _move(problem: Problem, walk: _Walk, share: float) -> None:
    """Equation 1: z = P(x + step * ascend), x' = P(x + a (z - x) + (1 - a) (x - x_before)), all in the memory of the old points."""
    region, point, before = problem.region, walk.point, walk.before
    ahead = region.step_(point.clone(), walk.grad, walk.step)
    if share < 1:
        ahead.lerp_(point, 1 - share).add_(before.sub_(point), alpha=share - 1)
        ahead = region.project(ahead)
    walk.point, walk.before = ahead, point


def _compare(walk: _Walk, loss: Tensor) -> None:
    """Count a rise, and keep the best point and its gradient."""
    walk.rises += loss > walk.loss
    better = (loss > walk.best_loss).nonzero().squeeze(1)
    walk.best.index_copy_(0, better, walk.point.index_select(0, better))
    walk.best_grad.index_copy_(0, better, walk.grad.index_select(0, better))
    walk.best_loss, walk.loss = torch.maximum(walk.best_loss, loss), loss
