"""Many runs of a minimum-norm attack, each from another place far away from x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, NormBall, Problem
from ...errors import InputError
from ..parts.directions import directions
from ..parts.options import at_least
from .answers import offer_answer


@dataclass(frozen=True, kw_only=True)
class FarStarts:
    """A minimum-norm attack from x and from `starts` far places; the smallest point wins. Then `polish`, if any, from that point.

    Training against an attack, or towards a proof, bends the loss around x: the gradient there leads to boundaries that are far away, and
    nearly all minimum-norm attacks stall at 1.3 to 2 times the distance of the nearest one. Seen from outside the boundary is as simple as
    that of any network. So the attack walks in from where x is wrong: x blended with uniform noise by 1/4, 1/2, 3/4 and 1, and x plus
    noise of low frequency (half the input range at one standard deviation), in turn. Which place is best differs from sample to sample;
    measured in benchmarks/RESULTS.md, many short runs beat a long one. This is brittle's own; the nearest relatives are the starts of
    Brendel et al., NeurIPS 2019, arXiv:1907.01003, and the restarts of Croce and Hein, ICML 2020, arXiv:1907.02044.

    Cost: (1 + starts) x (that of the attack + 1 forward), and that of `polish` + 1 forward.
    """

    attack: Attack
    starts: int = 12
    polish: Attack | None = None

    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "brittle"

    def __post_init__(self) -> None:
        at_least(self, starts=0)
        for part in (self.attack, self.polish):
            if part is not None and not part.minimises:
                raise InputError("FarStarts is for attacks that minimise; put Bisect around one at a fixed budget")

    @property
    def access(self) -> Access:
        """That of the more demanding part."""
        return Access.most(self.attack.access, *(() if self.polish is None else (self.polish.access,)))

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("FarStarts")
        best = Incumbent.at(ball.x)
        rows = torch.arange(len(ball.x), device=ball.x.device)
        for run in range(self.starts + 1):
            part = problem.select(rows).forked(run)
            if run:
                part = part.starting(far_place(part, run - 1))
            offer_answer(best, part, self.attack(part), rows, minimises=True)
            if run == 0:  # what is won untouched cannot be smaller
                rows = (best.size > 0).nonzero().squeeze(1)
            if not len(rows):
                return best.point
        if self.polish is not None:
            rows = (best.found & (best.size > 0)).nonzero().squeeze(1)
            if len(rows):
                part = problem.select(rows).forked(self.starts + 1).starting(best.point[rows])
                offer_answer(best, part, self.polish(part), rows, minimises=True)
        return best.point


def far_place(problem: Problem, place: int) -> Tensor:
    """Inputs (B, *S) of the box, far from x: blends with uniform noise and noise of low frequency, in turn."""
    ball: NormBall = problem.ball("FarStarts")
    x, shape, wide = ball.x, tuple(ball.x.shape[1:]), ball.upper - ball.lower
    if place % 2:
        noise = directions(problem.streams, shape, 1, "resized", 4.0)[:, 0].to(x.dtype)
        return torch.clamp(x + noise * wide / 2, ball.lower, ball.upper)
    noise = ball.lower + wide * problem.streams.uniform(shape).to(x.dtype)
    return torch.clamp(torch.lerp(x, noise, (place // 2 % 4 + 1) / 4), ball.lower, ball.upper)
