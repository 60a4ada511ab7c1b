"""CGBA: estimate the boundary's normal from labels alone, and search the boundary on a half circle in its plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...kernels.circles import unit
from ..parts import directions as subspace
from ..parts.approach import back, nearest_start
from ..parts.asker import Asker, half_circle, narrowed, widened
from ..parts.normal import estimated_normal
from ..parts.options import at_least, between

_WIDEST = 0.95 * math.pi / 2


@dataclass(frozen=True, kw_only=True)
class CGBA:
    """Estimate the normal of the boundary at a point, then look for the boundary on a half circle from there to x in the plane of both.

    Reza et al., ICCV 2023, arXiv:2308.03163: CGBA (algorithm 1) for boundaries that curve little, and with `curved` CGBA-H, which goes down
    from half the angle to the normal and straight back to x, for those that curve much, as those of a target class do. The normal is
    estimated among low frequencies (section 3.1). Deviations: the noise is a part of the distance, and so is how near the boundary is
    approached (the paper's are absolute); more frequencies are taken in the more has been asked, because those of a fixed reduction are a
    limit that is soon reached; the labels' mean is taken off (a point beside the boundary sees more of one); the angles asked about begin
    with twice the last that was found; the nearest of `looks` random directions more is the start. L2. Begins at `starts`, if given. Cost:
    at most `queries` forwards.
    """

    queries: int = 10_000
    draws: int = 30  # labels for the first normal; sqrt(t) times that for the t-th
    directions: str = "dct"  # of the noise: dct (low frequencies), full, resized (small images enlarged)
    reduction: float = 4.0  # of each side, at first
    probe: float = 0.01  # length of the noise, as a part of the distance
    looks: int = 32  # at most a twentieth of the queries
    curved: bool = False  # CGBA-H
    stop: bool = False  # leave inside the radius, if that is finite

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Reza et al. 2023, arXiv:2308.03163"

    def __post_init__(self) -> None:
        at_least(self, queries=3, draws=1, looks=0)
        between(self, 0, 1, "probe")
        subspace.check_directions(self)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        whole = Asker.of(problem, problem.ball("CGBA", "l2"), self.queries, self.stop)
        shape = tuple(problem.x.shape[1:])
        precision = self.probe / math.sqrt(max(math.prod(shape), 1))  # what the noise does along the normal
        asker, point = nearest_start(whole, 100, min(self.looks, self.queries // 20), precision)
        reach = torch.full_like(asker.enough, math.pi / 4)
        step = asked = 0
        while True:
            stay = asker.open.nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point, reach = asker.select(stay), point[stay], reach[stay]
            if not len(stay):
                return whole.finish()
            draws = int(self.draws * math.sqrt(step + 1))
            asked += draws
            reduction = subspace.widened(self.reduction, shape, asked)
            length = self.probe * (point - asker.ball.x).flatten(1).norm(dim=1)
            streams = asker.problem.streams.fork(step)
            normal = estimated_normal(asker, point, length, draws, streams, self.directions, reduction).flatten(1)
            if self.curved:
                point = self._down(asker, point, normal, precision)
            else:
                path = half_circle(asker.ball, point, normal)
                good, bad = widened(asker, path, reach, _WIDEST, asker.open)
                angle = narrowed(asker, path, good, bad, torch.full_like(good, precision), asker.open)
                reach = (2 * angle).clamp(8 * precision, math.pi / 4)
                point = path(angle)
            step += 1

    def _down(self, asker: Asker, point: Tensor, normal: Tensor, precision: float) -> Tensor:
        """CGBA-H: half the angle between normal and point, a quarter, ... until one wins; from there straight to x (equation 9)."""
        path = half_circle(asker.ball, point, normal)
        angle = (unit(normal) * unit((point - asker.ball.x).flatten(1))).sum(1).clamp(-1, 1).acos()
        good, wanted = torch.zeros_like(angle), asker.open
        while bool(wanted.any()):
            angle = angle / 2
            here = asker.wins(path(angle), wanted)
            good = torch.where(here, angle, good)
            wanted = wanted & ~here & (angle > precision) & asker.open
        return back(asker, path(good), precision, asker.open)
