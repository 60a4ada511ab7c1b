"""Slopes of losses of the softmax that do not vanish where it is saturated."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.goal import Classify
from ...core.losses import find_slope


def through_softmax(likely: Tensor, slope: Tensor) -> Tensor:
    """d loss / d outputs (B, C) of a loss whose slope in the probabilities `likely` (B, C) is given."""
    return balanced(likely * (slope - (likely * slope).sum(1, keepdim=True)), likely)


def balanced(slope: Tensor, likely: Tensor) -> Tensor:
    """The slope (B, C), whose sum is zero because softmax knows no shift, with the likeliest class's entry as minus the sum of the others.

    That entry is what cancels to zero in float32 from a gap of about 17 logits on. Written into the slope.
    """
    first = likely.argmax(1, keepdim=True)
    slope.scatter_(1, first, 0)
    return slope.scatter_(1, first, slope.sum(1, keepdim=True).neg_())


def lively(slope: Tensor, outputs: Tensor, goal: Classify) -> Tensor:
    """The slope (B, C) at a largest entry of one, so that nothing underflows on its way back; the margin's where it is zero.

    For attacks that look at a gradient's direction alone.
    """
    size = slope.abs().amax(1, keepdim=True)
    flat = ~(size > 0)
    slope = slope / size
    return torch.where(flat, find_slope("margin")(outputs, goal), slope) if bool(flat.any()) else slope
