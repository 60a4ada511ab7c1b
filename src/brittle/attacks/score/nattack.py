"""NAttack: move the mean of a Gaussian whose samples, squashed into the box and the ball, are to win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.climb import kept
from ..parts.options import at_least, positive
from ..parts.population import asked_together, projected

SLICE = 16  # samples of the Gaussian asked about at a time; after each, those that are won leave
STEEP = 0.76  # of the way from the middle of the box to its edge: beyond, tanh is too flat to move anything


@dataclass(frozen=True, kw_only=True)
class NAttack:
    """Repeat: draw a population around a mean in tanh space, ask about its points in the ball, move the mean where the loss was higher.

    Li et al., NATTACK, ICML 2019, arXiv:1905.00441, algorithm 1: the mean goes by step_size / (population * sigma) times the sum of the
    noises, each weighted by its loss less the mean loss, in standard deviations of the losses.

    Deviations: pixels nearer to the edge of the box than an eighth of it begin as if they were that far from it (the change is what is
    added to x, as in the authors' code), because the noise hardly moves a black pixel; the mean itself is one of the population, where the
    authors ask about it every tenth time; it begins at x rather than 0.001 away from it; smaller populations and longer steps, which need a
    fraction of the queries. Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    population: int = 20  # paper: 300
    sigma: float = 0.1  # of the noise, in tanh space
    step_size: float = 0.1  # paper: eta, 0.02
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Li et al. 2019, arXiv:1905.00441"

    def __post_init__(self) -> None:
        at_least(self, queries=1, population=3)
        positive(self, "sigma", "step_size")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("nattack", "linf", "l2", "l1")
        best, rows = Incumbent.at(ball.origin), torch.arange(len(ball.x), device=ball.x.device)
        here = _squashed(ball, ball.x)
        base = here.clamp(-STEEP, STEEP)
        mean = base.atanh()
        if problem.starts is not None:
            mean = (base + _squashed(ball, problem.starts) - here).clamp_(-0.999, 0.999).atanh_()
        asked, place = 0, 0
        weighted, drawn = (
            torch.zeros_like(mean),
            torch.zeros_like(mean),
        )  # sums over the population: loss * noise, and noise
        losses = mean.new_zeros(len(rows), 0)  # less the loss of the mean
        middle = losses[:, :1]
        while asked < self.queries and len(rows):
            many = min(SLICE, self.population - place, self.queries - asked)
            noise = problem.streams.normal((many, *mean.shape[1:])).to(mean.dtype)
            if place == 0:
                noise[:, 0] = 0
            points = _points(problem.ball("nattack"), mean, base, noise, self.sigma)
            height, won = asked_together(problem, points, self.loss, best, rows)
            asked, place = asked + many, place + many
            middle = height[:, :1] if place == many else middle
            gain = (height - middle).nan_to_num_(0.0, 0.0, 0.0).to(mean.dtype)
            weighted += torch.bmm(gain[:, None], noise.flatten(2)).view_as(mean)
            drawn += noise.sum(1)
            losses = torch.cat([losses, gain], 1)
            if bool(won.any()):
                stay = (~won).nonzero().squeeze(1)
                problem, rows = problem.select(stay), rows[stay]
                mean, base, weighted, drawn, losses, middle = kept(stay, mean, base, weighted, drawn, losses, middle)
            if place == self.population and len(rows):
                step = weighted.addcmul_(drawn, wide(losses.mean(1), drawn), value=-1)
                scale = losses.std(1).clamp_min(torch.finfo(mean.dtype).tiny).reciprocal_()
                mean.addcmul_(step, wide(scale, step), value=self.step_size / (self.population * self.sigma))
                weighted, drawn, losses, place = torch.zeros_like(mean), torch.zeros_like(mean), losses[:, :0], 0
        return best.point


def _squashed(ball: NormBall, point: Tensor) -> Tensor:
    """Where the points lie in the box, from -1 to 1; zero where the box has no width."""
    half = (ball.upper - ball.lower) / 2
    return (point - (ball.upper + ball.lower) / 2) / half.clamp_min(torch.finfo(point.dtype).tiny)


def _points(ball: NormBall, mean: Tensor, base: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """The points (B, M, *S) of mean + sigma * noise, back from tanh space: what differs from `base` is added to x, and projected."""
    moved = torch.add(mean[:, None], noise, alpha=sigma).tanh_().sub_(base[:, None])
    half = ((ball.upper - ball.lower) / 2)[:, None]
    return projected(ball, moved.mul_(half).add_(ball.x[:, None]))
