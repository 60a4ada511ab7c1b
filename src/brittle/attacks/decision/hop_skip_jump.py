"""HopSkipJump: estimate the boundary's normal from labels alone, jump along it, come back to the boundary.

QEBA and the tangent attack are settings of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import NormBall, Problem
from ...kernels.circles import across, unit
from ...kernels.shapes import wide
from ..parts.approach import back, nearest_start
from ..parts.asker import Asker
from ..parts.directions import check_directions, widened
from ..parts.normal import estimated_normal
from ..parts.options import at_least, between, one_of

_HALVINGS = 20  # of a jump, until it is given up


@dataclass(frozen=True, kw_only=True)
class HopSkipJump:
    """HopSkipJump: repeat: estimate the boundary's normal at the point by random probes, jump along it, bisect back towards x.

    Chen, Jordan and Wainwright, HopSkipJumpAttack, S&P 2020, arXiv:1904.02144, algorithm 2; the estimate is equation 16, the jump
    size / sqrt(t), halved until it wins. L2, and Linf, where the jump goes along the sign and the way back is a clip to ever smaller boxes.

    Deviations: the first estimate has 40 probes, not 100: nearer at every budget on five networks. Probes go `probe` = 1/100 of the
    perturbation's length far, not 1/d of it, at which float32 no longer tells the points of a probe apart, and the bisection is as much
    coarser: 4 to 8 queries a step less. Starts from noise of several kinds (plain noise is one class to many networks). No sample waits
    for another. Cost: at most `queries` forwards.
    """

    queries: int = 10_000  # the most forwards a sample is charged
    steps: int = 100
    draws: int = 40  # probes of the first estimate, paper: B_0; times sqrt(t) in step t
    probe: float = 0.01  # how far they go, as a share of the perturbation's L2 length
    directions: str = "full"  # of the probes: full, dct (low frequencies), resized (small images enlarged)
    reduction: float = 4.0  # of each side of the image, for dct and resized
    grow: bool = True  # reduce less and less, so that the subspace has two dimensions for each probe so far
    jump: Literal["normal", "tangent"] = (
        "normal"  # along the normal, or to where a line from x touches a ball around the point
    )
    starts: int = 100  # random inputs tried for a start
    looks: int = 40  # and then, to begin nearer to x, unless the problem has starts; at most a twentieth of the queries
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Chen et al. 2020, arXiv:1904.02144"

    def __post_init__(self) -> None:
        at_least(self, queries=3, steps=1, draws=1, starts=1)
        between(self, 0, 1, "probe")
        check_directions(self)
        one_of(self, "jump", "normal", "tangent")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("tangent", "l2") if self.jump == "tangent" else problem.ball("hop_skip_jump", "l2", "linf")
        everyone = Asker.of(problem, ball, self.queries, self.stop)
        tolerance = self.probe / math.sqrt(max(problem.x[:1].numel(), 1))
        spare = 2 + math.ceil(-math.log2(tolerance))  # queries that a jump and the way back need at least
        asker, point = nearest_start(everyone, self.starts, min(self.looks, self.queries // 20), tolerance)
        asked = 0
        for step in range(self.steps):
            stay = (asker.left > spare).nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point = asker.select(stay), point[stay]
            if not len(stay):
                break
            draws = int(self.draws * math.sqrt(step + 1))
            asked += draws
            reduction = widened(self.reduction, tuple(point.shape[1:]), asked) if self.grow else self.reduction
            far = (point - asker.ball.x).flatten(1).norm(dim=1) * self.probe
            probes, streams = (asker.left - spare).clamp_max(draws), asker.problem.streams.fork(step)
            normal = estimated_normal(asker, point, far, probes, streams, self.directions, reduction)
            point = self._jumped(asker, point, normal, step, tolerance)
        return everyone.finish()

    def _jumped(self, asker: Asker, point: Tensor, normal: Tensor, step: int, tolerance: float) -> Tensor:
        """Along the normal as far as it wins, then back to the boundary; where no jump wins, the point itself."""
        ball = asker.ball
        length = ball.norm.size(point - ball.x) / math.sqrt(step + 1)
        landed, going = point, asker.open
        for _ in range(_HALVINGS):
            there = self._there(ball, point, normal, length)
            torch.clamp(there, ball.lower, ball.upper, out=there)
            here = asker.wins(there, going)
            landed = torch.where(wide(here, point), there, landed)
            going = going & ~here & asker.open
            if not bool(going.any()):
                break
            length = length / 2
        return back(asker, landed, tolerance, asker.open)

    def _there(self, ball: NormBall, point: Tensor, normal: Tensor, length: Tensor) -> Tensor:
        """A jump of that length (B,) from the point."""
        return _touching(ball, point, normal, length) if self.jump == "tangent" else ball.ascend(point, normal, length)


def _touching(ball: NormBall, point: Tensor, normal: Tensor, radius: Tensor) -> Tensor:
    """Where a line from x touches the ball of that radius (B,) around the point, in the plane of both and the normal, on its side.

    With R the radius, d the distance to x and f the part of the normal across the way there, a step of R (R/d back to x + sqrt(1 -
    R^2/d^2) f), which is what the angles of Ma et al. 2021, section 3, come to. No radius more than half the
    distance, because at d that is x itself.
    """
    away = (ball.x - point).flatten(1)
    distance: Tensor = away.norm(dim=1).clamp_min(1e-30)
    towards = away / distance[:, None]
    up = across(unit((normal if ball.free is None else normal * ball.free).flatten(1)), towards)
    cosine = (radius / distance).clamp_max(0.5)
    step = towards * cosine[:, None] + up * (1 - cosine.square()).sqrt()[:, None]
    return torch.addcmul(point, step.view_as(point), wide(cosine * distance, point))


def tangent(
    queries: int = 10_000,
    steps: int = 100,
    draws: int = 40,
    directions: str = "full",
    reduction: float = 4.0,
    grow: bool = True,
    stop: bool = False,
) -> HopSkipJump:
    """Tangent Attack: HopSkipJump that jumps to where a line from x touches a ball around the point, on the side of the normal. L2.

    Ma et al., Finding optimal tangent points for reducing distortions of hard-label attacks, NeurIPS 2021, arXiv:2111.07492, algorithm 1,
    whose ball is a hemisphere over the boundary's plane: of all points of it, from there the way back to x meets the plane nearest to x.
    Deviation: the radius is at most half the distance. Cost: at most `queries` forwards.
    """
    return HopSkipJump(
        queries=queries,
        steps=steps,
        draws=draws,
        directions=directions,
        reduction=reduction,
        grow=grow,
        jump="tangent",
        stop=stop,
    )


def qeba(
    queries: int = 10_000,
    steps: int = 100,
    directions: str = "dct",
    reduction: float = 4.0,
    grow: bool = True,
    draws: int = 40,
    stop: bool = False,
) -> HopSkipJump:
    """QEBA: HopSkipJump whose probes lie in a subspace, of low frequencies (dct: QEBA-F) or of small images (resized: QEBA-S).

    Li et al., CVPR 2020, arXiv:2005.14137, section 3.2. Deviation: the subspace grows with the probes (`grow`), because on small images one
    of a fixed reduction is a limit that is soon reached. QEBA-I, whose subspace is learned from the gradients of other networks, is not
    here. Cost: at most `queries` forwards.
    """
    return HopSkipJump(
        queries=queries, steps=steps, directions=directions, reduction=reduction, grow=grow, draws=draws, stop=stop
    )
