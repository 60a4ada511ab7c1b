"""One tensor's value with another's gradient: what every remedy is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Graft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, stand_in: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def graft(value: Tensor, stand_in: Tensor) -> Tensor:
    """`value`, to the bit, whose gradient is that of `stand_in`, of the same shape; value's own gradient is cut.

    The sum stand_in + (value - stand_in).detach() has the same gradient, but rounds.
    """
    grafted: Tensor = _Graft.apply(value.detach(), stand_in)  # type: ignore[no-untyped-call]
    return grafted
