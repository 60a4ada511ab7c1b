"""The attack of Brendel and Bethge: along the decision boundary, towards x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.norms import L2
from ...core.problem import Problem
from ...kernels import planes, trust_region
from ...kernels.shapes import wide
from ..parts.boundary import adversarial_start
from ..parts.linearise import nearest_plane
from ..parts.options import at_least, between, positive

CLIMB = 10  # most steps from x to find a first win


@dataclass(frozen=True, kw_only=True)
class BrendelBethge:
    """From a point that wins: step after step to the smallest perturbation on the linearised boundary that a trust region allows.

    Brendel et al., Accurate, reliable and fast robustness evaluation, NeurIPS 2019, arXiv:1907.01003, equation 3 and algorithm 1. Each
    step solves min ||z|| subject to <b, z - delta> = c, ||z - delta||_2 <= r and the input box, to the end (kernels/trust_region.py), b
    a running mean of the margin's gradients and c what is missing to the boundary, `overshoot` times so where the point does not win.

    Deviations: begins twice, with half of the steps each: once at a random input that wins, which is far from x and so away from what
    masks its gradients, and once at a point climbed to from x along the margin's gradient, by steps that double, which finds targets too;
    the paper takes pictures of another class, and the problem's own starts take their place. The radius r of the trust region falls
    geometrically to `decay` of its first value, `step_size` times the root of the number of features in units of the input range; the
    authors' falls to a millionth, so that most steps go nowhere. Their solver is BFGS on the dual problem, one sample after another;
    this one is two nested searches for all of them.
    Cost: at most 1 forward and 1 backward a step, and for the starts 10 of both and 12 + `starts` + 2 x `halvings` forwards more.
    Norms: all.
    """

    steps: int = 1000
    step_size: float = 0.3
    overshoot: float = 1.1
    momentum: float = 0.8
    decay: float = 3e-3
    starts: int = 30  # random inputs tried for one that wins, where the problem's starts do not
    halvings: int = 10  # of the way from x to a start

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Brendel 2019, arXiv:1907.01003"

    def __post_init__(self) -> None:
        at_least(self, steps=1, starts=0, halvings=0)
        positive(self, "step_size")
        between(self, 1, 2, "overshoot", ends="[)", why="does not stay near the boundary")
        between(self, 0, 1, "momentum", ends="[)")
        between(self, 0, 1, "decay", ends="(]")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("brendel_bethge")
        best = Incumbent.at(ball.origin)
        drawn, found = adversarial_start(problem, self.starts)
        best.offer_smaller(drawn, ball.norm.size(drawn - ball.x), found, None)
        if problem.starts is None:
            climbed, reached = _climbed(problem, best.size > 0)
            half = self.steps // 2
            tracks = [
                (drawn, found & reached, self.steps - half),
                (climbed, found & reached, half),
                (drawn, found & ~reached, self.steps),
                (climbed, reached & ~found, self.steps),
            ]
        else:
            tracks = [(drawn, found, self.steps)]
        for point, chosen, steps in tracks:
            rows = (chosen & (best.size > 0)).nonzero().squeeze(1)  # what is won untouched is done
            if steps and len(rows):
                self._follow(problem.select(rows), point[rows], best, rows, steps)
        return best.point

    def _follow(self, problem: Problem, point: Tensor, best: Incumbent, rows: Tensor, steps: int) -> None:
        """From points that win along the boundary; what is smaller is offered to `best`."""
        ball, point = problem.ball("brendel_bethge"), _drawn_near(problem, point, self.halvings)
        x = ball.x.flatten(1)
        low, high = (ball.lower.expand_as(point).flatten(1) - x), (ball.upper.expand_as(point).flatten(1) - x)
        radius = (high - low).amax(1) * (self.step_size * x.shape[1] ** 0.5)
        weight, mean = torch.full_like(radius, 0.1), torch.zeros_like(x)
        for taken in range(steps):
            outputs, value, normal = nearest_plane(problem, point, L2, classes=1)
            won = problem.goal.margin(outputs) > 0
            best.offer_smaller(point, ball.norm.size(point - ball.x), won, rows)
            mean = normal.flatten(1) if taken == 0 else mean.lerp_(normal.flatten(1), 1 - self.momentum)
            rise = -value * torch.where(value > 0, 2 - self.overshoot, self.overshoot)
            delta, reach = point.flatten(1) - x, radius * self.decay ** (taken / steps)
            delta, weight = trust_region.step(
                ball.norm.least, ball.norm.plane, delta, mean, rise, low, high, reach, weight
            )
            point = torch.clamp((x + delta).view_as(point), ball.lower, ball.upper)


def _climbed(problem: Problem, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """A point (B, *S) that wins, by steps from x onto the linearised boundary that double, and whether one was found (B,) bool."""
    climbed, found = problem.region.origin.clone(), torch.zeros_like(wanted)
    rows = wanted.nonzero().squeeze(1)
    problem, point = problem.select(rows), climbed[rows]
    for taken in range(CLIMB):
        if not len(rows):
            break
        _, value, normal = nearest_plane(problem, point, L2, classes=1)
        here, ball = point.flatten(1), problem.ball("brendel_bethge")
        low, high = (ball.lower.expand_as(point).flatten(1) - here), (ball.upper.expand_as(point).flatten(1) - here)
        move = planes.l2(normal.flatten(1), value.neg().clamp_min_(0) * (1.1 * 2.0**taken), low, high)
        point = torch.clamp((here + move).view_as(point), ball.lower, ball.upper)
        won = problem.goal.margin(problem.oracle(point)) > 0
        climbed[rows], found[rows] = point, won
        if bool(won.any()):
            left = (~won).nonzero().squeeze(1)
            rows, problem, point = rows[left], problem.select(left), point[left]
    return climbed, found


def _drawn_near(problem: Problem, point: Tensor, halvings: int) -> Tensor:
    """The points, with their way to x halved again and again: projected onto ever smaller balls, as long as they win."""
    region, near = problem.region, point.clone()
    low, high = torch.zeros_like(region.radius), region.size(point).to(point.dtype)
    for _ in range(halvings):
        middle = (low + high) / 2
        asked = region.within(middle).project(point)
        won = problem.goal.margin(problem.oracle(asked)) > 0
        near.lerp_(asked, wide(won.to(point.dtype), point))
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return near
