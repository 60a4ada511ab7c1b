"""RayS: search among the corners of the Linf cube, in blocks of ever fewer features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...kernels.shapes import wide
from ..parts.asker import Asker
from ..parts.options import at_least, between

_FINEST = 16  # how often the tolerance halves, with blocks of one feature, before a pass without gain means that there is none


@dataclass(frozen=True, kw_only=True)
class RayS:
    """Go along a vector of signs; turn the signs of one block of features after another, and keep what wins on a shorter way.

    Chen and Gu, KDD 2020, arXiv:2006.12792, algorithms 1 to 3: level s cuts the features, in order, into 2^s blocks. Deviations: a turned
    block must win on a way shorter by `tolerance`, of which the first question asks at once (the paper asks at the same length, and finds
    in ten questions more that there was no gain); how much shorter is then looked for in steps that double, and by bisection where one
    fails; the tolerance is relative, and no more than 1 / 2^s; a sample leaves after a level of single features that gained nothing.
    Begins along the signs of `starts`, if given. Linf. Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    tolerance: float = 1e-3  # how much shorter the way must become
    stop: bool = True  # leave inside the radius, as the paper does; an infinite eps is no radius

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Chen and Gu 2020, arXiv:2006.12792"

    def __post_init__(self) -> None:
        at_least(self, queries=3)
        between(self, 0, 1, "tolerance")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("RayS", "linf")
        whole = asker = Asker.of(problem, ball, self.queries, self.stop)
        asker.begin(draws=0)
        towards = torch.ones_like(ball.x) if problem.starts is None else problem.starts - ball.x
        search = _Search.along(torch.where(towards < 0, -1.0, 1.0).to(ball.x.dtype).flatten(1), _width(asker))
        while True:
            stay = (asker.open & ~search.done).nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker, search = asker.select(stay), search.select(stay)
            if not len(stay):
                return whole.finish()
            length = search.length(self.tolerance)
            point = torch.addcmul(asker.ball.x, search.sign.view_as(asker.ball.x), wide(length, ball.x))
            point = torch.clamp(point, asker.ball.lower, asker.ball.upper, out=point)
            search.learn(length, asker.wins(point, asker.open), self.tolerance)


@dataclass(eq=False)
class _Search:
    """Where each sample is: its question is of a turned block (`asking`), or of how short the way along the signs can be."""

    sign: Tensor  # (B, N), with the block turned that is being tried
    high: Tensor  # (B,) the shortest length that won, or the width of the box
    low: Tensor  # (B,) a length that did not win, while the way is shortened
    shift: Tensor  # (B,) the next step down, as a part of `high`; 0 after one failed
    asking: Tensor  # (B,) bool
    found: Tensor  # (B,) bool
    gained: Tensor  # (B,) bool: on this level
    blocks: Tensor  # (B,) int64: 2^s
    block: Tensor  # (B,) int64
    done: Tensor  # (B,) bool

    @classmethod
    def along(cls, sign: Tensor, width: Tensor) -> _Search:
        """Start with the block of all features."""
        none, zero = torch.zeros_like(width, dtype=torch.bool), torch.zeros_like(width)
        count = torch.ones_like(width, dtype=torch.int64)
        return cls(
            sign, width, zero, zero.clone(), ~none, none, none.clone(), count, torch.zeros_like(count) - 1, none.clone()
        )

    def select(self, rows: Tensor) -> _Search:
        return _Search(*(value[rows] for value in vars(self).values()))

    def gain(self, tolerance: float) -> Tensor:
        """(B,) how much shorter, as a part, is worth while on this level."""
        return (1 / self.blocks).clamp_max(tolerance).to(self.high.dtype)

    def length(self, tolerance: float) -> Tensor:
        """(B,) the way to ask about next."""
        first = torch.where(self.found, self.high * (1 - self.gain(tolerance)), self.high)
        middle = torch.where(self.shift > 0, self.high * (1 - self.shift), (self.low + self.high) / 2)
        return torch.where(self.asking, first, middle)

    def learn(self, length: Tensor, won: Tensor, tolerance: float) -> None:
        """Take in the answers, and go on to the next question, of the next block where this one is settled."""
        gain = self.gain(tolerance)
        begins, fails = self.asking & won, self.asking & ~won
        self.low = torch.where(begins, 0, torch.where(self.asking | won, self.low, length))
        self.high = torch.where(won, length, self.high)
        step = torch.where(begins & self.found, 2 * gain, torch.where(won, 2 * self.shift, 0))
        self.shift = torch.where(step < 1, step, 0)
        self.gained, self.found, self.asking = self.gained | begins, self.found | begins, self.asking & ~won
        settled = ~self.asking & (self.shift == 0) & (self.high - self.low <= 3 * gain * self.high)
        if bool(fails.any()):
            self._turn(fails.nonzero().squeeze(1))
        over = fails | settled
        if bool(over.any()):
            self._go_on(over)

    def _go_on(self, over: Tensor) -> None:
        """Turn the next block of the samples that are through with one; after the last, begin a level of blocks half as large."""
        features = self.sign.shape[1]
        self.block += over
        last = over & (self.block * self._block_size(self.blocks) >= features)
        self.done |= last & ~self.gained & (self.blocks >= features * _FINEST)
        self.gained &= ~last
        self.block = torch.where(last, 0, self.block)
        self.blocks = torch.where(last, (2 * self.blocks).clamp_max(1 << 40), self.blocks)
        self.asking |= over
        self._turn(over.nonzero().squeeze(1))

    def _turn(self, rows: Tensor) -> None:
        """Turn the signs of the current block, or turn them back."""
        size = self._block_size(self.blocks[rows])
        start = (self.block[rows] * size)[:, None]
        place = torch.arange(self.sign.shape[1], device=rows.device)
        turned = (place >= start) & (place < start + size[:, None])
        self.sign[rows] = torch.where(turned, -self.sign[rows], self.sign[rows])

    def _block_size(self, blocks: Tensor) -> Tensor:
        return (self.sign.shape[1] + blocks - 1) // blocks


def _width(asker: Asker) -> Tensor:
    """(B,) the length at which every feature has come to its limit."""
    ball = asker.ball
    return (ball.upper - ball.lower).expand_as(ball.x).flatten(1).amax(1)
