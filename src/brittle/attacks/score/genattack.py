"""GenAttack: a small population of perturbations that breed, mutate, and mutate less the longer they stand still."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.shapes import wide
from ...kernels.squares import planes
from ..parts.climb import kept
from ..parts.options import at_least, positive
from ..parts.population import asked_together, projected

PATIENCE = 100  # generations without a better one until mutations become rarer and smaller, by a tenth
RAREST, SMALLEST = 0.1, 0.15  # and no rarer and smaller than this
OFTEN, LARGE = 0.5, 0.4  # and what they would be in the first place, from the first time on


@dataclass(frozen=True, kw_only=True)
class GenAttack:
    """Repeat: keep the fittest perturbation, breed the others from pairs drawn by their fitness, feature by feature, and mutate some.

    Alzantot et al., GenAttack, GECCO 2019, arXiv:1805.11090, algorithm 1, with its adaptive mutations; `side` is its
    noise on a smaller grid, enlarged bilinearly.

    Deviations: the margin is the fitness, with which any class may win if there is no target, not log p_t - log(1 - p_t); the elite is not
    asked about again, so a generation is one query cheaper; a child's value is mutated to one near it, and kept inside the ball.
    Cost: at most `queries` forwards. Linf.
    """

    queries: int = 10_000
    population: int = 6
    temperature: float = 0.3  # of the softmax over the fitness; less: the fittest have more of the children
    side: int | None = None  # of the perturbations' grid; None: that of the image
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Alzantot et al. 2019, arXiv:1805.11090"

    def __post_init__(self) -> None:
        at_least(self, queries=1, population=2)
        positive(self, "temperature", "side")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("genattack", "linf")
        best, rows = Incumbent.at(ball.origin), torch.arange(len(ball.x), device=ball.x.device)
        channels, *sides = planes(ball.x)
        grid = (channels, *(min(side, self.side or side) for side in sides))
        young = problem.streams.uniform((self.population, *grid)).to(ball.x.dtype).mul_(2).sub_(1)
        if problem.starts is not None:
            young[:, 0] = _on_grid(ball, problem.starts, grid)
        fitness = young.new_zeros(len(rows), 0)
        crowd, still = young[:, :0], torch.zeros_like(rows)
        shrunk = torch.zeros_like(rows)  # how often the mutations became smaller
        asked = 0
        while asked < self.queries and len(rows):
            young = young[:, : self.queries - asked]
            points = _points(problem.ball("genattack"), young)
            height, won = asked_together(problem, points, self.loss, best, rows)
            asked += young.shape[1]
            crowd = torch.cat([crowd, young], 1)
            fitness = torch.cat([fitness, height.clamp_min(torch.finfo(height.dtype).min)], 1)
            if bool(won.any()):
                stay = (~won).nonzero().squeeze(1)
                problem, rows = problem.select(stay), rows[stay]
                crowd, fitness, still, shrunk = kept(stay, crowd, fitness, still, shrunk)
            elite = fitness.argmax(1)
            still = torch.where(elite == 0, still + 1, 0)
            shrunk, still = shrunk + (still >= PATIENCE), still * (still < PATIENCE)
            young = self._bred(crowd, fitness, shrunk, problem.streams)
            place = torch.arange(len(rows), device=rows.device)
            crowd, fitness = crowd[place, elite][:, None], fitness[place, elite][:, None]
        return best.point

    def _bred(self, crowd: Tensor, fitness: Tensor, shrunk: Tensor, streams: Streams) -> Tensor:
        """The children (B, M - 1, *grid) of a crowd (B, M, *grid)."""
        many, grid = self.population - 1, tuple(crowd.shape[2:])
        chance = (fitness / self.temperature).softmax(1)
        u = streams.uniform((many, 2)).to(chance.dtype)
        pair = (chance.cumsum(1)[:, None, None] < u[..., None]).sum(3).clamp_max_(crowd.shape[1] - 1)  # (B, M - 1, 2)
        place = torch.arange(len(crowd), device=crowd.device)[:, None]
        first, second = crowd[place, pair[..., 0]], crowd[place, pair[..., 1]]
        share = chance.gather(1, pair.flatten(1)).view(pair.shape)
        share = share[..., 0] / share.sum(2).clamp_min(torch.finfo(share.dtype).tiny)
        from_first = streams.uniform((many, *grid)) < share.view(*share.shape, *(1,) * len(grid))
        child = torch.where(from_first, first, second)
        less = (math.log(0.9) * shrunk).exp().to(child.dtype).view(-1, 1, *(1,) * len(grid))
        often, large = (OFTEN * less).clamp_min(RAREST), (LARGE * less).clamp_min(SMALLEST)
        change = streams.uniform((many, *grid)).to(child.dtype).mul_(2).sub_(1).mul_(large)
        return child.add_(change.mul_(streams.uniform((many, *grid)) < often)).clamp_(-1, 1)


def _points(ball: NormBall, noise: Tensor) -> Tensor:
    """The points (B, M, *S) of perturbations in radii, on whatever grid."""
    _, height, width = planes(ball.x)
    if noise.shape[-2:] != (height, width):
        small = noise.flatten(0, 1)
        noise = F.interpolate(small, size=(height, width), mode="bilinear").view(*noise.shape[:3], height, width)
    delta = noise * wide(ball.radius, noise)
    return projected(ball, delta.view(*noise.shape[:2], *ball.x.shape[1:]).add_(ball.x[:, None]))


def _on_grid(ball: NormBall, starts: Tensor, grid: tuple[int, ...]) -> Tensor:
    """What differs from x at the starts, in radii, on the grid."""
    delta = (ball.project(starts) - ball.x).view(-1, *planes(ball.x))
    scale = ball.radius.clamp_min(torch.finfo(delta.dtype).tiny).view(-1, 1, 1, 1)
    return F.interpolate(delta / scale, size=grid[1:], mode="area")
