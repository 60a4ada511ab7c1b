"""Sparse-RS for patches and frames: random search over the colours of a square that wanders, or of the border."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.squares import Shape, planes
from ..parts.climb import Climb, kept
from ..parts.options import at_least, between

# After so many of 10,000 queries, the share of the patch that is recoloured is halved: the authors' schedule.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
BEGIN = 200  # little squares of which the first patch is made
STRIDE = 0.75  # of the image's side: how far a patch may wander at first


@dataclass(frozen=True, kw_only=True)
class PatchRS:
    """Repeat: recolour a random square inside a patch, or move the patch, which may lie anywhere; keep it if the loss rises.

    Croce et al., Sparse-RS, AAAI 2022, arXiv:2006.12834, section 4.1 and algorithm 3: squares that shrink, each channel at a limit; then
    one pixel, then one channel of one pixel; every `wander` queries a move, by less and less. Under `box`, or inside a Linf ball.

    Deviations: each sample has random numbers of its own; the first patch is made of 200 little squares, not of 1000.
    Cost: at most `queries` forwards.
    """

    queries: int = 5000
    side: int = 5  # of the patch, in pixels
    share: float = 0.4  # of the patch, in the first squares (paper: alpha_init; 0.1 for targets)
    wander: int = 4  # the paper's; 10 for targets
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce et al. 2022, arXiv:2006.12834"

    def __post_init__(self) -> None:
        at_least(self, queries=1, side=1, wander=2)
        between(self, 0, 1, "share", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, climb = problem.ball("patch_rs", "linf"), Climb(problem, self.loss)
        shape = planes(ball.x)
        size = min(self.side, shape[1]), min(self.side, shape[2])
        place, up = _first_patch(shape, size, problem.streams)
        single = _halfway(self.queries, lambda asked: self._length(asked, size))
        for asked in range(self.queries):
            new_place, new_up = place, up
            if asked:
                u = climb.problem.streams.uniform((4 + shape[0],))
                reach = int(STRIDE * (1 - asked / self.queries) * max(shape[1:]))
                if asked % self.wander == 0 and reach > 0:
                    new_place = _wandered(place, u, reach, shape, size)
                else:
                    new_up = _recoloured(up, u, self._length(asked, size), asked >= single)
            reply = climb.offer(_painted(climb.problem.ball("patch_rs", "linf"), shape, new_place, new_up))
            if not len(climb):
                break
            taken = reply.taken[:, None]
            place, up = torch.where(taken, new_place, place), torch.where(taken[..., None, None], new_up, up)
            place, up = kept(reply.stay, place, up)
        return climb.finish()

    def _length(self, asked: int, size: tuple[int, int]) -> int:
        """Side of the square that is recoloured."""
        halvings = sum(asked * 10_000 // self.queries > halving for halving in HALVINGS)
        return max(int((self.share * 0.5**halvings) ** 0.5 * min(size)), 1)


@dataclass(frozen=True, kw_only=True)
class FrameRS:
    """Repeat: recolour a random square of the image's border; keep it if the loss rises.

    Croce et al., Sparse-RS, AAAI 2022, arXiv:2006.12834, section 4.2: squares whose side falls, cut by the frame, each channel at a limit;
    then one pixel, then one channel of one pixel. Under `box`, or inside a Linf ball.

    Deviations: each sample has random numbers of its own.
    Cost: at most `queries` forwards.
    """

    queries: int = 5000
    width: int = 2  # of the frame, in pixels
    share: float = 0.5  # paper: alpha_init
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Croce et al. 2022, arXiv:2006.12834"

    def __post_init__(self) -> None:
        at_least(self, queries=1, width=1)
        between(self, 0, 1, "share", ends="(]")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, climb = problem.ball("frame_rs", "linf"), Climb(problem, self.loss)
        shape = planes(ball.x)
        frame = torch.ones(shape[1:], dtype=torch.bool, device=ball.x.device)
        frame[self.width : shape[1] - self.width, self.width : shape[2] - self.width] = False
        pixels = frame.nonzero()
        up = problem.streams.uniform(shape) < 0.5
        single = _halfway(self.queries, self._length)
        for asked in range(self.queries):
            new = up
            if asked:
                u = climb.problem.streams.uniform((4 + shape[0],))
                corner = pixels[(u[:, 0] * len(pixels)).long()]
                length = self._length(asked)
                corner = corner - (u[:, 1:3] < 0.5) * (length - 1)
                new = _filled(up, corner, length, u, asked >= single)
            ball = climb.problem.ball("frame_rs", "linf")
            low, high = (limit.expand_as(ball.x).reshape(up.shape) for limit in ball.limits)
            point = torch.where(frame, torch.where(new, high, low), ball.x.reshape(up.shape))
            reply = climb.offer(point.view_as(ball.x))
            if not len(climb):
                break
            (up,) = kept(reply.stay, torch.where(reply.taken[:, None, None, None], new, up))
        return climb.finish()

    def _length(self, asked: int) -> int:
        """Side of the square that is recoloured."""
        return max(3 * math.ceil((0.5 - asked / self.queries) * self.share * self.width**2), 1)


def _halfway(queries: int, length: Callable[[int], int]) -> int:
    """The query from which on single channels change: halfway from the first single pixel to the end."""
    first = next((asked for asked in range(queries) if length(asked) == 1), queries)
    return first + (queries - first) // 2


def _first_patch(shape: Shape, size: tuple[int, int], streams: Streams) -> tuple[Tensor, Tensor]:
    """Where the patches lie (B, 2), and which of their channels are at the upper limit (B, C, h, w): little squares over one another."""
    place = _somewhere(streams.uniform((2,)), shape[1] - size[0] + 1, shape[2] - size[1] + 1)
    numbers = streams.uniform((BEGIN, 4 + shape[0]))
    up = torch.zeros(len(place), shape[0], *size, dtype=torch.bool, device=place.device)
    for u in numbers.unbind(1):
        length = 1 + (u[:, 3] * (math.ceil(min(size) ** 0.5) - 1)).long()
        corner = _somewhere(u, size[0] + 1 - length, size[1] + 1 - length)
        up = torch.where(_square(up, corner, length), (u[:, 4:] < 0.5)[..., None, None], up)
    return place, up


def _recoloured(up: Tensor, u: Tensor, length: int, single: bool) -> Tensor:
    """A square of the patch in other colours."""
    corner = _somewhere(u, up.shape[2] - length + 1, up.shape[3] - length + 1)
    return _filled(up, corner, length, u, single)


def _filled(up: Tensor, corner: Tensor, length: int, u: Tensor, single: bool) -> Tensor:
    """The square of that corner in the colour that the last of u say; a single pixel in another than before, or with one channel turned."""
    square = _square(up, corner, torch.full_like(corner[:, 0], length))
    channels = torch.arange(up.shape[1], device=up.device)
    if single:
        turned = channels == (u[:, 3:4] * len(channels)).long()
        return up ^ (square & turned[..., None, None])
    colour = (u[:, 4:] < 0.5)[..., None, None]
    if length == 1:
        same = ((colour == up) | ~square).flatten(1).all(1)
        colour = colour ^ same[:, None, None, None]
    return torch.where(square, colour, up)


def _square(up: Tensor, corner: Tensor, length: Tensor) -> Tensor:
    """(B, 1, h, w) bool: inside the square."""
    row, column = (torch.arange(count, device=up.device) - corner[:, i, None] for i, count in enumerate(up.shape[2:]))
    inside = [(away >= 0) & (away < length[:, None]) for away in (row, column)]
    return (inside[0][:, :, None] & inside[1][:, None])[:, None]


def _somewhere(u: Tensor, rows: Tensor | int, columns: Tensor | int) -> Tensor:
    """(B, 2) whole numbers below rows and columns, from the first two of u."""
    return torch.stack([(u[:, 0] * rows).long(), (u[:, 1] * columns).long()], dim=1)


def _wandered(place: Tensor, u: Tensor, reach: int, shape: Shape, size: tuple[int, int]) -> Tensor:
    """Up to `reach` pixels away in both directions, inside the image."""
    moved = place + _somewhere(u, 2 * reach + 1, 2 * reach + 1) - reach
    last = torch.tensor([shape[1] - size[0], shape[2] - size[1]], device=place.device)
    return torch.minimum(moved.clamp_min(0), last)


def _painted(ball: NormBall, shape: Shape, place: Tensor, up: Tensor) -> Tensor:
    """x with the patch."""
    channels, height, width = shape
    top = torch.arange(up.shape[2], device=place.device)[:, None] + place[:, 0, None, None]
    left = torch.arange(up.shape[3], device=place.device) + place[:, 1, None, None]
    index = (torch.arange(channels, device=place.device)[:, None, None] * height + top[:, None]) * width + left[:, None]
    index, flat = index.flatten(1), ball.x.flatten(1)
    low, high = (limit.expand_as(ball.x).flatten(1).gather(1, index) for limit in ball.limits)
    return flat.scatter(1, index, torch.where(up.flatten(1), high, low)).view_as(ball.x)
