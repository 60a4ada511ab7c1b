"""GeoDA: take the boundary for a plane, estimate its normal, and go from x along the normal to the boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.approach import back, nearest_start
from ..parts.asker import Asker
from ..parts.directions import check_directions, widened
from ..parts.normal import estimated_normal
from ..parts.options import at_least, between

_PARTS = (1.0, 0.5, 0.25, 0.125)  # of the way from a point to the one along the normal


@dataclass(frozen=True, kw_only=True)
class GeoDA:
    """GeoDA: the boundary near x is taken for a plane; all probes together estimate its normal, and the point is where x meets it.

    Rahmati et al., GeoDA: a geometric framework for black-box adversarial attacks, CVPR 2020, arXiv:2003.06468: the estimate is equation
    8, the point equations 11 (L2) and 14 (any norm: the steepest step of the region, which in L1 fills the features of the largest slopes
    to their limits), the growing number of probes equation 19 with lambda = 0.6, the low frequencies section 4.3.

    Deviations: where the point along the normal does not win, a half, a quarter and an eighth of the way there are tried, because
    boundaries are curved: without, the attack stands still after a few hundred queries. A point is never left for one further away. The
    frequencies grow with the probes (`grow`): 75 of 224 are much of a photograph, but a third of a digit's is a limit soon reached. Each
    estimate takes its mean off, as in HopSkipJump; probes are as long as a share of the perturbation, not 0.0002 a pixel. Starts are those
    of `hop_skip_jump`. No sample waits for another. Cost: at most `queries` forwards. L2, Linf, L1.
    """

    queries: int = 10_000  # the most forwards a sample is charged
    draws: int = 60  # probes of the first estimate
    growth: float = 1.4  # and how many times more each further one has; paper: lambda^(-2/3)
    memory: float = 1.0  # weight of all estimates so far beside a new one
    probe: float = 0.01  # how far probes go, as a share of the perturbation's L2 length
    directions: str = "dct"  # of the probes: full, dct (low frequencies), resized (small images enlarged)
    reduction: float = 3.0  # of each side of the image, for dct and resized; paper: 75 frequencies of 224
    grow: bool = True  # reduce less and less, so that the subspace has two dimensions for each probe so far
    starts: int = 100  # random inputs tried for a start
    looks: int = 40  # and then, to begin nearer to x, unless the problem has starts; at most a twentieth of the queries
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Rahmati et al. 2020, arXiv:2003.06468"

    def __post_init__(self) -> None:
        at_least(self, queries=3, draws=1, starts=1)
        between(self, 0, 1, "probe")
        between(self, 0, 1, "memory", ends="[]")
        check_directions(self)
        at_least(self, growth=1, why="would ask less and less")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        everyone = Asker.of(problem, problem.ball("geoda", "l2", "linf", "l1"), self.queries, self.stop)
        tolerance = self.probe / math.sqrt(max(problem.x[:1].numel(), 1))
        spare = 2 + math.ceil(-math.log2(tolerance))  # queries that the way back needs at least
        asker, point = nearest_start(everyone, self.starts, min(self.looks, self.queries // 20), tolerance)
        normal, draws, asked, step = torch.zeros_like(point), float(self.draws), 0, 0
        while True:
            stay = (asker.left > spare).nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point, normal = asker.select(stay), point[stay], normal[stay]
            if not len(stay):
                return everyone.finish()
            asked += int(draws)
            reduction = widened(self.reduction, tuple(point.shape[1:]), asked) if self.grow else self.reduction
            probes = (asker.left - spare).clamp_max(int(draws))
            far = (point - asker.ball.x).flatten(1).norm(dim=1) * self.probe
            streams = asker.problem.streams.fork(step)
            new = estimated_normal(asker, point, far, probes, streams, self.directions, reduction)
            normal.mul_(self.memory).add_(new.div_(wide(far.clamp_min(1e-30), new)))
            point = _nearer(asker, point, normal, tolerance)
            draws, step = draws * self.growth, step + 1


def _nearer(asker: Asker, point: Tensor, normal: Tensor, tolerance: float) -> Tensor:
    """A nearer point of the boundary: along the normal from x, or part of the way there from the point; else the point itself."""
    ball = asker.ball
    there = torch.clamp(ball.ascend(ball.x, normal, ball.norm.size(point - ball.x)), ball.lower, ball.upper)
    landed, going = point, asker.open
    for part in _PARTS:
        tried = torch.lerp(point, there, part)  # no further from x than the point: a norm is convex
        here = asker.wins(tried, going)
        landed = torch.where(wide(here, point), tried, landed)
        going = going & ~here & asker.open
        if not bool(going.any()):
            break
    return back(asker, landed, tolerance, asker.open & ~going)
