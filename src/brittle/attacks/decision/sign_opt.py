"""Sign-OPT: shorten the way to the boundary by turning its direction, down an estimate that needs one label a draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.approach import nearest_start
from ..parts.asker import Asker, Path, narrowed, segment, widened
from ..parts.normal import estimated_normal
from ..parts.options import at_least, between, positive

_TURNS = 15  # longer or shorter ones, in a step
_GAIN = 0.005  # by how much a turn must shorten the way; half of it after every step without gain
_PATIENCE = 10  # steps without gain


@dataclass(frozen=True, kw_only=True)
class SignOPT:
    """Ask of random directions u whether x + g (theta + probe u) wins, g the distance along theta; turn theta to where those lie that win.

    Cheng et al., ICLR 2020, arXiv:1909.10773, algorithm 1: the sum of the signs times u is the estimate, and a line search doubles the
    turn while g falls, or divides it by four until g falls. L2, and Linf, where the turned point is clipped to the ball it came from.

    Deviations: a turn is asked about at a distance less by half a percent, one forward where the original bisects, and the new distance
    is looked for in steps that double; the mean of the signs is taken off; 100 draws rather than 200, and where a step brought nothing, its
    draws count in the next (at 200 a step, half as many steps); the smallest distance that is told apart is a part of g; `looks` random
    directions rather than 100 gaussian ones for the start. Begins at `starts`, if given. Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    draws: int = 100  # paper: Q
    turn: float = 1.0  # first length of a turn, as a part of the distance
    probe: float = 0.01  # paper: epsilon
    looks: int = 100  # at most a twentieth of the queries
    stop: bool = False  # leave inside the radius, if that is finite

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Cheng et al. 2020, arXiv:1909.10773"

    def __post_init__(self) -> None:
        at_least(self, queries=3, draws=1, looks=0)
        between(self, 0, 1, "probe")
        positive(self, "turn")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        whole = Asker.of(problem, problem.ball("Sign-OPT", "l2", "linf"), self.queries, self.stop)
        precision = min(self.probe / math.sqrt(max(problem.x[:1].numel(), 1)), _GAIN / 5)
        asker, point = nearest_start(whole, 100, min(self.looks, self.queries // 20), precision)
        turn, stuck = torch.full_like(asker.enough, self.turn), torch.zeros_like(asker.left)
        learnt = torch.zeros_like(point)  # of the normal at the point, in this step and those before it without gain
        step = 0
        while True:
            stay = (asker.open & (stuck < _PATIENCE)).nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, point, learnt = asker.select(stay), point[stay], learnt[stay]
                turn, stuck = turn[stay], stuck[stay]
            if not len(stay):
                return whole.finish()
            length = self.probe * (point - asker.ball.x).flatten(1).norm(dim=1)
            learnt += estimated_normal(asker, point, length, self.draws, asker.problem.streams.fork(step))
            gain = (_GAIN * 0.5**stuck).to(turn.dtype).clamp_min(precision)
            point, turn, gained = _turned(asker, point, learnt, turn, gain, precision)
            learnt *= wide(~gained, learnt)
            turn, stuck = torch.where(gained, turn, self.turn), torch.where(gained, 0, stuck + 1)
            step += 1


def _turned(
    asker: Asker, point: Tensor, normal: Tensor, turn: Tensor, gain: Tensor, precision: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Line search: turns twice as long while the way gets shorter; if the first did not help, a quarter as long until one does.

    The points (B, *S) on the boundary, the last turns that helped (B,), and whether any did (B,) bool.
    """
    ball = asker.ball
    size, ahead = ball.norm.size(point - ball.x), _steepest(asker, normal)
    best, lost = point, torch.zeros_like(size)  # the shortest way that wins, and the part of it that does not
    gained = shrinking = torch.zeros_like(asker.open)
    longer, going = turn, asker.open
    for attempt in range(_TURNS):
        moved = ball.within(size).project(torch.addcmul(point, ahead, wide(longer * size, point)))
        reach = ball.norm.size(best - ball.x) / ball.norm.size(moved - ball.x).clamp_min(1e-30)
        here, there, bad = _shortened(asker, segment(ball, moved), reach, gain, going)
        best = torch.where(wide(here, best), there, best)
        lost, turn, gained = torch.where(here, bad, lost), torch.where(here, longer, turn), gained | here
        shrinking = shrinking | ~here if attempt == 0 else shrinking
        going = going & asker.open & (here ^ shrinking)
        if not bool(going.any()):
            break
        longer = torch.where(shrinking, longer / 4, longer * 2)
    way, one = segment(ball, best), torch.ones_like(size)
    return way(narrowed(asker, way, one, lost, one * precision, gained)), turn, gained


def _shortened(asker: Asker, way: Path, reach: Tensor, gain: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether the way wins by `gain` before `reach` (B,), the points found there in steps that double, and the part of it that lost."""
    good, bad = widened(asker, lambda part: way(reach * (1 - part)), gain, 1.0, wanted)
    return good > 0, way(reach * (1 - good)), (1 - bad) / (1 - good).clamp_min(1e-6)


def _steepest(asker: Asker, normal: Tensor) -> Tensor:
    """The normal at length 1; where the ball is a box, at a mean of 1: it is clipped to the sign of what is long enough."""
    if asker.ball.norm.nearest is None:
        length = normal.flatten(1).abs().mean(1)
    else:
        length = asker.ball.norm.size(normal)
    return normal / wide(length, normal).clamp_min(1e-30)
