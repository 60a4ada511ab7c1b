"""L1-APGD: sparse steps whose sparsity follows that of the best point, first in balls that are too large."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...kernels.ascent import largest_signs
from ..parts.options import at_least
from ..parts.query import query


@dataclass(eq=False)
class _Walk:
    """Where each of B samples is: the current point, the best by the loss, and how far and how densely to step."""

    point: Tensor  # (B, *S)
    grad: Tensor  # at the point
    best: Tensor
    best_grad: Tensor
    best_loss: Tensor  # (B,)
    step: Tensor
    changed: Tensor  # features that the best point changed at the last checkpoint
    count: Tensor  # features to step on

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class SparseAPGD:
    """Step by equal amounts on the features of largest gradient, as many as two thirds of those that the best point has changed.

    Croce and Hein, Mind the box, ICML 2021, arXiv:2103.01208, algorithm 1 and section 4.3; where the best point gets sparser by 5 %, the
    step goes back to the radius and the walk to the best point, elsewhere the step shrinks by 1.5, to a tenth of the radius at least. The
    steps are spent in balls of 3, 2 and 1 radii, 30, 30 and 40 % of them, each begun at the projection of the best point before.
    Deviations: a sample that is won leaves, and of one that is not the point of the highest goal margin is returned; the larger balls make
    a move less, so that the queries are those of the other norms.
    Cost: at most steps x draws x (F + B) + draws x F.
    """

    steps: int = 100
    loss: str = "cross_entropy"
    draws: int = 1  # answers averaged a step, for victims that answer at random
    wide: bool = True  # whether to begin in larger balls

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce and Hein 2021, arXiv:2103.01208"

    def __post_init__(self) -> None:
        at_least(self, steps=1, draws=1)
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("L1-APGD", "l1")
        point = problem.starts
        if point is None:
            noise = problem.streams.normal(tuple(ball.x.shape[1:])).to(ball.x.dtype)
            point = ball.x + noise.mul_(ball.upper - ball.lower)
        for reach, steps in self._schedule()[:-1]:
            point = self._climb(problem, reach, point, steps, None)
        found = Incumbent.at(ball.x)
        self._climb(problem, 1.0, point, self._schedule()[-1][1], found)
        return found.point

    def _schedule(self) -> list[tuple[float, int]]:
        """Radii, as multiples, and steps. Below 3 steps there are none to spend in larger balls."""
        first = -(-3 * self.steps // 10)
        if not self.wide or self.steps < 3:
            return [(1.0, self.steps)]
        return [(3.0, first), (2.0, first), (1.0, self.steps - 2 * first)]

    def _climb(self, problem: Problem, reach: float, start: Tensor, steps: int, found: Incumbent | None) -> Tensor:
        """The point of the highest loss (B, *S) after some steps in the ball of `reach` radii, or in the true one the points found."""
        rows = torch.arange(len(start), device=start.device)
        ball = problem.within(problem.region.radius * reach).ball("L1-APGD", "l1")
        point, every = ball.project(start), max(steps // 25, 1)
        margin, loss, grad = query(
            problem, point, self.loss, self.draws
        )  # by the true problem: only what lies in it counts
        walk = _begin(ball, point, grad, loss, fresh=problem.starts is None and not self.wide)
        if found is not None:
            found.offer(point, margin, rows)
        moves = steps if found is not None else steps - 1
        for taken in range(1, moves + 1):
            won = margin > 0
            if found is not None and bool(won.any()):
                chosen = (~won).nonzero().squeeze(1)
                problem, ball, rows, walk = (
                    problem.select(chosen),
                    ball.select(chosen),
                    rows[chosen],
                    walk.select(chosen),
                )
                if not len(rows):
                    break
            walk.point = ball.project(_step(ball, walk))
            margin, loss, walk.grad = query(problem, walk.point, self.loss, self.draws, taken < moves)
            better = (loss > walk.best_loss).nonzero().squeeze(1)
            walk.best.index_copy_(0, better, walk.point.index_select(0, better))
            walk.best_grad.index_copy_(0, better, walk.grad.index_select(0, better))
            walk.best_loss = torch.maximum(walk.best_loss, loss)
            if found is not None:
                found.offer(walk.point, margin, rows)
            if taken % every == 0:
                _check(ball, walk)
        return walk.best


def _begin(ball: NormBall, point: Tensor, grad: Tensor, loss: Tensor, fresh: bool) -> _Walk:
    """At a fresh random point step on a fifth of all features, elsewhere on two thirds of those that the point has changed."""
    changed = _changed(ball, point)
    if fresh:
        changed = torch.full_like(changed, ball.x[0].numel())
    count = changed / 5 if fresh else changed / 1.5
    return _Walk(point, grad, point.clone(), grad.clone(), loss, ball.radius.clone(), changed, count)


def _changed(ball: NormBall, point: Tensor) -> Tensor:
    """(B,) how many features differ from the clean ones; a millionth of the radius is what rounding leaves where two features tie."""
    size = (point - ball.x).abs_().flatten(1)
    return torch.gt(size, 1e-6 * ball.radius[:, None], out=size).sum(1)


def _step(ball: NormBall, walk: _Walk) -> Tensor:
    """The step divided evenly among the features of largest gradient."""
    grad = walk.grad if ball.free is None else walk.grad * ball.free
    signs = largest_signs(grad.flatten(1), walk.count.floor().clamp_min(1))
    length = walk.step / signs.abs().sum(1).clamp_min(1)
    return walk.point + signs.mul_(length[:, None]).view_as(grad)


def _check(ball: NormBall, walk: _Walk) -> None:
    """Where the best point has become sparser go back to it with long steps, elsewhere shorten them."""
    changed = _changed(ball, walk.best)
    sparser = changed < 0.95 * walk.changed
    walk.step = torch.where(sparser, ball.radius, torch.maximum(walk.step / 1.5, ball.radius / 10))
    walk.changed, walk.count = changed, changed / 1.5
    back = sparser.nonzero().squeeze(1)
    walk.point.index_copy_(0, back, walk.best.index_select(0, back))
    walk.grad.index_copy_(0, back, walk.best_grad.index_select(0, back))
