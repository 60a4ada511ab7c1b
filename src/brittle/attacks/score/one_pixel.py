"""The one-pixel attack: differential evolution over places and colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.squares import planes
from ..parts.options import at_least, positive
from ..parts.population import asked_together

SLICE = 16  # candidates of each sample asked about at a time; after each, samples that are won leave


@dataclass(frozen=True, kw_only=True)
class OnePixel:
    """Evolve a population of pixels, each a place and a colour: a child is one parent plus `scale` times the difference of two others.

    Su et al., One pixel attack for fooling deep neural networks, IEEE TEVC 2019, arXiv:1710.08864, equation 3: differential evolution
    without crossover; a child replaces the candidate of its own number if it is better. Changes as many pixels at once as fit into the
    radius with all their channels: one of an RGB image at eps=3.

    Deviations: ends with the first win, on any class if there is no target; a value of a child that leaves its range is drawn anew; places
    whose features may not change are allowed, and change nothing.
    Cost: at most `queries` forwards. Norm: l0.
    """

    queries: int = 40_400  # the paper's 101 generations of 400
    population: int = 400
    scale: float = 0.5  # paper: F
    loss: str = "cross_entropy"  # orders candidates as the probability does, which the paper compares

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Su et al. 2019, arXiv:1710.08864"

    def __post_init__(self) -> None:
        at_least(self, queries=1)
        at_least(self, population=4, why="is too few, a child has three parents")
        positive(self, "scale")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, best = problem.ball("one_pixel", "l0"), Incumbent.at(problem.region.origin)
        channels, height, width = planes(ball.x)
        count = (ball.radius / channels).floor().clamp_max(height * width).long()
        rows = (count >= 1).nonzero().squeeze(1)
        if not len(rows):
            return best.point
        problem, count = problem.select(rows), count[rows]
        children = _born(problem.streams, int(count.max()), self.population, 2 + channels)
        adults, worth = children.clone(), children.new_full((len(rows), self.population), -math.inf)
        asked = 0
        while asked < self.queries and len(rows):
            first = asked % self.population
            if first == 0 and asked:
                children = _bred(adults, self.scale, problem.streams)
            part = slice(first, min(first + SLICE, self.population, first + self.queries - asked))
            seen, won = self._ask(problem, best, rows, count, children[:, part])
            better = seen > worth[:, part]
            worth[:, part] = torch.where(better, seen, worth[:, part])
            adults[:, part] = torch.where(better[..., None, None], children[:, part], adults[:, part])
            asked += part.stop - part.start
            if bool(won.any()):
                left = (~won).nonzero().squeeze(1)
                problem, rows, count = problem.select(left), rows[left], count[left]
                children, adults, worth = children[left], adults[left], worth[left]
        return best.point

    def _ask(
        self, problem: Problem, best: Incumbent, rows: Tensor, count: Tensor, genes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss at candidates (B, M), and whether one wins (B,) bool; the one of the highest margin is offered to `best`."""
        points = _painted(problem.ball("one_pixel", "l0"), genes, count)
        worth, won = asked_together(problem, points, self.loss, best, rows)
        return worth.to(genes.dtype), won


def _born(streams: Streams, pixels: int, population: int, size: int) -> Tensor:
    """The first population (B, M, pixels, 2 + C) in [0, 1]: places uniform, colours Gaussian around the middle of the range."""
    shape = (pixels, population, size)  # pixels first: how many a neighbour may change moves no number
    genes, colour = streams.uniform(shape), streams.normal(shape).mul_(0.5).add_(0.5).clamp_(0, 1)
    genes[..., 2:] = colour[..., 2:]
    return genes.transpose(1, 2).contiguous()


def _bred(adults: Tensor, scale: float, streams: Streams) -> Tensor:
    """A child for each: another one plus `scale` times the difference of two more, equation 3."""
    _, many, pixels, size = adults.shape
    steps = (streams.uniform((many, 3)) * (many - 1 - torch.arange(3, device=adults.device))).long()
    first, second, third = (1 + step for step in steps.unbind(2))  # to the parents: made different, and none is zero
    second = second + (second >= first)
    third = third + (third >= torch.minimum(first, second))
    third = third + (third >= torch.maximum(first, second))
    number = torch.arange(many, device=adults.device)
    one, two, three = (
        adults.gather(1, ((number + step) % many)[..., None, None].expand_as(adults)) for step in (first, second, third)
    )
    child = torch.add(one, two - three, alpha=scale)
    fresh = streams.uniform((pixels, many, size)).transpose(1, 2)
    return torch.where((child >= 0) & (child <= 1), child, fresh)


def _painted(ball: NormBall, genes: Tensor, count: Tensor) -> Tensor:
    """x with the pixels of each candidate (B, M, *S); only the first `count` (B,) of a sample's."""
    channels, height, width = planes(ball.x)
    many, offsets = genes.shape[1], torch.arange(channels, device=genes.device) * (height * width)
    flat = ball.x.flatten(1)[:, None].repeat(1, many, 1)
    low, high = (limit.expand_as(ball.x).flatten(1)[:, None].expand(-1, many, -1) for limit in (ball.lower, ball.upper))
    for pixel in range(genes.shape[2]):  # in order: a later pixel lies over an earlier one
        row, column = (
            (genes[:, :, pixel, way] * size).long().clamp_max_(size - 1) for way, size in enumerate((height, width))
        )
        index = (row * width + column)[..., None] + offsets
        colour = torch.lerp(low.gather(2, index), high.gather(2, index), genes[:, :, pixel, 2:].to(flat.dtype))
        wanted = (pixel < count)[:, None, None]
        flat.scatter_(2, index, torch.where(wanted, colour, flat.gather(2, index)))
    return flat.view(len(flat), many, *ball.x.shape[1:])
