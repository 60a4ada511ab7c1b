"""One question to the victim, averaged over its draws where it answers at random: margin, loss and gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...core.losses import find_loss, find_slope
from ...core.problem import Problem


class Answer(NamedTuple):
    """margin, loss (B,): the goal's margin and the value of the loss. grad (B, *P): that of the loss; zeros where not asked for."""

    margin: Tensor
    loss: Tensor
    grad: Tensor


def query(problem: Problem, point: Tensor, loss: str, draws: int = 1, differentiate: bool = True) -> Answer:
    """Ask about points (B, *P): 1 forward, and 1 backward if `differentiate`, for each draw.

    All three are means over the draws. A NaN in the gradient counts as zero: one undefined derivative must not spoil the sample's other
    features. A loss that is NaN counts as minus infinity.
    """
    value, slope, goal = find_loss(loss), find_slope(loss), problem.goal
    margin, height, grad = torch.zeros_like(problem.region.radius), torch.zeros_like(problem.region.radius), None
    for _ in range(draws):
        with torch.set_grad_enabled(differentiate):
            asked = point.detach().requires_grad_(differentiate)
            outputs = problem.oracle(asked)
        seen = outputs.detach()
        if differentiate:
            (new,) = torch.autograd.grad(outputs, asked, slope(seen, goal))
            grad = new if grad is None else grad + new
        margin, height = margin + goal.margin(seen), height + value(seen, goal)
    if draws > 1:
        margin, height, grad = margin / draws, height / draws, None if grad is None else grad / draws
    if grad is None:
        grad = torch.zeros_like(point)
    grad = grad.contiguous()  # autograd may return an expanded view, which cannot be written to
    return Answer(margin, height.nan_to_num(nan=-torch.inf), torch.nan_to_num(grad, nan=0.0, out=grad))
