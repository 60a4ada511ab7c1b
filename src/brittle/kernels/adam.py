"""Adam's step, in place, for a batch of points. Kingma and Ba, ICLR 2015, arXiv:1412.6980, algorithm 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import wide

EPSILON = 1e-8  # the paper's


@dataclass(eq=False)
class Adam:
    """First and second moment of the gradients of B samples, and how many gradients there were."""

    mean: Tensor  # (B, *S)
    square: Tensor
    metric: Tensor  # what a step divides by: the root of the second moment, bias-corrected
    decay: float = 0.9
    decay_square: float = 0.999
    count: int = 0

    @classmethod
    def like(cls, point: Tensor) -> Adam:
        return cls(torch.zeros_like(point), torch.zeros_like(point), torch.zeros_like(point))

    def see(self, grad: Tensor) -> None:
        """Take a gradient (B, *S) into account."""
        self.count += 1
        self.mean.lerp_(grad, 1 - self.decay)
        self.square.mul_(self.decay_square).addcmul_(grad, grad, value=1 - self.decay_square)
        scale = 1 / math.sqrt(1 - self.decay_square**self.count)
        torch.sqrt(self.square, out=self.metric).mul_(scale).add_(EPSILON)

    def descend_(self, point: Tensor, step: float | Tensor) -> Tensor:
        """point -= step * mean / metric, bias-corrected, in place; the step may be one a sample (B,)."""
        share = step / (1 - self.decay**self.count)
        if isinstance(share, Tensor):
            return point.sub_((self.mean / self.metric).mul_(wide(share, point)))
        return point.addcdiv_(self.mean, self.metric, value=-share)

    def select(self, rows: Tensor) -> Adam:
        """Of some rows."""
        return Adam(self.mean[rows], self.square[rows], self.metric[rows], self.decay, self.decay_square, self.count)
