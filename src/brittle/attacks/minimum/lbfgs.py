"""L-BFGS: the attack that found adversarial examples, for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import NormBall, Problem
from ...kernels.lbfgs import minimise
from ...kernels.shapes import wide
from ..parts.hunt import finite
from ..parts.linearise import crossing, nearest_plane
from ..parts.options import at_least
from ..parts.shrink import shrunk

SHARPNESS = 10.0  # of the loss, in units of the margin at x
FACTOR = 10.0  # between one price and the next until there is a bracket


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Minimise price * ||delta||^2 + loss(x + delta) in the box by L-BFGS, for the highest price that still wins, which is bisected.

    Szegedy et al., Intriguing properties of neural networks, ICLR 2014, arXiv:1312.6199, section 4.1.

    Deviations: the loss is the cross-entropy between the class wanted and the best other one, softplus(-margin), in units of the margin
    at x: with all classes in it the boundary is blurred where several meet, and without a target it has no end. The first
    solution starts at the boundary that is nearest in the linear model, the others at the best point so far, or where the last one
    ended; every point asked about counts; the best is pulled in along its way. The solver is batched (SciPy's L-BFGS-B is what it is
    held against). Cost: a forward and a backward for each point that the solver asks about, line searches included. Norm: l2.
    """

    steps: int = 30  # points that one solution may ask about
    rounds: int = 8  # prices
    memory: int = 8  # pairs of the history
    candidates: int = 3  # classes looked at for the start, the likeliest first
    search: int = 6  # forwards of the last line search

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Szegedy et al. 2014, arXiv:1312.6199"

    def __post_init__(self) -> None:
        at_least(self, steps=1, rounds=1, memory=1, candidates=1, search=0)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        x = problem.ball("lbfgs", "l2").origin
        outputs, value, normal = nearest_plane(problem, x, problem.ball("lbfgs").norm, self.candidates)
        clean = problem.goal.margin(outputs)
        rows = (~(clean > 0)).nonzero().squeeze(1)
        answer = x.clone()
        if len(rows):
            first = _Linear.at(problem.select(rows), outputs[rows], value[rows], normal[rows])
            answer[rows] = self._bisect(problem.select(rows), first, clean[rows])
        return answer

    def _bisect(self, problem: Problem, linear: _Linear, clean: Tensor) -> Tensor:
        """The best points of the samples that are not won untouched."""
        region = problem.ball("lbfgs")
        best, margin = Incumbent.at(region.origin), clean.clone()
        start = linear.start
        price = torch.full_like(linear.distance, SHARPNESS / 4)  # that of the boundary, were the model linear
        cheap, dear = torch.zeros_like(price), torch.full_like(price, torch.inf)  # won, lost
        for _ in range(self.rounds):
            won, end = self._solve(problem, region, linear, start, price, best, margin)
            cheap, dear = torch.where(won, price, cheap), torch.where(won, dear, price)
            price = torch.where(
                cheap == 0, dear / FACTOR, torch.where(dear.isinf(), cheap * FACTOR, (cheap * dear).sqrt())
            )
            start = torch.where(wide(best.found, start), best.point, end)
        return shrunk(problem, best.point, margin, clean, self.search)

    def _solve(
        self,
        problem: Problem,
        region: NormBall,
        linear: _Linear,
        start: Tensor,
        price: Tensor,
        best: Incumbent,
        margin: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One solution at prices (B,), whose points are offered to `best`; whether any of them won (B,), and where it ends."""
        shape, some = region.x.shape[1:], torch.zeros_like(best.found)

        def ask(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            here = problem if len(rows) == len(some) else problem.select(rows)
            point = points.view(-1, *shape)
            delta = point - here.x
            outputs, value, rise = nearest_plane(here, point, region.norm, 1)
            reached, size = here.goal.margin(outputs), region.norm.size(delta)
            won = reached > 0
            better = won & (size < best.size[rows])
            margin[rows] = torch.where(better, reached, margin[rows])
            best.offer_smaller(point, size, won, rows)
            some[rows] |= won
            distance, gap, cost = linear.distance[rows], linear.gap[rows], price[rows]
            height = SHARPNESS * value / gap
            slope = finite(rise, here.ball("lbfgs").free).mul_(wide(-SHARPNESS * torch.sigmoid(-height) / gap, delta))
            slope.addcmul_(delta, wide(2 * cost / distance.square(), delta))
            return cost * (size / distance).square() + F.softplus(-height), slope.flatten(1)

        curvature = (2 * price + SHARPNESS**2 / 4) / linear.distance.square()
        low, high = (limit.expand_as(start).flatten(1) for limit in (region.lower, region.upper))
        end, _ = minimise(ask, start.flatten(1), low, high, 1 / curvature, self.steps, self.memory)
        return some, end.view_as(start)


@dataclass(frozen=True, eq=False)
class _Linear:
    """What the linear model at x says: how far the boundary is (B,), the margin to be made up (B,), and the point there (B, *S)."""

    distance: Tensor
    gap: Tensor
    start: Tensor

    @classmethod
    def at(cls, problem: Problem, outputs: Tensor, value: Tensor, normal: Tensor) -> _Linear:
        region = problem.ball("lbfgs")
        x = region.origin
        diameter = region.norm.size((region.upper - region.lower).expand_as(x)).clamp_min(1e-30)
        normal = finite(normal, region.free)
        slope = region.norm.size(normal)
        gap = (-value).clamp_min(outputs.abs().amax(1).mul_(1e-6).clamp_min_(1e-6))
        distance = torch.where(slope > 0, gap / slope, diameter)
        distance = torch.maximum(torch.minimum(distance, diameter), diameter * 1e-6)
        start = crossing(region, x, outputs, value, normal, 0.0)
        if problem.starts is not None:
            start = torch.clamp(problem.starts.to(x.dtype), region.lower, region.upper)
        dead = slope == 0
        if bool(dead.any()):
            noise = finite(problem.streams.normal(tuple(x.shape[1:])).to(x.dtype), region.free)
            away = torch.clamp(x + noise * (region.upper - region.lower) / 10, region.lower, region.upper)
            start = torch.where(wide(dead, x), away, start)
        return cls(distance, gap, start)
