"""Random streams: one a sample, the same whatever the batch, the order or the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import sampling


@dataclass(eq=False)
class Streams:
    """The streams of B samples. Each call draws the next numbers; `draws` counts the calls."""

    keys: Tensor  # (B,) int64
    draws: int = 0

    @classmethod
    def seeded(cls, seed: int, ids: Tensor) -> Streams:
        """Streams for sample ids (B,) int64 under the run's seed."""
        return cls(sampling.keys_for(seed, ids))

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, *shape) in the open interval (0, 1)."""
        return sampling.uniform(self.keys, self._next(), math.prod(shape), dtype).view(-1, *shape)

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, *shape) standard normal."""
        return sampling.normal(self.keys, self._next(), math.prod(shape), dtype).view(-1, *shape)

    def select(self, rows: Tensor) -> Streams:
        """The streams of some rows, at the same place; they go on by themselves."""
        return Streams(self.keys[rows], self.draws)

    def fork(self, tag: int) -> Streams:
        """New, independent streams; the same tag gives the same ones."""
        return Streams(sampling.mix(self.keys ^ sampling.mix(torch.full_like(self.keys, tag + 1))))

    def _next(self) -> int:
        self.draws += 1
        return self.draws - 1
