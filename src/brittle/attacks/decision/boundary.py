"""The boundary attack: a random walk along the boundary, ever nearer to x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.approach import nearest_start
from ..parts.asker import Asker
from ..parts.directions import bundle, check_directions, directions
from ..parts.options import at_least, between, positive

_TOLERANCE = 1e-3  # how near the boundary the walk begins, as a share of the way to x
_TOGETHER = 16  # directions that are drawn at a time
_WINS, _STAYS = 0.25, 0.4  # share of steps, and of steps along the sphere, that are to win


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Boundary attack: a random step along the sphere around x, then a little towards x, taken where that still wins.

    Brendel, Rauber and Bethge, ICLR 2018, arXiv:1712.04248, algorithm 1 and section 2.3, where the two lengths of a step follow how often
    steps win. L2.

    Deviations: the lengths change a little after every step (times 1.1^0.75 or 1.1^-0.25), not by half after a window of 30 to 100 steps,
    which most budgets hardly fill; a quarter of the steps is to win, and of the points on the sphere, looked at every tenth step, two
    fifths, not a half, above which the attack may stand still. The walk begins on the boundary, at the starts of `hop_skip_jump`. It never
    ends by itself. No sample waits for another. Cost: at most `queries` forwards.
    """

    queries: int = 10_000  # the most forwards a sample is charged
    sideways: float = 0.1  # first length of a step along the sphere, as a share of its radius; paper: delta
    inwards: float = 0.01  # first length of a step towards x, likewise; paper: epsilon
    adapt: float = 1.1  # how fast the lengths follow the share of steps that win
    check: int = 10  # every so many steps the point on the sphere is asked about too
    directions: str = "full"  # of the steps: full, dct (low frequencies), resized (small images enlarged)
    reduction: float = 4.0  # of each side of the image, for dct and resized
    starts: int = 100  # random inputs tried for a start
    looks: int = 40  # and then, to begin nearer to x, unless the problem has starts; at most a twentieth of the queries
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Brendel et al. 2018, arXiv:1712.04248"

    def __post_init__(self) -> None:
        at_least(self, queries=3, starts=1, check=1)
        between(self, 0, 1, "inwards")
        check_directions(self)
        positive(self, "sideways")
        at_least(self, adapt=1, why="would take longer steps where they fail")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        everyone = Asker.of(problem, problem.ball("boundary", "l2"), self.queries, self.stop)
        asker, point = nearest_start(everyone, self.starts, min(self.looks, self.queries // 20), _TOLERANCE)
        shape = tuple(point.shape[1:])
        many = min(bundle(math.prod(shape)), _TOGETHER)
        walk = _Walk(point, *(torch.full_like(asker.enough, length) for length in (self.sideways, self.inwards)))
        step = 0
        while True:
            stay = asker.open.nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, walk = asker.select(stay), walk.select(stay)
            if not len(stay):
                return everyone.finish()
            streams = asker.problem.streams.fork(step // many)
            noise = directions(streams, shape, many, self.directions, self.reduction).to(point.dtype).flatten(2)
            if asker.ball.free is not None:
                noise *= asker.ball.free.flatten(1)[:, None]
            for turn in noise.unbind(1):
                self._step(asker, walk, turn, step)
                step += 1

    def _step(self, asker: Asker, walk: _Walk, turn: Tensor, step: int) -> None:
        """Try one step (B, N) of the walk, and note what it says of the lengths; who has no question left stays."""
        away = (walk.point - asker.ball.x).flatten(1)
        square = away.square().sum(1).clamp_min(1e-30)
        turn = torch.addcmul(turn, away, ((turn * away).sum(1) / square)[:, None], value=-1)
        turn *= (walk.sideways * square.sqrt() / turn.norm(dim=1).clamp_min(1e-30))[:, None]
        turned, on_sphere = away + turn, (1 + walk.sideways.square()).rsqrt()
        checked = asker.open
        tried = _at(asker.ball, turned, on_sphere * (1 - walk.inwards))
        won = asker.wins(tried, checked)
        walk.point = torch.where(wide(won, tried), tried, walk.point)
        if step % self.check == 0:
            stayed = asker.wins(_at(asker.ball, turned, on_sphere), checked)
            walk.sideways = (walk.sideways * _change(self.adapt**self.check, stayed, _STAYS)).clamp_max(1)
        walk.inwards = (walk.inwards * _change(self.adapt, won, _WINS)).clamp_max(0.5)


@dataclass(eq=False)
class _Walk:
    """Where each sample is, and how long its steps are."""

    point: Tensor  # (B, *S)
    sideways: Tensor  # (B,)
    inwards: Tensor  # (B,)

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(self.point[rows], self.sideways[rows], self.inwards[rows])


def _at(ball: NormBall, away: Tensor, share: Tensor) -> Tensor:
    """x + share * away (B, N), in the box."""
    point = (away * share[:, None]).view_as(ball.x).add_(ball.x)
    return torch.clamp(point, ball.lower, ball.upper, out=point)


def _change(rate: float, won: Tensor, share: float) -> Tensor:
    """Factors (B,) that leave a length as it is, in the long run, where this share of its steps wins."""
    return torch.where(won, rate ** (1 - share), rate**-share)
