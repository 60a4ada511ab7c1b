"""SignHunter: divide and conquer over the signs of the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, cast

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ..parts.climb import Climb
from ..parts.furthest import furthest
from ..parts.options import at_least


@dataclass(frozen=True, kw_only=True)
class SignHunter:
    """Repeat: turn the signs of a chunk of the features, keep that if the loss rises; chunks are halved after each round.

    Al-Dujaili and O'Reilly, ICLR 2020, arXiv:1902.06894, algorithm 1. The features move by as much as the ball allows, all of them, along
    the signs (section 3.1). Deviations: chunks run down the columns of an image rather than along its rows, because networks fall sooner to
    upright stripes (Andriushchenko et al. 2020, section 4.2); after the last round it starts again with whole halves from the signs that it
    has, where the authors' code moves the centre of the ball; equal losses keep the old signs.

    Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Al-Dujaili and O'Reilly 2020, arXiv:1902.06894"

    def __post_init__(self) -> None:
        at_least(self, queries=1)
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("sign_hunter", "linf", "l2")
        climb = Climb(problem, self.loss)
        signs = torch.ones_like(_columns(ball.x)).contiguous()  # kept column by column, so that a chunk is a slice
        if problem.starts is not None:
            signs = _columns(torch.where(ball.project(problem.starts) < ball.x, -1.0, 1.0).to(signs)).contiguous()
        reply = climb.offer(furthest(ball, _columns(signs)))
        for begin, end in islice(_chunks(signs[:1].numel()), self.queries - 1):
            if reply.stay is not None:
                signs = signs[reply.stay]
            if not len(climb):
                break
            chunk = signs.flatten(1)[:, begin:end]
            chunk.neg_()
            reply = climb.offer(furthest(cast(NormBall, climb.problem.region), _columns(signs)))
            chunk.mul_(torch.where(reply.taken, signs.new_ones(()), -1.0)[:, None])
        return climb.finish()


def _chunks(features: int) -> Iterator[tuple[int, int]]:
    """All of the features, both halves, all four quarters, ... and so on to the single features; then all over again."""
    while True:
        length = features
        while True:
            yield from ((begin, min(begin + length, features)) for begin in range(0, features, length))
            if length <= 1:
                break
            length = (length + 1) // 2


def _columns(image: Tensor) -> Tensor:
    """Swap the last two dimensions, if there are two; its own inverse."""
    return image.transpose(-1, -2) if image.ndim > 2 else image
