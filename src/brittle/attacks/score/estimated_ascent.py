"""The one loop that ascends along estimated gradients; which estimate is a value of its own, see estimators.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.climb import Climb, kept
from ..parts.options import at_least, between, positive
from .estimators import Estimator, Sampled


@dataclass(frozen=True, kw_only=True)
class EstimatedAscent:
    """Repeat: estimate the gradient from pairs of probes around the point, step where the loss rises most in the threat's norm, project.

    x_{t+1} = project(x_t + step * ascend(m_t)), m_t = momentum * m_{t-1} + g_t, g_t the estimate at x_t. Deviations from all four papers:
    the probes are projected onto the region, so that one that wins ends the attack, and nobody is asked outside the bounds; they lie at
    `spread` radii from the point in the threat's norm; the points x_t themselves are not asked about, because their probes are.

    Cost: at most `queries` forwards, two a pair.
    """

    gradient: Estimator = field(default_factory=Sampled)
    queries: int = 10_000
    step_size: float | None = None  # input units; None: `reach` radii
    reach: float = 0.2
    spread: float = 0.3
    momentum: float = 0.0
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Ilyas et al. 2018, arXiv:1804.08598"

    def __post_init__(self) -> None:
        at_least(self, queries=1)
        positive(self, "step_size", "reach", "spread")
        between(self, 0, 1, "momentum", ends="[)")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("an estimated gradient", "linf", "l2", "l1")
        climb, rule = Climb(problem, self.loss), self.gradient
        point = ball.origin.clone() if problem.starts is None else ball.project(problem.starts)
        belief, last = rule.begin(point), torch.zeros_like(point)
        for asked in range(1, self.queries, 2):
            noise = rule.draw(belief, climb.problem.streams)
            first, second = (self._probe(ball, point, way) for way in rule.probes(belief, noise, point))
            above = climb.offer(first)
            point, second, belief, noise, last, height = kept(
                above.stay, point, second, belief, noise, last, above.height
            )
            if not len(climb):
                break
            below = climb.offer(second)
            point, belief, noise, last, height, other = kept(
                below.stay, point, belief, noise, last, height, below.height
            )
            if not len(climb):
                break
            ball = cast(NormBall, climb.problem.region)
            belief = rule.learn(belief, noise, (height - other).nan_to_num_(0.0, 0.0, 0.0))
            if (asked // 2 + 1) % rule.pairs == 0:
                last = (
                    rule.gradient(belief, point)
                    if not self.momentum
                    else last.mul_(self.momentum).add_(rule.gradient(belief, point))
                )
                step = (
                    ball.radius * self.reach if self.step_size is None else torch.full_like(ball.radius, self.step_size)
                )
                point = ball.step_(point.clone(), last.clone(), step)
                belief = rule.forget(belief)
        return climb.finish()

    def _probe(self, ball: NormBall, point: Tensor, way: Tensor) -> Tensor:
        """The point of the ball `spread` radii along the way (B, *S)."""
        if ball.free is not None:
            way = way * ball.free
        length = ball.radius * self.spread / ball.norm.size(way).clamp_min(1e-30)
        return ball.project(torch.addcmul(point, way, wide(length, point)))
