"""CGBA: estimate the boundary's normal from labels alone, and search the boundary on a half circle in its plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.asker import Asker, half_circle, narrowed, nearer, segment, widened
from ...core.directions import bundle, directions
from ...core.oracle import Access
from ...core.problem import Problem
from ...errors import InputError
from ...kernels.circles import unit

_SIDE = 16  # frequencies a side that are always kept: an image of 32 pixels has no use for fewer
_WIDEST = 0.95 * math.pi / 2


@dataclass(frozen=True, kw_only=True)
class CGBA:
    """Estimate the normal of the boundary at a point, then look for the boundary on a half circle from there to x in the plane of both.

    Reza et al., ICCV 2023, arXiv:2308.03163: CGBA (algorithm 1) for boundaries that curve little, and with `curved` CGBA-H, which goes down
    from half the angle to the normal and straight back to x, for those that curve much, as those of a target class do. The normal is
    estimated among low frequencies (section 3.1). Deviations: the noise is a part of the distance, and so is how near the boundary is
    approached (the paper's are absolute); at least 16 frequencies a side are kept; the labels' mean is taken off (a point beside the
    boundary sees more of one); the angles asked about begin with twice the last that was found (CGBA); the nearest of `tries` random
    directions more is the start. L2. Begins at `starts`, if given. Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    draws: int = 30  # labels for the first normal; sqrt(t) times that for the t-th
    reduction: float = 4.0  # of the frequencies along each side this part is used
    probe: float = 0.01  # length of the noise, as a part of the distance
    tries: int = 32
    curved: bool = False
    stop: bool = False  # leave inside the radius, if that is finite

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Reza et al. 2023, arXiv:2308.03163"

    def __post_init__(self) -> None:
        if self.queries < 3:
            raise InputError(f"queries={self.queries} cannot look at a start; give 3 or more")
        if self.draws < 1 or self.tries < 0:
            raise InputError(f"draws={self.draws}, tries={self.tries}: give at least one draw, and no negative number")
        if not self.reduction >= 1:
            raise InputError(f"reduction={self.reduction:g} would make images larger; give 1 or more, such as 4")
        if not 0 < self.probe < 1:
            raise InputError(f"probe={self.probe:g} is no part of a distance; give one between 0 and 1, such as 0.01")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        whole = asker = Asker.of(problem, problem.ball("CGBA", "l2"), self.queries, self.stop)
        asker = asker.select((asker.begin(draws=100) & asker.open).nonzero().squeeze(1))
        nearer(asker, self.tries)
        precision = self._precision(tuple(problem.x.shape[1:]))
        point = _straight(asker, asker.point, precision)
        reach = torch.full_like(asker.enough, math.pi / 4)
        step = 0
        while True:
            stay = asker.open.nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point, reach = asker.select(stay), point[stay], reach[stay]
            if not len(stay):
                return whole.finish()
            normal = self._normal(asker, point, int(self.draws * math.sqrt(step + 1)), step)
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
        return _straight(asker, path(good), precision)

    def _normal(self, asker: Asker, point: Tensor, count: int, step: int) -> Tensor:
        """(B, N) the mean of `count` draws of noise, those that win less those that do not."""
        ball, shape = asker.ball, tuple(point.shape[1:])
        streams, many = asker.problem.streams.fork(step), bundle(math.prod(shape))
        length = self.probe * (point - ball.x).flatten(1).norm(dim=1)[:, None]
        sums, votes = point.new_zeros(asker.count, 2, math.prod(shape)), point.new_zeros(asker.count, 2)
        for start in range(0, count, many):
            noise = directions(streams, shape, many, "dct", self._cut(shape))[:, : count - start].to(point.dtype)
            noise *= (length / noise.flatten(2).norm(dim=2).clamp_min(1e-30)).view(*noise.shape[:2], *(1,) * len(shape))
            noise += point[:, None]
            torch.clamp(noise, ball.lower[:, None], ball.upper[:, None], out=noise)
            here = asker.together(noise, asker.open).to(noise.dtype).mul_(2).sub_(1)
            noise -= point[:, None]
            vote = torch.stack([here, torch.ones_like(here)], 1)
            sums.baddbmm_(vote, noise.flatten(2))
            votes += vote.sum(2)
        mean = votes[:, :1] / votes[:, 1:]
        return sums[:, 0] - torch.where(mean.abs() < 1, mean, 0) * sums[:, 1]

    def _cut(self, shape: tuple[int, ...]) -> float:
        return max(1.0, min(self.reduction, min(shape[-2:]) / _SIDE))

    def _precision(self, shape: tuple[int, ...]) -> float:
        """How near the boundary is approached: a third of what the noise makes along the normal."""
        return 0.3 * self.probe / math.sqrt(math.prod(shape) / self._cut(shape) ** min(len(shape), 2))


def _straight(asker: Asker, point: Tensor, precision: float) -> Tensor:
    """The boundary between x and the winning point."""
    path, one = segment(asker.ball, point), torch.ones_like(asker.enough)
    return path(narrowed(asker, path, one, torch.zeros_like(one), one * precision, asker.open))
