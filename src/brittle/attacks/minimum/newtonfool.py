"""NewtonFool: Newton's method on the probability of the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import Classify, pick, without
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.hunt import finite
from ..parts.options import at_least, positive
from ..parts.walk import Walk

LEAST = 0.1  # of the diameter of the box: what a smaller ||x|| counts as, so that a black image can move


@dataclass(frozen=True, kw_only=True)
class NewtonFool:
    """Repeat: lower the probability of the label by a step of Newton's method towards chance, of length at most eta * ||x||.

    Jang, Wu and Jha, Objective metrics and gradient descent algorithms for adversarial examples in machine learning, ACSAC 2017, section
    3.2, algorithm 1: with p the label's probability and g its gradient, x moves by -min(eta ||x|| ||g||, p - 1/C) g / ||g||^2.

    Deviations: a sample that is won leaves, where the paper takes all steps; `search` forwards then pull it back onto the boundary. g /
    ||g|| and (p - 1/C) / ||g|| are found from the log-odds of p, whose gradient has the same direction and does not vanish where p rounds
    to one. An image darker than a tenth of the box's diameter counts as that bright. With a target, the target's probability is raised
    towards 1/2; with a confidence, a probability goes to zero or one. Points are clipped to the box.
    Cost: at most 1 forward and 1 backward a step, and 2 + `search` forwards. Norm: l2.
    """

    steps: int = 100
    eta: float = 0.01
    search: int = 3  # forwards of the last search; the paper has none

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Jang et al. 2017, ACSAC"

    def __post_init__(self) -> None:
        at_least(self, steps=1, search=0)
        positive(self, "eta")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        walk = Walk.begin(problem, "newtonfool", "l2")
        norm, region = walk.region.norm, walk.region
        diameter = norm.size((region.upper - region.lower).expand_as(region.x))
        most = self.eta * torch.maximum(norm.size(region.x), LEAST * diameter)
        for _ in range(self.steps):
            if not len(walk):
                return walk.finish(self.search)
            asked = walk.point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = walk.problem.oracle(asked)
            seen, goal = outputs.detach(), walk.problem.classes
            (grad,) = torch.autograd.grad(outputs, asked, _slope(seen, goal))
            stay = walk.leave(walk.point, goal.margin(seen))
            most, region, seen = most[stay], walk.region, seen[stay]
            grad = finite(grad[stay], region.free)
            length = norm.size(grad).clamp_min_(torch.finfo(grad.dtype).tiny)
            step = torch.minimum(most, _newton(seen, walk.problem.classes) / length)
            walk.point = walk.point.addcmul(grad, wide(step / length, grad))
            torch.clamp(walk.point, region.lower, region.upper, out=walk.point)
        if len(walk):
            walk.leave(walk.point, walk.problem.goal.margin(walk.problem.oracle(walk.point)))
        return walk.finish(self.search)


def _slope(seen: Tensor, goal: Classify) -> Tensor:
    """d log-odds / d outputs (B, C): of the aimed class up, or of the label down."""
    slope = without(seen, goal.steered.squeeze(1)).softmax(1).neg_().scatter_(1, goal.steered, 1)
    return slope.neg_() if goal.aim is None else slope


def _newton(seen: Tensor, goal: Classify) -> Tensor:
    """How far the log-odds are to move (B,): (p - level) / p(1 - p), the step of Newton's method on p; no less than rounding needs."""
    own = goal.steered.squeeze(1)
    odds = pick(seen, own) - without(seen, own).logsumexp(1)
    p = odds.sigmoid()
    if goal.confidence is not None:
        gap = p if goal.aim is None else 1 - p
    else:
        gap = p - 1 / seen.shape[1] if goal.aim is None else 0.5 - p
    far = (gap.clamp_min(0) * (2 + 2 * odds.cosh())).nan_to_num(nan=0.0, posinf=torch.inf)
    return torch.maximum(far, seen.abs().amax(1) * 1e-6)
