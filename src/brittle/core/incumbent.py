"""The best point seen so far of each sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.shapes import wide


@dataclass(eq=False)
class Incumbent:
    """Keeps, for each of B samples, the offered point of the highest score; before any offer, the point it was made with."""

    point: Tensor  # (B, *P)
    score: Tensor  # (B,) float64, which holds the margin of any victim

    @classmethod
    def at(cls, origin: Tensor) -> Incumbent:
        return cls(origin.clone(), origin.new_full((origin.shape[0],), -math.inf, dtype=torch.float64))

    @property
    def found(self) -> Tensor:
        """(B,) bool: something better than minus infinity was offered."""
        return self.score > -math.inf

    @property
    def size(self) -> Tensor:
        """(B,) float64: the size that `offer_smaller` kept, infinity where nothing was won."""
        return -self.score

    def offer(self, point: Tensor, score: Tensor, rows: Tensor | None = None) -> None:
        """Offer points (B', *P) with scores (B',) for the given rows (None: all). A NaN score is never better."""
        score = score.double()
        if rows is None:
            better = score > self.score
            self.score = torch.where(better, score, self.score)
            # lerp with weight 0 or 1 is exact, and on the CPU seven times as fast as a where with a broadcast condition
            self.point.lerp_(point, wide(better.to(point.dtype), point))
            return
        better = score > self.score[rows]
        chosen = rows[better]
        self.score[chosen] = score[better]
        self.point[chosen] = point[better]

    def offer_smaller(self, point: Tensor, size: Tensor, won: Tensor, rows: Tensor | None = None) -> None:
        """Offer points of the given sizes (B',), of which only those that are won (B',) bool count: the smallest is kept."""
        self.offer(point, torch.where(won, -size.double(), -math.inf), rows)
