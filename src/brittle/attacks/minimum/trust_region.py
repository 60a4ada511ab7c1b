"""Trust region: step towards the linearised boundary no further than the linearisation holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import pick, without
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.hunt import finite
from ..parts.linearise import inner, nearest_plane
from ..parts.options import at_least, between
from ..parts.walk import Walk

GOOD, BAD = 0.9, 0.5  # paper: sigma_1, sigma_2; shares of the promised rise that widen and narrow the region
RADII = 0.2, 1.0  # narrowest and widest, in distances from x to its linearised boundary
OVERSHOOT = 0.02


@dataclass(frozen=True, kw_only=True)
class TrustRegion:
    """Towards the class whose linearised boundary is nearest to x: steps within a radius that grows while they rise as promised.

    Yao et al., Trust region based adversarial attack on neural networks, CVPR 2019, arXiv:1812.06371, algorithm 1, first order: the
    radius is multiplied by `growth` where the margin rose by more than 0.9 of what its gradient promised, and divided by it below 0.5.

    Deviations: radii are shares of the distance from x to its linearised boundary, where the paper has lengths for each data set; no step
    is shorter than the narrowest, so that none ends just before a boundary again and again. The rise is that of the margin over
    <gradient, step>, as in the paper's equation, where its code divides the fall of one logit by the step. Points are clipped to the box;
    `search` forwards at the end pull what won back onto the boundary.
    Cost: at most 1 forward and 1 backward a step, `candidates` - 1 backwards more in the first, and 2 + `search` forwards. Norms: l2, linf.
    """

    steps: int = 100
    radius: float = 0.3  # the first, in distances from x to its linearised boundary
    growth: float = 1.2  # paper: eta
    candidates: int = 9  # classes looked at for the nearest, the likeliest first
    search: int = 3  # forwards of the last search; the paper has none

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Yao et al. 2019, arXiv:1812.06371"

    def __post_init__(self) -> None:
        at_least(self, steps=1, candidates=1, search=0)
        between(self, *RADII, "radius", ends="[]")
        at_least(self, growth=1, why="would narrow what should widen")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        walk = Walk.begin(problem, "trust_region", "l2", "linf")
        norm = walk.region.norm
        dual = norm.dual
        assert dual is not None
        span = walk.region.upper - walk.region.lower
        most = norm.rounding(span[:1].numel()) * span.flatten(1).amax(1).expand(len(walk))
        unit = radius = before = promised = most
        for taken in range(self.steps):
            if not len(walk):
                return walk.finish(self.search)
            seen, value, normal = nearest_plane(walk.problem, walk.point, norm, self.candidates)
            stay = walk.leave(walk.point, walk.problem.goal.margin(seen))
            region, seen, value, normal = walk.region, seen[stay], value[stay], finite(normal[stay], walk.region.free)
            slope = dual(normal).clamp_min_(torch.finfo(normal.dtype).tiny)
            unit, radius, before, promised = unit[stay], radius[stay], before[stay], promised[stay]
            if taken == 0:
                unit = torch.clamp(value.abs() / slope, 1e-6 * unit, unit)
                radius = self.radius * unit
                walk.problem = _towards(walk.problem, seen, value)
            else:
                share = (value - before) / promised
                radius = torch.where(share > GOOD, radius * self.growth, radius)
                radius = torch.where(share < BAD, radius / self.growth, radius)
                radius = torch.clamp(radius, RADII[0] * unit, RADII[1] * unit)
            gap = (seen.abs().amax(1) * 1e-6 - value).clamp_min_(0)
            step = torch.clamp((1 + OVERSHOOT) * gap / slope, RADII[0] * unit, radius)
            there = region.ascend(walk.point, normal, step)
            there = torch.clamp(there, region.lower, region.upper)
            before, promised = value, inner(normal, there - walk.point).clamp_min(torch.finfo(value.dtype).tiny)
            walk.point = there
        if len(walk):
            walk.leave(walk.point, walk.problem.goal.margin(walk.problem.oracle(walk.point)))
        return walk.finish(self.search)


def _towards(problem: Problem, seen: Tensor, value: Tensor) -> Problem:
    """The problem whose losses steer to the class that has this value, where the goal names none."""
    goal = problem.classes
    if goal.aim is not None or goal.confidence is not None:
        return problem
    others = without(seen, goal.labels) - pick(seen, goal.labels)[:, None]
    return replace(problem, goal=replace(goal, towards=(others - wide(value, others)).abs().argmin(1)))
