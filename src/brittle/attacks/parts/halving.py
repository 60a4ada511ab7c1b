"""A step that halves itself: at checkpoints, where the loss has risen too seldom or not at all. Croce and Hein 2020, arXiv:2003.01690."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

_ROUNDING = 64  # units in the last place: the same point in another batch rounds otherwise, which is no rise


@dataclass(eq=False)
class Halving:
    """The steps of B samples, their best loss, and the counts of section 3.2. All (B,)."""

    step: Tensor
    best_loss: Tensor
    loss: Tensor  # the last one
    rises: Tensor  # steps since the last checkpoint that raised the loss
    best_then: Tensor  # the best loss at the last checkpoint
    halved: Tensor  # bool: the step was halved there
    grain: Tensor  # what a loss must rise by, for it to be no rounding

    @classmethod
    def begin(cls, loss: Tensor, step: Tensor) -> Halving:
        """With the loss at the start. No step counts as halved before the first checkpoint."""
        halved = torch.ones_like(loss, dtype=torch.bool)
        grain = loss.abs().nan_to_num_(posinf=0.0) * (_ROUNDING * torch.finfo(loss.dtype).eps)
        return cls(step, loss.clone(), loss, torch.zeros_like(loss), loss.clone(), halved, grain)

    def compare(self, loss: Tensor) -> Tensor:
        """Take a step's loss into account; the rows (B',) int64 where it is the best."""
        self.rises += loss > self.loss + self.grain
        better = loss > self.best_loss + self.grain
        self.best_loss, self.loss = torch.where(better, loss, self.best_loss), loss
        return better.nonzero().squeeze(1)

    def check(self, window: int, rho: float) -> Tensor:
        """Halve by conditions 1 and 2: fewer than the share rho of the steps in the window raised the loss; neither step nor best loss
        has changed since the last checkpoint. The rows (B',) int64 that are to go on from their best point."""
        stuck = ~self.halved & (self.best_then >= self.best_loss)
        self.halved = (self.rises < rho * window) | stuck
        self.step = torch.where(self.halved, self.step / 2, self.step)
        self.loss = torch.where(self.halved, self.best_loss, self.loss)
        self.best_then = self.best_loss.clone()
        self.rises.zero_()
        return self.halved.nonzero().squeeze(1)

    def select(self, rows: Tensor) -> Halving:
        """Of some rows."""
        return Halving(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def checkpoints(steps: int, first: int = 22, less: int = 3, least: int = 6) -> set[int]:
    """w_j = ceil(p_j * steps) with p_0 = 0, p_1 = first, p_{j+1} = p_j + max(p_j - p_{j-1} - less, least), all in percent."""
    percent, gap, found = first, first, set()  # whole numbers, which no rounding lifts over a step
    while percent <= 100:
        found.add(-(-percent * steps // 100))
        gap = max(gap - less, least)
        percent += gap
    return found
