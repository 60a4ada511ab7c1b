"""APGD: projected gradient ascent with momentum that halves its own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import Problem
from ..parts.halving import Halving, checkpoints
from ..parts.options import at_least, between
from ..parts.query import query


@dataclass(eq=False)
class _Walk:
    """Where each of B samples is: the current point, the one before, and the best by the loss."""

    point: Tensor  # (B, *P)
    before: Tensor
    grad: Tensor  # at the point
    best: Tensor
    best_grad: Tensor
    control: Halving

    def select(self, rows: Tensor) -> _Walk:
        point, before, grad = self.point[rows], self.before[rows], self.grad[rows]
        return _Walk(point, before, grad, self.best[rows], self.best_grad[rows], self.control.select(rows))


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
        at_least(self, steps=1, draws=1)
        between(self, 0, 1, "rho", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region = problem.region
        start = region.random(problem.streams) if problem.starts is None else region.project(problem.starts).clone()
        found, rows = Incumbent.at(region.origin), torch.arange(len(start), device=start.device)
        answer = query(problem, start, self.loss, self.draws)
        found.offer(start, answer.margin, rows)
        control = Halving.begin(answer.loss, 2 * region.radius)
        walk = _Walk(start, start.clone(), answer.grad, start.clone(), answer.grad.clone(), control)
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
            better = walk.control.compare(loss)
            walk.best.index_copy_(0, better, walk.point.index_select(0, better))
            walk.best_grad.index_copy_(0, better, walk.grad.index_select(0, better))
            if taken in stops:
                back, last = walk.control.check(taken - last, self.rho), taken
                walk.point.index_copy_(0, back, walk.best.index_select(0, back))
                walk.grad.index_copy_(0, back, walk.best_grad.index_select(0, back))
        return found.point


def _move(problem: Problem, walk: _Walk, share: float) -> None:
    """Equation 1: z = P(x + step * ascend), x' = P(x + a (z - x) + (1 - a) (x - x_before)), all in the memory of the old points."""
    region, point, before = problem.region, walk.point, walk.before
    ahead = region.step_(point.clone(), walk.grad, walk.control.step)
    if share < 1:
        ahead.lerp_(point, 1 - share).add_(before.sub_(point), alpha=share - 1)
        ahead = region.project(ahead)
    walk.point, walk.before = ahead, point
