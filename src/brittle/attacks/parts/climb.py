"""Climbing by trial: each sample keeps the best point that it was asked about, and leaves as soon as one wins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.losses import find_loss
from ...core.problem import Problem
from ...kernels.shapes import wide


class Reply(NamedTuple):
    """What came of an offer: height of the offered points, and whether they were taken (B',); the rows (B'',) int64 that stay, None: all.

    Whoever keeps something for each sample goes on with these rows of it.
    """

    height: Tensor
    taken: Tensor
    stay: Tensor | None


@dataclass(eq=False)
class Climb:
    """B samples, of which those that are won have left; `point` and `height` are of those still here, known as `rows` of the B.

    `height` is the loss at `point`, minus infinity before the first question. The loss `margin` is the goal's own, with its confidence.
    """

    problem: Problem
    loss: str
    point: Tensor = field(init=False)  # (B', *P)
    height: Tensor = field(init=False)  # (B',)
    rows: Tensor = field(init=False)  # (B',) int64
    _final: Tensor = field(init=False)  # (B, *P) where those who left ended

    def __post_init__(self) -> None:
        origin = self.problem.region.origin
        self.point, self._final = origin.clone(), origin.clone()
        self.height = origin.new_full((len(origin),), -math.inf)
        self.rows = torch.arange(len(origin), device=origin.device)

    def __len__(self) -> int:
        return len(self.rows)

    def ask(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Height and goal margin (B',) at points (B', *P), both minus infinity where the victim answers NaN; 1 forward."""
        outputs, goal = self.problem.oracle(point), self.problem.classes
        margin = goal.margin(outputs).nan_to_num_(nan=-math.inf)
        if self.loss == "margin" and goal.towards is None:
            return margin, margin
        return find_loss(self.loss)(outputs, goal).nan_to_num(nan=-math.inf), margin

    def offer(self, point: Tensor) -> Reply:
        """Ask about points (B', *P), and go there where it is higher or won; 1 forward."""
        height, margin = self.ask(point)
        won = margin > 0
        taken = (height > self.height) | won
        self.height = torch.where(taken, height, self.height)
        # lerp with weight 0 or 1 is exact, and on the CPU faster than a where with a broadcast condition
        self.point.lerp_(point, wide(taken.to(point.dtype), point))
        return Reply(height, taken, self.leave(won))

    def leave(self, done: Tensor) -> Tensor | None:
        """Let those go who are done (B',) bool, with their points; the rows (B'',) int64 that stay, None where nobody left."""
        if not bool(done.any()):
            return None
        self._final[self.rows[done]] = self.point[done]
        stay = (~done).nonzero().squeeze(1)
        self.problem = self.problem.select(stay)
        self.point, self.height, self.rows = self.point[stay], self.height[stay], self.rows[stay]
        return stay

    def finish(self) -> Tensor:
        """(B, *P) where everybody is."""
        self._final[self.rows] = self.point
        return self._final


def kept(stay: Tensor | None, *values: Tensor) -> tuple[Tensor, ...]:
    """These rows of each value; the values themselves where all stay."""
    return values if stay is None else tuple(value[stay] for value in values)
