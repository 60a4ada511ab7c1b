"""Pixle: copy the pixels of a random patch of the image to random places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...kernels.squares import Shape, planes
from ..parts.climb import Climb, kept
from ..parts.options import at_least


@dataclass(frozen=True, kw_only=True)
class Pixle:
    """Repeat: copy the pixels of a random patch of x to random places; after `tries` of them go on from the best image so far.

    Pomponi et al., Pixle: a fast and effective black-box attack based on rearranging pixels, WCCI 2022, arXiv:2202.02236, with
    random places: the changed image has no colour that x has not. `tries` are the paper's iterations in a restart; with 1 each patch
    begins at the best image (the iterative version).

    Deviations: no more pixels change than fit into the radius with all their channels, so a patch is cut to that, and what was changed
    before makes room for it, pixels at random; where no whole pixel fits, single features are copied; the places of a patch are distinct
    and any of the image's (the authors' code never takes its last row or column); a patch never sticks out of the image.
    Cost: at most `queries` forwards. Norm: l0.
    """

    queries: int = 5000
    tries: int = 1  # paper: 10 to 150
    side: int = 10  # of the largest patch
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Pomponi et al. 2022, arXiv:2202.02236"

    def __post_init__(self) -> None:
        at_least(self, queries=1, tries=1, side=1)
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, point = problem.ball("pixle", "l0"), problem.region.origin.clone()
        channels, height, width = planes(ball.x)
        whole = ball.radius >= channels
        shapes = ((whole, (channels, height, width)), (~whole & (ball.radius >= 1), (1, channels * height, width)))
        for chosen, shape in shapes:
            rows = chosen.nonzero().squeeze(1)
            if len(rows):
                point[rows] = self._search(problem.select(rows), shape)
        return point

    def _search(self, problem: Problem, shape: Shape) -> Tensor:
        """Changes pixels of an image of that shape."""
        climb = Climb(problem, self.loss)
        begin = climb.point if problem.starts is None else problem.region.project(problem.starts)
        reply = climb.offer(begin)
        base = climb.point.clone()
        for asked in range(self.queries - 1):
            if not len(climb):
                break
            (base,) = kept(reply.stay, base)
            if asked % self.tries == 0:
                base = climb.point.clone()
            ball, streams = climb.problem.ball("pixle", "l0"), climb.problem.streams
            patch, order = streams.uniform((4,)), streams.uniform((math.prod(shape[1:]),))
            reply = climb.offer(_patched(ball, base, self._patch(patch, shape), order, shape))
        return climb.finish()

    def _patch(self, u: Tensor, shape: Shape) -> Tensor:
        """(B, side * side) pixels of random rectangles; -1 where they have fewer."""
        _, height, width = shape
        high, wide = (_upto(u[:, axis], min(size, self.side)) + 1 for axis, size in enumerate((height, width)))
        top, left = (_upto(u[:, 2], height - high + 1), _upto(u[:, 3], width - wide + 1))
        lane = torch.arange(min(height, self.side) * min(width, self.side), device=u.device)
        row, column = lane // wide[:, None], lane % wide[:, None]
        return torch.where(row < high[:, None], (top[:, None] + row) * width + left[:, None] + column, -1)


def _upto(u: Tensor, count: Tensor | int) -> Tensor:
    """(B,) int64: from 0 to below the count."""
    return torch.minimum((u * count).long(), torch.as_tensor(count, device=u.device) - 1)


def _patched(ball: NormBall, base: Tensor, patch: Tensor, order: Tensor, shape: Shape) -> Tensor:
    """The image `base` (B, *S) with the pixels of x in the patch (B, K) copied to those that come first in the order (B, P).

    Where more pixels would differ from x than the radius allows, those changed before are given back, the last in the order first.
    """
    x, image = ball.x.reshape(len(base), shape[0], -1), base.reshape(len(base), shape[0], -1)
    count = (ball.radius / shape[0]).floor().long().clamp_max(order.shape[1])[:, None]
    lanes = min(patch.shape[1], order.shape[1])
    patch, places = patch[:, :lanes], order.topk(lanes, dim=1, largest=False, sorted=True).indices
    copied = (patch >= 0) & (torch.arange(lanes, device=patch.device) < count)
    source = torch.where(copied, patch, places)  # a pixel that is copied to itself stays as it is in x
    rank = torch.where((image != x).any(1), order, 2.0)
    rank.scatter_(1, places, torch.where(copied, order.gather(1, places) - 1, rank.gather(1, places)))
    last = rank.sort(dim=1).values.gather(1, count - 1)
    given_back = rank > last
    new = torch.where(given_back[:, None], x, image)
    wide = (len(base), shape[0], lanes)
    places, source, copied = (value[:, None].expand(wide) for value in (places, source, copied))
    new.scatter_(2, places, torch.where(copied, x.gather(2, source), new.gather(2, places)))
    new = new.view(base.shape)
    return torch.clamp(new, ball.lower, ball.upper, out=new)
