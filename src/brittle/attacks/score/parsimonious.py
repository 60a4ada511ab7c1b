"""The parsimonious attack: choose, by lazy greedy search, the blocks of the image that go up; then halve the blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.squares import Shape, planes
from ..parts.climb import Climb
from ..parts.furthest import furthest
from ..parts.options import at_least


@dataclass(frozen=True, kw_only=True)
class Parsimonious:
    """All features begin at the lower corner of the ball; the blocks that gain most go up, one by one, then those that lose least go back.

    Moon et al., Parsimonious black-box adversarial attacks via efficient combinatorial optimization, ICML 2019, arXiv:1905.06635,
    lazy greedy (what a block gained when last asked bounds what it will gain) in random batches of blocks, which are halved when all
    have been gone through.

    Deviations: the best block of a batch is turned only if that raises the loss, the authors' code turns it in any case; no block is asked
    about again whose bound says that it gains nothing. Begins at the corner that `starts` point to, if given.
    Cost: at most `queries` forwards. Linf.
    """

    queries: int = 10_000
    block: int | None = (
        None  # side of the first blocks, in pixels; None: about an eighth of the image's, a power of two
    )
    together: int = 64  # blocks of a batch
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Moon et al. 2019, arXiv:1905.06635"

    def __post_init__(self) -> None:
        at_least(self, queries=1, block=1, together=1)
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, climb = problem.ball("parsimonious", "linf"), Climb(problem, self.loss)
        shape = planes(ball.x)
        side = self.block or 2 ** max(round(math.log2(max(shape[1:]) / 8)), 0)
        up = torch.zeros(len(ball.x), ball.x[:1].numel(), dtype=torch.bool, device=ball.x.device)
        if problem.starts is not None:
            up = (problem.starts > ball.x).flatten(1)
        reply = climb.offer(_corner(ball, up))
        search = _Search.begun(up, reply.height, _owners(shape, side, up.device), self.together)
        for _ in range(self.queries - 1):
            if reply.stay is not None:
                search = search.select(reply.stay)
            if not len(climb):
                break
            search.go_on(climb.problem.streams)
            chosen = search.chosen()
            reply = climb.offer(_corner(cast(NormBall, climb.problem.region), search.up ^ search.features(chosen)))
            search.learn(chosen, reply.height)
        return climb.finish()


@dataclass(eq=False)
class _Search:
    """Where each of B samples is: in which round, in which batch of its blocks, and whether blocks go up or back down."""

    owners: Tensor  # (levels, N) to which block a feature belongs; shared by all
    up: Tensor  # (B, N) bool
    height: Tensor  # (B,) the loss there
    round: Tensor  # (B,) int64: the level, while there are finer blocks, and then how often all were gone through
    start: Tensor  # (B,) int64: of the batch, in the round's order
    back: Tensor  # (B,) bool: blocks go back down
    over: Tensor  # (B,) bool: nothing more to gain in this batch
    blocks: Tensor  # (B, T) int64: of the batch
    bounds: Tensor  # (B, T) what each would gain, when last asked about; minus infinity for those that may not
    pending: Tensor  # (B, T) bool: not asked about yet

    @classmethod
    def begun(cls, up: Tensor, height: Tensor, owners: Tensor, together: int) -> _Search:
        """At the end of a batch before the first."""
        count = up.new_zeros(len(up), dtype=torch.int64)
        blocks = count[:, None].repeat(1, min(together, up.shape[1]))
        bounds = torch.full_like(blocks, -torch.inf, dtype=height.dtype)
        ended = torch.ones_like(count, dtype=torch.bool)
        return cls(owners, up, height, count, count - blocks.shape[1], ended, ended.clone(), blocks, bounds, bounds > 0)

    def select(self, rows: Tensor) -> _Search:
        owners, *values = vars(self).values()
        return _Search(owners, *(value[rows] for value in values))

    @property
    def level(self) -> Tensor:
        """(B,) int64."""
        return self.round.clamp_max(len(self.owners) - 1)

    def features(self, chosen: Tensor) -> Tensor:
        """(B, N) bool: those of the chosen block of the batch (B,)."""
        return self.owners[self.level] == self.blocks.gather(1, chosen[:, None])

    def chosen(self) -> Tensor:
        """(B,) which block of the batch to ask about: the first that is pending, or the one of the highest bound."""
        turn = torch.arange(self.pending.shape[1], 0, -1, device=self.pending.device)
        return torch.where(self.pending.any(1), (self.pending * turn).argmax(1), self.bounds.argmax(1))

    def learn(self, chosen: Tensor, height: Tensor) -> None:
        """Turn a block that would gain more than any other can."""
        gain = (height - self.height).nan_to_num_(nan=-torch.inf)
        row, first = torch.arange(len(gain), device=gain.device), self.pending.any(1)
        self.bounds[row, chosen] = gain
        self.pending[row, chosen] = False
        waits = self.pending.any(1)
        most, best = self.bounds.max(1)
        place = torch.where(first, best, chosen)  # at the end of the first pass all bounds are gains from here
        gained = torch.where(first, most, gain)
        turn = ~waits & (gained > 0) & (gained >= most)
        self.up ^= self.features(place) & turn[:, None]
        self.height = torch.where(turn, self.height + gained, self.height)
        self.bounds[row[turn], place[turn]] = -torch.inf
        self.over = ~waits & (self.bounds.amax(1) <= 0)

    def go_on(self, streams: Streams) -> None:
        """From a batch that is over: the same blocks back down, or the next batch."""
        while bool(self.over.any()):
            rows = self.over.nonzero().squeeze(1)
            fresh = rows[self.back[rows]]
            if len(fresh):
                self._next(fresh, streams)
            self.back[rows] = ~self.back[rows]
            blocks, owners = self.blocks[rows], self.owners[self.level[rows]]
            there = blocks.clamp_min(0)
            of = torch.zeros_like(self.up[rows], dtype=torch.int64).scatter_(1, owners, _places(owners))
            candidate = self.up[rows].gather(1, of.gather(1, there)) == self.back[rows][:, None]
            self.pending[rows] = candidate & (blocks >= 0)
            self.bounds[rows] = -torch.inf
            self.over[rows] = ~self.pending[rows].any(1)

    def _next(self, rows: Tensor, streams: Streams) -> None:
        """The next batch of these rows; after the last, the first of the next round, in a new order."""
        together = self.blocks.shape[1]
        self.start[rows] += together
        ended = rows[self.start[rows] > self.owners[self.level[rows]].amax(1)]
        self.round[ended] += 1
        self.start[ended] = 0
        for number in sorted(set(self.round[rows].tolist())):
            here = rows[self.round[rows] == number]
            count = int(self.owners[min(number, len(self.owners) - 1)].max()) + 1
            order = streams.select(here).fork(number).uniform((count,)).argsort(dim=1, stable=True)
            place = self.start[here][:, None] + torch.arange(together, device=rows.device)
            members = order.gather(1, place.clamp_max(count - 1))
            self.blocks[here] = torch.where(place < count, members, -1)


@lru_cache(maxsize=8)
def _owners(shape: Shape, side: int, device: torch.device) -> Tensor:
    """(levels, C H W) int64: the block that each feature belongs to, each level with blocks of half the side."""
    channels, height, width = shape
    levels = []
    while True:
        down, across = (torch.arange(size, device=device) // side for size in (height, width))
        block = down[:, None] * (int(across[-1]) + 1) + across
        each = torch.arange(channels, device=device)[:, None, None] * (int(block.max()) + 1)
        levels.append((each + block).flatten())
        if side == 1:
            return torch.stack(levels)
        side //= 2


def _places(like: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device).expand_as(like)


def _corner(ball: NormBall, up: Tensor) -> Tensor:
    """The corner of the ball (B, *S) with these features up and the others down."""
    return furthest(ball, up.to(ball.x.dtype).mul_(2).sub_(1).view_as(ball.x))
