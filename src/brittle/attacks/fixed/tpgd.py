"""TPGD: away from the clean outputs, as TRADES trains against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ..parts.ascent import Ascent
from ..parts.climb import kept
from ..parts.options import at_least, positive
from ..parts.softmax import balanced, lively


@dataclass(frozen=True, kw_only=True)
class TPGD:
    """PGD on the divergence KL(p_clean || p) of the probabilities from the clean ones, from very near x.

    Zhang et al., TRADES, ICML 2019, arXiv:1901.08573, equation 3 and algorithm 1: 10 steps of 0.007 for a radius of 0.031, from Gaussian
    noise about a thirtieth as large. Deviations: the divergence knows no label and rises on both sides of x, so that from half of the
    starts it only makes the model surer; here a sample descends while its goal's margin is below that of x. A won sample leaves; the best
    point is returned; where the softmax is so saturated that its gradient is zero, the margin of the outputs. A target is judged, and
    told by that side alone.

    Cost: at most 1 forward and 1 backward a step, and 2 forwards.
    """

    steps: int = 10
    step_size: float | None = None  # input units; None: 2.25 radii / steps

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Zhang 2019, arXiv:1901.08573"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        walk = Ascent(problem, problem.region.origin.clone())
        clean, before = walk.ask(differentiate=False).softmax(1), walk.margin
        clean, before = kept(walk.leave(), clean, before)
        walk.point = _begin(walk.problem)
        for _ in range(self.steps):
            if not len(walk):
                break
            outputs = walk.ask()
            likely = outputs.softmax(1)
            slope = balanced(likely - clean, likely)
            slope.mul_(torch.where(walk.margin >= before, 1, -1)[:, None])
            grad = walk.gradient(lively(slope, outputs, walk.problem.classes))
            grad, clean, before = kept(walk.leave(), grad, clean, before)
            walk.step_(grad, 2.25 / self.steps, self.step_size)
        return walk.finish()


def _begin(problem: Problem) -> Tensor:
    """Near the origin, but not on it: there the divergence is least, and flat."""
    if problem.starts is not None:
        return problem.region.project(problem.starts)
    return problem.region.gaussian(problem.streams).lerp_(problem.region.origin, 0.9)
