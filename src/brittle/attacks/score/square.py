"""Square Attack: random search with changes of the shape of a square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.shapes import wide
from ...kernels.squares import Shape, bumps, places, planes, sides
from ..parts.climb import Climb, kept
from ..parts.furthest import furthest
from ..parts.options import at_least, between

# of 10,000 queries: after each the squares are half as large
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
POWERS = {"l2": (2, 2), "l1": (1, 4)}  # what is summed up to the size, and how steep the bumps are
BEYOND = 6  # radii to the first bumps of L1, before they are projected: what AutoAttack's are at eps=12 in CIFAR-10
SPAN = 1000  # queries that the halvings span at least
TOGETHER = 16  # queries whose random numbers are drawn at a time


@dataclass(frozen=True, kw_only=True)
class Square:
    """Repeat: change a random square of the image, keep the change if the loss rises; the squares shrink as the queries are used up.

    Andriushchenko et al., ECCV 2020, arXiv:1912.00049: algorithm 1, in Linf algorithm 2 (a sign a channel, the whole radius), in L2
    algorithm 3 (a hill beside a hollow, paid for with what another square gives up); L1 as in Croce and Hein, ICML 2021, arXiv:2103.01208,
    section 4 (algorithm 3 with steeper bumps, projected exactly). Begins with vertical stripes, in L2 and L1 with 5 x 5 bumps.

    Deviations: the best of `draws` beginnings, not one; in L2 the radius is met after clipping to the box, not before; the schedule of the
    halvings spans the queries, as in the authors' later code, but no fewer than 1000, or the squares would be small too soon, unless `span`
    says otherwise (AutoAttack: 10,000); each sample has squares
    of its own; windows of images that are not square have the share of the pixels that a square would have. As in the authors' first
    code, a square that would change nothing gets other signs instead.

    Cost: at most `queries` forwards.
    """

    queries: int = 5000
    share: float = 0.4  # of the pixels, in the first squares (paper: p)
    draws: int = 4
    span: int | None = None  # queries that the halvings span; None: as many as there are, and at least 1000
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Andriushchenko et al. 2020, arXiv:1912.00049"

    def __post_init__(self) -> None:
        at_least(self, queries=1, draws=1, span=1)
        between(self, 0, 1, "share", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("square", "linf", "l2", "l1")
        shape = planes(ball.x)
        begin, change, odd = (_stripes, _square, False) if ball.norm.nearest is None else (_bumps, _bump, True)
        climb, numbers = Climb(problem, self.loss), problem.region.radius
        draws = min(self.draws if problem.starts is None else 1, self.queries)
        for asked in range(self.queries):
            ball, streams = cast(NormBall, climb.problem.region), climb.problem.streams
            if asked < draws:
                starts = climb.problem.starts
                point = begin(ball, shape, streams) if starts is None else ball.project(starts)
            else:
                turn = (asked - draws) % TOGETHER
                if turn == 0:
                    numbers = streams.uniform((TOGETHER, 5 + 2 * shape[0])).to(ball.x.dtype)
                point = change(ball, climb.point, sides(self._share(asked - draws), shape, odd), numbers[:, turn])
            (numbers,) = kept(climb.offer(point).stay, numbers)
            if not len(climb):
                break
        return climb.finish()

    def _share(self, taken: int) -> float:
        """Of the pixels, after so many squares."""
        span = max(self.queries, SPAN) if self.span is None else self.span
        return self.share * 0.5 ** sum(taken * 10_000 // span > halving for halving in HALVINGS)


def _stripes(ball: NormBall, shape: Shape, streams: Streams) -> Tensor:
    """Vertical stripes, each at a corner of the ball."""
    signs = streams.uniform((shape[0], 1, shape[2])).sub_(0.5).to(ball.x.dtype)
    return furthest(ball, signs.expand(-1, *shape).reshape(ball.x.shape))


def _square(ball: NormBall, point: Tensor, window: tuple[int, int], u: Tensor) -> Tensor:
    """Algorithm 2: a window goes to a corner of the ball, with a sign a channel."""
    shape = planes(point)
    place = places(u, window, shape)
    low, high = (limit.flatten(1).gather(1, place.flatten(1)).view(place.shape) for limit in ball.limits)
    flat = point.flatten(1)
    before = flat.gather(1, place.flatten(1)).view(place.shape)
    up, others = u[:, 5:].lt(0.5).chunk(2, dim=1)  # (B, C)
    after = torch.lerp(low, high, up.to(low.dtype)[..., None])
    nothing = (after == before).flatten(1).all(1, keepdim=True)
    turned = nothing & (others | ~others.any(1, keepdim=True))
    after = torch.lerp(low, high, (up ^ turned).to(low.dtype)[..., None])
    return flat.scatter(1, place.flatten(1), after.flatten(1)).view(point.shape)


def _bumps(ball: NormBall, shape: Shape, streams: Streams) -> Tensor:
    """A grid of 5 x 5 bumps."""
    channels, height, width = shape
    tile = (max(height // 5, 1), max(width // 5, 1))
    down, across = height // tile[0], width // tile[1]
    signs = streams.uniform((channels, down, across)).sub_(0.5).sign_().to(ball.x.dtype)
    turned = streams.uniform((down, across)).lt(0.5).long()
    both = bumps(tile, *POWERS[ball.norm.name], ball.x.device, ball.x.dtype).view(2, *tile)
    grid = (both[turned][:, None] * signs[..., None, None]).transpose(3, 4).flatten(4).flatten(2, 3)
    delta = ball.x.new_zeros(len(ball.x), *shape)
    top, left = (height - down * tile[0]) // 2, (width - across * tile[1]) // 2
    delta[:, :, top : top + down * tile[0], left : left + across * tile[1]] = grid
    delta = delta.view(ball.x.shape)
    length = BEYOND * ball.radius / ball.norm.size(delta)
    return _onto(ball, delta * wide(length, delta))


def _bump(ball: NormBall, point: Tensor, window: tuple[int, int], u: Tensor) -> Tensor:
    """Algorithm 3: a window is emptied, a bump is added to another, with as much as both had and the radius leaves, a channel's share."""
    shape, (q, power) = planes(point), POWERS[ball.norm.name]

    def amount(values: Tensor) -> Tensor:
        return (values.abs() if q == 1 else values.square()).sum(-1, keepdim=True)

    def unit(values: Tensor) -> Tensor:
        return values / amount(values).pow(1 / q).clamp_min(1e-12)

    delta = (point - ball.x).flatten(1)
    here, there = places(u, window, shape), places(u[:, 2:], window, shape)
    spare = (ball.radius.pow(q)[:, None] - amount(delta)).clamp_min(0) / shape[0]
    old = delta.gather(1, here.flatten(1)).view(here.shape)
    delta.scatter_(1, here.flatten(1), 0.0)
    given = delta.gather(1, there.flatten(1)).view(there.shape)
    delta.scatter_(1, there.flatten(1), 0.0)
    signs = torch.where(u[:, 5 : 5 + shape[0], None] < 0.5, -1.0, 1.0)
    bump = bumps(window, q, power, point.device, point.dtype)[u[:, 4].lt(0.5).long()]
    new = unit(bump[:, None] * signs + unit(old)) * (spare[:, None] + amount(old) + amount(given)).pow(1 / q)
    delta.scatter_(1, here.flatten(1), new.flatten(1))
    return _onto(ball, delta.view(point.shape))


def _onto(ball: NormBall, delta: Tensor) -> Tensor:
    """L2: as far along delta as the ball goes. L1, where that would leave the largest entries alone: the nearest point."""
    return furthest(ball, delta) if ball.norm.name == "l2" else ball.project(ball.x + delta)
