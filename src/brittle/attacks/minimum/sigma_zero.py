"""sigma-zero: few features, by gradient descent on a smooth count of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_slope
from ...core.problem import Problem
from ...kernels.adam import Adam
from ...kernels.shapes import wide
from ..parts.options import at_least, between, positive


@dataclass(frozen=True, kw_only=True)
class SigmaZero:
    """Descend max(-margin, 0) + mean(delta^2 / (delta^2 + sigma)) with Adam, and set to zero what stays below a threshold that adapts.

    Cina et al., sigma-zero: Gradient-based Optimization of l0-norm Adversarial Examples, ICLR 2025, arXiv:2402.01879, algorithm 1,
    equations 3 to 6. The threshold rises by threshold_step * eta_t where the point is won, which makes it sparser, and falls where it
    is not; the step size eta_t falls to a tenth along a cosine. Lengths are in units of the input range, as in the paper, whose range is
    [0, 1].

    Deviations: works with a target too (the paper is untargeted), which needs nothing but the margin's sign; asks the last of its steps
    no gradient, which nobody would use.
    Cost: 1 forward and 1 backward a step, one forward alone in the last. A sample that is won untouched is asked once. Norm: l0.
    """

    steps: int = 1000
    step_size: float = 1.0  # paper: eta_0
    sigma: float = 1e-3  # how sharp the smooth count is
    threshold: float = 0.3  # paper: tau_0
    threshold_step: float = 0.01  # paper: t

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Cina et al. 2025, arXiv:2402.01879"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size", "sigma")
        between(self, 0, 1, "threshold", "threshold_step", ends="[]")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region, slope = problem.ball("sigma_zero", "l0"), find_slope("margin")
        best, rows = Incumbent.at(region.origin), None
        point = region.origin.clone()
        if problem.starts is not None:
            point = torch.clamp(problem.starts, region.lower, region.upper)
        delta = point - region.x
        span = float((region.upper - region.lower).amax()) if len(point) else 1.0
        threshold = torch.full_like(region.radius, self.threshold * span)
        adam = Adam.like(point)
        for taken in range(self.steps):
            asked = point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            seen = outputs.detach()
            won = problem.goal.margin(seen) > 0
            best.offer_smaller(point, region.norm.size(delta), won, rows)
            if taken == self.steps - 1:
                break
            (grad,) = torch.autograd.grad(outputs, asked, -slope(seen, problem.goal).mul_(~won[:, None]))
            if taken == 0 and bool((best.size == 0).any()):  # won untouched: nothing smaller is to be found
                stay = rows = (best.size > 0).nonzero().squeeze(1)
                if not len(stay):
                    break
                problem, region = problem.select(stay), region.select(stay)
                point, delta, grad, won = point[stay], delta[stay], grad[stay], won[stay]
                threshold, adam = threshold[stay], Adam.like(point)
            adam.see(self._whole_gradient(grad, delta, span, region.free))
            adam.descend_(point, self.step_size * span * self._share(taken))
            torch.clamp(point, region.lower, region.upper, out=point)
            torch.sub(point, region.x, out=delta)
            change = self.threshold_step * self.step_size * span * self._share(taken + 1)
            threshold.add_(won.to(threshold.dtype).mul_(2).sub_(1), alpha=change).clamp_(0, span)
            small = delta.abs() < wide(threshold, point)
            torch.where(small, region.x, point, out=point)
            delta.masked_fill_(small, 0)
        return best.point

    def _share(self, taken: int) -> float:
        """Of the first step size, after this many steps: from 1 down to 0.1 along a cosine."""
        return 0.1 + 0.45 * (1 + math.cos(math.pi * taken / self.steps))

    def _whole_gradient(self, grad: Tensor, delta: Tensor, span: float, free: Tensor | None) -> Tensor:
        """The margin's gradient, overwritten with that of the whole loss, its largest entry 1. What is NaN counts as zero."""
        grad = torch.nan_to_num(grad, nan=0.0)
        sigma = self.sigma * span**2
        grad.addcdiv_(delta, (delta * delta).add_(sigma).square_(), value=2 * sigma / max(delta[0].numel(), 1))
        if free is not None:
            grad.mul_(free)
        largest = grad.flatten(1).abs().amax(1).clamp_min_(1e-12)
        return grad.div_(wide(largest, grad))
