"""Losses: pure functions (outputs (B, C), goal) -> (B,), always ascended; a registry open to the user's own.

An attack needs a loss's slope, d loss / d outputs (B, C), and sends that back through the victim. Where it is known in closed form it is
written down here, which is exact where autograd would round, and spares a small network half the time of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError, unknown
from .goal import Classify, Goal, about_classes, margin, pick, without

Outputs = Float[Tensor, "b c"]
PerSample = Float[Tensor, " b"]
Loss = Callable[[Tensor, Any], Tensor]  # of a goal; those of classes refuse another kind

LOSSES: dict[str, Loss] = {}
SLOPES: dict[str, Loss] = {}  # (outputs (B, C), goal) -> (B, C), of the losses that have a closed form


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """Decorator: make a function (outputs (B, C), goal) -> (B,), to be ascended, known under `name`."""

    def add(function: Loss) -> Loss:
        if name in LOSSES and LOSSES[name] is not function:
            raise InputError(f"a loss named {name!r} exists already; choose another name")
        LOSSES[name] = function
        return function

    return add


def of_classes(loss: Loss) -> Loss:
    """Decorator: the loss, or slope, refuses with a sentence a goal that is not about classes."""

    @wraps(loss)
    def checked(outputs: Tensor, goal: Goal) -> Tensor:
        return loss(outputs, about_classes(goal, f"the loss {loss.__name__.removesuffix('_slope').strip('_')}"))

    return checked


def find_loss(name: object) -> Loss:
    """The registered loss of that name."""
    if not isinstance(name, str):
        raise InputError(
            f"loss={getattr(name, '__name__', type(name).__name__)} is no name; give one of `brittle list losses`, or give "
            "your own function (outputs (B, C), goal) -> (B,) a name with @brittle.register_loss('mine') and write loss='mine'"
        )
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]


def find_slope(name: object) -> Loss:
    """(outputs (B, C), goal) -> d loss / d outputs (B, C) of the registered loss of that name."""
    return SLOPES[name] if isinstance(name, str) and name in SLOPES else partial(_slope_by_autograd, find_loss(name))


def _slope_by_autograd(loss: Loss, outputs: Tensor, goal: Goal) -> Tensor:
    with torch.enable_grad():
        asked = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(asked, goal).sum(), asked)
    return slope


@register_loss("cross_entropy")
@of_classes
def cross_entropy(outputs: Outputs, goal: Classify) -> PerSample:
    """-log p_y untargeted, log p_t targeted.

    Written as softplus(logsumexp_{j != y} z_j - z_y), which is the same number but keeps its gradient where p_y rounds to 1; the usual form
    gives an exact zero from a gap of about 17 logits on, in float32.
    """
    own = goal.steered.squeeze(1)
    loss = F.softplus(without(outputs, own).logsumexp(1) - pick(outputs, own))
    return loss if goal.aim is None else -loss


@of_classes
def _cross_entropy_slope(outputs: Tensor, goal: Classify) -> Tensor:
    """softmax - onehot, the label's entry as minus the sum of the others, so that it does not cancel to zero."""
    slope = outputs.softmax(1).scatter_(1, goal.steered, 0)
    slope.scatter_(1, goal.steered, slope.sum(1, keepdim=True).neg_())
    return slope if goal.aim is None else slope.neg_()


@register_loss("margin")
def steered_margin(outputs: Outputs, goal: Goal) -> PerSample:
    """What the goal itself asks for: for classes the margin in the outputs; steered to a class t that need not win, z_t - z_y."""
    return goal.steer(outputs)


def _margin_slope(outputs: Tensor, goal: Goal) -> Tensor:
    return goal.slope(outputs)


SLOPES["cross_entropy"], SLOPES["margin"] = _cross_entropy_slope, _margin_slope


@register_loss("logit_difference")
@of_classes
def logit_difference(outputs: Outputs, goal: Classify) -> PerSample:
    """z_t - z_y for a target t and true label y; without a target, the margin (t is then the best other class)."""
    if goal.aim is None:
        return margin(outputs, goal)
    return pick(outputs, goal.aim) - pick(outputs, goal.labels)


