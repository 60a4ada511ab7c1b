"""The pointwise attack: from a point that wins, give features back to x, as long as it still wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.shapes import wide
from ..parts.asker import Asker
from ..parts.options import at_least

_DENSER = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)  # share of the features that are salt or pepper, in turn
_FORK = 0x9017  # the starts draw from streams of their own


@dataclass(frozen=True, kw_only=True)
class Pointwise:
    """Go through the changed features in random order and give each back to x if it still wins, until none can be given back.

    Schott et al., Towards the first adversarially robust neural network model on MNIST, ICLR 2019, arXiv:1805.09190: begins at
    salt-and-pepper noise, ever denser, or at `starts`. The point found is minimal: no single feature of it can be given back.

    Deviations: at first chunks of the features are given back together, from half of them down to single ones, so that what is not needed
    costs few queries; with queries left the search begins again at other noise, and the smallest point is kept; the binary search of each
    feature's value, which does not count in L0, is left out. Cost: at most `queries` forwards. Norm: l0.
    """

    queries: int = 5000  # the most forwards a sample is charged
    starts: int = 70  # noises tried for a start
    searches: int = 5  # each from a noise of its own, the first from the problem's starts if they win
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Schott et al. 2019, arXiv:1805.09190"

    def __post_init__(self) -> None:
        at_least(self, queries=3, starts=1, searches=1)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        everyone = Asker.of(problem, problem.ball("pointwise", "l0"), self.queries, self.stop)
        everyone.begin(0)
        asker = everyone.select(everyone.open.nonzero().squeeze(1))
        asker = asker.select((asker.size > 0).nonzero().squeeze(1))
        for search in range(self.searches):
            streams = asker.problem.streams.fork(search)
            point, found = self._start(asker, streams.fork(_FORK), search == 0)
            rows = found.nonzero().squeeze(1)
            if len(rows) < asker.count:
                asker, point, streams = asker.select(rows), point[rows], streams.select(rows)
            _give_back(asker, point, streams)
            asker = asker.select(asker.open.nonzero().squeeze(1))
            if not asker.count:
                break
        return everyone.finish()

    def _start(self, asker: Asker, streams: Streams, first: bool) -> tuple[Tensor, Tensor]:
        """Points (B, *S) that win, and whether one was found (B,) bool: those known already if it is the `first` search, or noise."""
        found = asker.size.isfinite() if first else torch.zeros_like(asker.open)
        point = asker.point.clone()
        for draw in range(self.starts):
            wanted = asker.open & ~found
            if not bool(wanted.any()):
                break
            noise = _salt_and_pepper(asker.ball, streams, _DENSER[draw % len(_DENSER)])
            here = asker.wins(noise, wanted)
            point = torch.where(wide(here, point), noise, point)
            found = found | here
        return point, found & asker.open


def _salt_and_pepper(ball: NormBall, streams: Streams, share: float) -> Tensor:
    """x with about this share of the features at either end of the box (B, *S)."""
    u = streams.uniform(tuple(ball.x.shape[1:]))
    return torch.where(u < share / 2, ball.upper, torch.where(u < share, ball.lower, ball.x))


def _give_back(asker: Asker, point: Tensor, streams: Streams) -> None:
    """Make points (B, *S) that win minimal, as far as the questions go; the asker keeps them.

    In each pass the changed features are cut into as many chunks, at random: 2, then 4, 8, ..., and at last every feature is one.
    """
    going, parts, x = asker.open, 2, asker.ball.x.flatten(1)
    flat = point.flatten(1)
    while True:
        changed = flat != x
        count = changed.sum(1)
        going = going & asker.open & (count > 1)
        if not bool(going.any()):
            return
        rank = torch.where(changed, streams.uniform((x.shape[1],)), 2.0).argsort(dim=1, stable=True).argsort(dim=1)
        length, gained = count.div(parts, rounding_mode="floor").clamp_min(1), torch.zeros_like(going)
        for chunk in range(int((count / length).ceil()[going].max())):
            begin = (chunk * length)[:, None]
            tried = torch.where((rank >= begin) & (rank < begin + length[:, None]), x, flat)
            here = asker.wins(tried.view_as(point), going & (begin.squeeze(1) < count))
            flat = torch.where(here[:, None], tried, flat)
            gained = gained | here
        going, parts = going & (gained | (length > 1)), 2 * parts
