"""EAD: adversarial examples of small elastic-net size, by iterative shrinkage and thresholding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import NormBall, Problem
from ...kernels import sizes
from ...kernels.shapes import wide
from ..parts.hunt import finite
from ..parts.linearise import nearest_plane
from ..parts.options import at_least, one_of, positive
from ..parts.shrink import shrunk

RULES = ("l1", "en")
FACTOR = 10.0  # between one weight and the next until there is a bracket


@dataclass(frozen=True, kw_only=True)
class EAD:
    """Minimise weight * hinge(-margin) + beta * ||delta||_1 + ||delta||_2^2 by FISTA in the box, for the least weight that wins, bisected.

    Chen et al., EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples, AAAI 2018, arXiv:1709.04114, equations 3 to 7
    and algorithm 1; the step falls with the root of what is left, and the threshold is beta at any step size, as in their code.

    Deviations: all in units of the input range; the first weight is the one at which the largest entry of the gradient at x passes the
    threshold `weight` times over, where theirs is 1e-3 and nothing moves before it has risen for several rounds; weights are
    bisected on a logarithmic scale; the points that count are those whose gradient is asked, a momentum ahead, which saves a
    forward a step; the best one is pulled in along its way at the end. Cost: 1 forward and 1 backward a step and at x, and `search`
    forwards at the end. A sample that is won untouched is asked once. Norm: l1; `rule` says by which size the best is kept, that
    or the elastic net ("en").
    """

    steps: int = 100  # of a round
    rounds: int = 9  # weights
    step_size: float = 0.01  # share of the input range
    beta: float = 0.01  # threshold of a step, the price of the L1 size
    weight: float = 3.0  # first one
    rule: str = "l1"
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Chen et al. 2018, arXiv:1709.04114"

    def __post_init__(self) -> None:
        at_least(self, steps=1, rounds=1, search=0)
        positive(self, "step_size", "beta", "weight")
        one_of(self, "rule", *RULES)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        region = problem.ball("ead", "l1")
        outputs, value, rise = nearest_plane(problem, region.origin, region.norm, 1)
        clean = problem.goal.margin(outputs)
        rows = (~(clean > 0)).nonzero().squeeze(1)
        answer = region.origin.clone()
        if len(rows):
            answer[rows] = self._bisect(problem.select(rows), clean[rows], value[rows], rise[rows])
        return answer

    def _bisect(self, problem: Problem, clean: Tensor, value: Tensor, rise: Tensor) -> Tensor:
        """The best points of the samples that are not won untouched; value (B,) and rise (B, *S) are those of the margin at x."""
        region = problem.ball("ead")
        span = (region.upper - region.lower).flatten(1).amax(1).expand(len(clean)).clamp_min(1e-30)
        rise = finite(rise, region.free)
        steepest = sizes.linf(rise) * span
        steepest = torch.where(steepest > 0, steepest, 1.0)
        weight = (self.weight * self.beta / self.step_size) / steepest
        best, margin = Incumbent.at(region.origin), clean.clone()
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)  # lost, won
        pushed = rise.mul_(wide((value <= 0).to(rise.dtype), rise))  # of the hinge
        for _ in range(self.rounds):
            won = self._round(problem, region, span, weight, pushed, best, margin)
            low, high = torch.where(won, low, weight), torch.where(won, weight, high)
            weight = torch.where(low == 0, high / FACTOR, torch.where(high.isinf(), low * FACTOR, (low * high).sqrt()))
        return shrunk(problem, best.point, margin, clean, self.search)

    def _round(
        self,
        problem: Problem,
        region: NormBall,
        span: Tensor,
        weight: Tensor,
        rise: Tensor,
        best: Incumbent,
        margin: Tensor,
    ) -> Tensor:
        """One run of FISTA from x at weights (B,), whose points are offered to `best`; whether any of them won (B,)."""
        x, some = region.x, torch.zeros_like(best.found)
        push, beta = wide(weight * span.square(), x), wide(self.beta * span, x)
        point, ahead = x, x
        for taken in range(self.steps):
            step = self.step_size * (1 - taken / self.steps) ** 0.5
            delta = (
                (ahead - x).mul_(1 - 2 * step).addcmul_(rise, push, value=step)
            )  # the square and the hinge descended
            new = delta.abs().sub_(beta).clamp_min_(0).copysign_(delta).add_(x)
            torch.clamp(new, region.lower, region.upper, out=new)
            ahead = torch.lerp(point, new, 1 + taken / (taken + 3))
            torch.clamp(ahead, region.lower, region.upper, out=ahead)
            point = new
            outputs, value, rise = nearest_plane(problem, ahead, region.norm, 1)
            reached = problem.goal.margin(outputs)
            won, size = reached > 0, self._size(ahead - x, span)
            margin.copy_(torch.where(won & (size < best.size), reached, margin))
            best.offer_smaller(ahead, size, won)
            some |= won
            rise = finite(rise, region.free).mul_(wide((value <= 0).to(x.dtype), x))
        return some

    def _size(self, delta: Tensor, span: Tensor) -> Tensor:
        """(B,) by the decision rule; the elastic net in units of the input range."""
        plain = sizes.l1(delta)
        return plain if self.rule == "l1" else self.beta * plain / span + (sizes.l2(delta) / span).square()
