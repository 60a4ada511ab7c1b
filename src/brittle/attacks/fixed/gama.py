"""GAMA-PGD: the margin of the probabilities, guided away from the clean ones at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...core.access import Access
from ...core.goal import Classify
from ...core.losses import find_slope
from ...core.problem import Problem
from ..parts.ascent import Ascent
from ..parts.climb import kept
from ..parts.options import at_least
from ..parts.softmax import lively, through_softmax


@dataclass(frozen=True, kw_only=True)
class GAMA:
    """Ascend max_{j != y} p_j - p_y + lambda ||p - p_clean||^2, p the softmax and lambda soon zero.

    Sriramanan et al., Guided adversarial attack, NeurIPS 2020, arXiv:2011.14969, equation 3 and section 4.1, with its parameters: lambda
    falls from 50 to zero in the first quarter of the steps; steps of two radii, a tenth of that from 60 % of the steps on and a hundredth
    from 85 %; the start is Bernoulli noise, a random corner of the Linf ball, in other norms a step of one radius in a random direction.
    Deviations: a won sample leaves and the best point is returned; p_clean is that of x as in the paper, where the authors' code takes that
    of the start; where the softmax is so saturated that its gradient is zero, the margin of the outputs. With a target, its own margin.

    Cost: at most 1 forward and 1 backward a step, and 2 forwards.
    """

    steps: int = 100
    relaxation: float = 50.0  # paper: lambda

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Sriramanan 2020, arXiv:2011.14969"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        at_least(self, relaxation=0, why="would hold the clean outputs")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        walk = Ascent(problem, problem.region.origin.clone())
        clean = walk.ask(differentiate=False).softmax(1)
        (clean,) = kept(walk.leave(), clean)
        walk.point = _begin(walk.problem)
        for step in range(self.steps):
            if not len(walk):
                break
            outputs = walk.ask()
            weight = self.relaxation * max(0.0, 1 - 4 * step / self.steps)
            grad = walk.gradient(_slope(outputs, walk.problem.classes, clean, weight))
            grad, clean = kept(walk.leave(), grad, clean)
            walk.step_(grad, 2.0 * 0.1 ** ((step >= 0.6 * self.steps) + (step >= 0.85 * self.steps)))
        return walk.finish()


def _slope(outputs: Tensor, goal: Classify, clean: Tensor, weight: float) -> Tensor:
    """Of the loss in the outputs (B, C), up to a positive factor for each sample."""
    likely = outputs.softmax(1)
    rise = find_slope("margin")(likely, goal)
    if weight:
        rise.add_(likely - clean, alpha=2 * weight)
    return lively(through_softmax(likely, rise), outputs, goal)


def _begin(problem: Problem) -> Tensor:
    region = problem.region
    if problem.starts is not None:
        return region.project(problem.starts)
    noise = region.random(problem.streams).sub_(region.origin)
    return region.step_(region.origin.clone(), noise, region.radius)
