"""SimBA: one pixel or one frequency at a time, a step up or a step down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...kernels.dct import dct
from ...kernels.squares import Shape, planes
from ..parts.climb import Climb, kept
from ..parts.options import at_least, one_of, positive


@dataclass(frozen=True, kw_only=True)
class SimBA:
    """Repeat: step along a random vector of an orthonormal basis, and if that does not raise the loss, step the other way.

    Guo et al., ICML 2019, arXiv:1905.07121, algorithm 1; basis `pixel`, or `dct`, the cosines of the image from low to high frequencies
    (section 3.3; the order of the authors' `strided` run: an eighth of the frequencies first, then bands of a thirty-second, shuffled
    inside each). Deviations: the margin as loss, which saturates nowhere, in place of the probability; each step is projected onto the
    ball, and has the length of a fifth of the radius, in Linf of two radii, unless `step_size` is given (paper: 0.2), measured in the
    threat's norm, so that in L2 25 of them fill the ball; each sample shuffles for itself,
    and when all vectors are used up begins again with steps of half the length.

    Cost: at most `queries` forwards.
    """

    queries: int = 10_000
    basis: Literal["pixel", "dct"] = "dct"
    step_size: float | None = None  # input units; None: a fifth of the radius, in Linf two radii
    loss: str = "margin"

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Guo et al. 2019, arXiv:1905.07121"

    def __post_init__(self) -> None:
        at_least(self, queries=1)
        positive(self, "step_size")
        one_of(self, "basis", "pixel", "dct")
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("simba", "linf", "l2", "l1")
        climb, waves = Climb(problem, self.loss), _Waves.like(ball.x)
        share = 2.0 if ball.norm.nearest is None else 0.2
        order = self._order(problem, waves.shape)
        turn = torch.zeros(len(order), dtype=torch.int64, device=order.device)  # which vector of the order
        sign = -torch.ones_like(turn, dtype=ball.x.dtype)  # a step down is tried first, then one up
        reply = climb.offer(ball.origin if problem.starts is None else ball.project(problem.starts))
        for _ in range(self.queries - 1):
            order, turn, sign = kept(reply.stay, order, turn, sign)
            if not len(climb):
                break
            ball = cast(NormBall, climb.problem.region)
            count = order.shape[1]
            vector = order.gather(1, (turn % count)[:, None]).squeeze(1)
            length = sign * 0.5 ** (turn // count) * (ball.radius * share if self.step_size is None else self.step_size)
            reply = climb.offer(self._moved(ball, climb.point, vector, length, waves))
            over = reply.taken | (sign > 0)
            turn += over
            sign = torch.where(over, -1.0, 1.0).to(sign)
        return climb.finish()

    def _order(self, problem: Problem, shape: Shape) -> Tensor:
        """(B, C H W) each sample's order of the vectors, as flat indices."""
        channels, height, width = shape
        shuffled = problem.streams.uniform((channels, height, width))
        if self.basis == "dct":
            rows, columns = (torch.arange(size, device=shuffled.device) for size in (height, width))
            shuffled = shuffled + torch.maximum(_band(rows, height)[:, None], _band(columns, width))
        return shuffled.flatten(1).argsort(dim=1, stable=True)

    def _moved(self, ball: NormBall, point: Tensor, vector: Tensor, length: Tensor, waves: _Waves) -> Tensor:
        """One step of the length (B,) along the vectors (B,) of the basis, projected."""
        if self.basis == "pixel":
            return ball.project(point.flatten(1).scatter_add(1, vector[:, None], length[:, None]).view(point.shape))
        channel, wave = waves.of(vector)
        moved = point.view(-1, *waves.shape).clone()
        moved[torch.arange(len(moved), device=moved.device), channel] += (
            wave * (length / ball.norm.size(wave))[:, None, None]
        )
        return ball.project(moved.view(point.shape))


@dataclass(frozen=True, eq=False)
class _Waves:
    """The cosines of an image of that shape."""

    shape: Shape
    upright: Tensor  # (H, H) frequency, place
    across: Tensor  # (W, W)

    @classmethod
    def like(cls, x: Tensor) -> _Waves:
        shape = planes(x)
        return cls(shape, *(dct(torch.eye(size, dtype=x.dtype, device=x.device), spatial=1).T for size in shape[1:]))

    def of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Channel (B,) and wave (B, H, W) of the flat index (B,)."""
        _, height, width = self.shape
        row, column = self.upright[index // width % height], self.across[index % width]
        return index // (height * width), row[:, :, None] * column[:, None]


def _band(frequency: Tensor, count: int) -> Tensor:
    """The first eighth of the frequencies is band 0, then each thirty-second is the next."""
    first, width = math.ceil(count / 8), math.ceil(count / 32)
    return (frequency - first).div(width, rounding_mode="floor").add(1).clamp_min(0)