@register_loss("logit")
@of_classes
def logit(outputs: Outputs, goal: Classify) -> PerSample:
    """The output of the class aimed at, z_t; untargeted -z_y. Simonyan et al. 2014, arXiv:1312.6034; Zhao et al. 2021, arXiv:2012.11207."""
    own = pick(outputs, goal.steered.squeeze(1))
    return -own if goal.aim is None else own


@register_loss("probability")
@of_classes
def probability(outputs: Outputs, goal: Classify) -> PerSample:
    """The softmax probability of the class aimed at, p_t; untargeted -p_y. For integrated gradients, as public codes of MIG have it."""
    return logit(outputs.softmax(1), goal)


@register_loss("probability_margin")
@of_classes
def probability_margin(outputs: Outputs, goal: Classify) -> PerSample:
    """The margin of the softmax probabilities. PMA, Xie et al., CVPR 2025, arXiv:2411.15210."""
    return steered_margin(outputs.softmax(1), goal)


@register_loss("dlr")
@of_classes
def dlr(outputs: Outputs, goal: Classify) -> PerSample:
    """Difference of logits ratio, invariant to shift and scale of the logits. Croce and Hein, ICML 2020, arXiv:2003.01690.

    Untargeted, equation 6: -(z_y - max_{j != y} z_j) / (z_(1) - z_(3)). Targeted, equation 7:
    -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2). Needs 3 classes, targeted 4.
    """
    classes, needed = outputs.shape[1], 3 if goal.aim is None else 4
    if classes < needed:
        kind = "dlr" if goal.aim is None else "targeted dlr"
        raise InputError(f"the loss {kind} needs at least {needed} classes, the model has {classes}; use loss=margin")
    z = outputs.topk(needed, dim=1).values
    third = z[:, 2] if goal.aim is None else (z[:, 2] + z[:, 3]) / 2
    return logit_difference(outputs, goal) / (z[:, 0] - third).clamp_min(torch.finfo(outputs.dtype).tiny)


@register_loss("dlr_or_margin")
@of_classes
def dlr_or_margin(outputs: Outputs, goal: Classify) -> PerSample:
    """`dlr` where the model has classes enough for it (3, steered 4), else the margin."""
    return dlr(outputs, goal) if _enough_for_dlr(outputs, goal) else steered_margin(outputs, goal)


def _enough_for_dlr(outputs: Tensor, goal: Classify) -> bool:
    return outputs.shape[1] >= (3 if goal.aim is None else 4)


@of_classes
def _dlr_slope(outputs: Tensor, goal: Classify) -> Tensor:
    """Of the ratio rise / scale: (slope of rise - ratio * slope of scale) / scale."""
    if not _enough_for_dlr(outputs, goal):
        dlr(outputs, goal)  # says so
    aimed = goal.aim is not None
    z, order = outputs.topk(4 if aimed else 3, dim=1)
    scale = (z[:, :1] - (z[:, 2:].mean(1, keepdim=True))).clamp_min(torch.finfo(outputs.dtype).tiny)
    label = goal.labels[:, None]
    towards = outputs.scatter(1, label, -torch.inf).argmax(1, keepdim=True) if goal.aim is None else goal.aim[:, None]
    rise = outputs.gather(1, towards) - outputs.gather(1, label)
    ratio = torch.where(scale > torch.finfo(outputs.dtype).tiny, rise / scale, 0)
    slope = torch.zeros_like(outputs).scatter_(1, order[:, :1], -ratio)
    slope.scatter_add_(1, order[:, 2:], (ratio / (2 if aimed else 1)).expand(-1, 2 if aimed else 1))
    one = torch.ones_like(ratio)
    return slope.scatter_add_(1, towards, one).scatter_add_(1, label, -one).div_(scale)


@of_classes
def _dlr_or_margin_slope(outputs: Tensor, goal: Classify) -> Tensor:
    return _dlr_slope(outputs, goal) if _enough_for_dlr(outputs, goal) else goal.slope(outputs)


SLOPES["dlr"], SLOPES["dlr_or_margin"] = _dlr_slope, _dlr_or_margin_slope
