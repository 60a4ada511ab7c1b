"""Sparse-RS: random search over which pixels change, and to which corner of the colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.squares import planes
from ..parts.climb import Climb
from ..parts.options import at_least, between

# After so many of 10,000 queries, the share of the pixels that are exchanged is the first one over this: the authors' schedule.
SCHEDULE = ((0, 1), (1, 2), (51, 4), (201, 5), (501, 6), (1001, 8), (2001, 10), (4001, 12), (6001, 15), (8001, 20))
RECOLOURED = 0.2  # of the queries give changed pixels other colours


@dataclass(frozen=True, kw_only=True)
class SparseRS:
    """Repeat: give some changed pixels their colours back, send as many others to random corners of the box; keep it if the loss rises.

    Croce et al., Sparse-RS: a versatile framework for query-efficient sparse black-box adversarial attacks, AAAI 2022, arXiv:2006.12834,
    algorithm 2. Changes as many pixels as their channels fit into the radius; with `pixels` false each channel counts for itself, the
    paper's feature space, which is also what is left where the radius is smaller than a pixel.

    Deviations: every fifth query, on average, gives changed pixels of several channels other colours in place, without which a right pixel
    of a wrong colour stays so. Each sample has random numbers of its own; the pixels that are changed next are neighbours in an order
    that is drawn once.
    Cost: at most `queries` forwards. Norm: l0.
    """

    queries: int = 5000
    share: float = 0.3  # of the changed pixels, exchanged at first (paper: alpha_init; 0.1 for targets)
    pixels: bool = True
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce et al. 2022, arXiv:2006.12834"

    def __post_init__(self) -> None:
        at_least(self, queries=1)
        between(self, 0, 1, "share", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, point = problem.ball("sparse_rs", "l0"), problem.region.origin.clone()
        channels = planes(ball.x)[0]
        whole = (ball.radius >= channels) & self.pixels
        for chosen, together in ((whole, channels), (~whole & (ball.radius >= 1), 1)):
            rows = chosen.nonzero().squeeze(1)
            if len(rows):
                point[rows] = self._search(problem.select(rows), together)
        return point

    def _search(self, problem: Problem, channels: int) -> Tensor:
        """Changes whole pixels, of so many features each."""
        pixels = _Pixels.drawn(problem.ball("sparse_rs", "l0"), channels, problem.streams)
        climb = Climb(problem, self.loss)
        for asked in range(self.queries):
            ball, streams = climb.problem.ball("sparse_rs", "l0"), climb.problem.streams
            if asked == 0:
                out, into = pixels.all_changed()
            else:
                out, into = pixels.exchange(self._share(asked), streams)
            reply = climb.offer(pixels.recoloured(ball, climb.point, out, into, streams))
            if not len(climb):
                break
            pixels.swap(reply.taken, out, into)
            pixels = pixels if reply.stay is None else pixels.select(reply.stay)
        return climb.finish()

    def _share(self, asked: int) -> float:
        return self.share / next(part for first, part in reversed(SCHEDULE) if asked * 10_000 // self.queries >= first)


@dataclass(eq=False)
class _Pixels:
    """Which pixels of B samples are changed: the first `count` (B,) of `order` (B, P); the next `rest` (B,) of them may be instead."""

    channels: int
    order: Tensor
    count: Tensor
    rest: Tensor

    @classmethod
    def drawn(cls, ball: NormBall, channels: int, streams: Streams) -> _Pixels:
        shape = (len(ball.x), channels, -1)
        free = (ball.lower < ball.upper).expand_as(ball.x).reshape(shape).any(1)
        order = torch.where(free, streams.uniform((free.shape[1],)), 2.0).argsort(dim=1, stable=True)
        count = torch.minimum((ball.radius / channels).floor().long(), free.sum(1))
        return cls(channels, order, count, free.sum(1) - count)

    def all_changed(self) -> tuple[Tensor, Tensor]:
        """Places in `order` (B, M) twice; rows with fewer repeat their first."""
        lane = torch.arange(int(self.count.max()), device=self.order.device).expand(len(self.order), -1)
        place = torch.where(lane < self.count[:, None], lane, 0)
        return place, place

    def exchange(self, share: float, streams: Streams) -> tuple[Tensor, Tensor]:
        """Places in `order` (B, M) of changed pixels, and of as many others; or the same, for other colours."""
        many = torch.minimum((self.count * share).long().clamp_min_(1), self.rest.clamp_min(1))
        u = streams.uniform((2 + int(self.count.max()),))
        lane = torch.arange(int(many.max()), device=u.device).expand(len(u), -1)
        lane = torch.where(lane < many[:, None], lane, 0)
        beyond = torch.arange(u.shape[1] - 2, device=u.device) >= self.count[:, None]
        out = u[:, 2:].masked_fill(beyond, 2.0).argsort(dim=1, stable=True).gather(1, lane)
        rest = self.rest[:, None]
        into = self.count[:, None] + ((u[:, :1] * rest).long() + lane) % rest.clamp_min(1)
        stay = (rest == 0) | (u[:, 1:2] < (RECOLOURED if self.channels > 1 else 0))
        return out, torch.where(stay, out, into)

    def recoloured(self, ball: NormBall, point: Tensor, out: Tensor, into: Tensor, streams: Streams) -> Tensor:
        """The point with the pixels at `out` as in x, those at `into` at random corners of the box; a single one moves in any case."""
        x, here = ball.x.flatten(1), point.flatten(1)
        low, high = (limit.expand_as(point).flatten(1) for limit in (ball.lower, ball.upper))
        back, there = self._features(out), self._features(into)
        up = streams.uniform((into.shape[1] * self.channels,)).view(len(x), -1, self.channels) < 0.5
        least, most = low.gather(1, there.flatten(1)).view_as(there), high.gather(1, there.flatten(1)).view_as(there)
        colour, before = torch.where(up, most, least), here.gather(1, there.flatten(1)).view_as(there)
        if into.shape[1] == 1:
            colour = torch.where((colour == before).all(2, keepdim=True), torch.where(up, least, most), colour)
        new = here.scatter(1, back.flatten(1), x.gather(1, back.flatten(1)))
        return new.scatter_(1, there.flatten(1), colour.flatten(1)).view_as(point)

    def swap(self, taken: Tensor, out: Tensor, into: Tensor) -> None:
        """What was changed instead of what, for the rows where it was taken (B,) bool."""
        before, after = self.order.gather(1, out), self.order.gather(1, into)
        order = self.order.scatter(1, out, after).scatter_(1, into, before)
        self.order = torch.where(taken[:, None], order, self.order)

    def select(self, rows: Tensor) -> _Pixels:
        return _Pixels(self.channels, self.order[rows], self.count[rows], self.rest[rows])

    def _features(self, place: Tensor) -> Tensor:
        """(B, M, channels)"""
        first = torch.arange(self.channels, device=place.device) * self.order.shape[1]
        return self.order.gather(1, place)[..., None] + first
