"""What is checked once, before anything runs, each failure with a sentence that tells the mend."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..kernels.shapes import wide
from .bounds import feature, limits
from .labels import seeming
from .outputs import logits_of, single
from .victim import Victim


def check_inputs(x: Tensor, victim: Victim) -> None:
    """x is a floating batch (B, ...), finite, inside the victim's bounds up to `NOISE`."""
    if not isinstance(x, Tensor):
        raise InputError(f"the inputs are a {type(x).__name__}; give a float tensor of shape (batch, ...)")
    if not x.is_floating_point():
        raise InputError(f"the inputs are {x.dtype}; give floats, for images x.float() / 255")
    module = victim.module if victim.forward is victim.module else None  # a callable may convert what it gets
    if module is not None and next(module.parameters(), None) is not None and x.dtype != victim.dtype:
        raise InputError(f"the inputs are {x.dtype}, the model's weights {victim.dtype}; give x.to({victim.dtype})")
    if x.ndim < 2:
        raise InputError(f"the inputs have shape {tuple(x.shape)}; the first axis must be the batch: try x[None]")
    if x.numel() == 0:
        return
    low, high = float(x.min()), float(x.max())
    if low != low or high != high:
        raise InputError("the inputs contain NaN; every value must lie inside the bounds")
    beyond = outside(x, victim)
    if not bool(beyond.any()):
        if math.isinf(low) or math.isinf(high):
            raise InputError("the inputs contain infinity; every value must be finite, even where the bounds are not")
        return
    mend = "scale them, or pass bounds=(lowest, highest) of the model's input (normalisation belongs inside the model)"
    if isinstance(victim.lower, float) and isinstance(victim.upper, float):
        given = f"bounds=({victim.lower:g}, {victim.upper:g})"
        raise InputError(f"the inputs span [{low:.4g}, {high:.4g}], outside {given}; {mend}")
    row, *place = (int(i) for i in beyond.nonzero()[0])
    lower, upper = (float(limit[0, *place]) for limit in limits(x, *victim.bounds))
    raise InputError(
        f"feature {feature(tuple(place))} of input {row} is {float(x[row, *place]):.4g}, outside its bounds ({lower:g}, {upper:g}); {mend}"
    )


NOISE = 1e-6  # of the range of a feature, or of the largest value of the sample where that is less: by so much does scaling data miss it


def outside(x: Tensor, victim: Victim) -> Tensor:
    """Which values of x (B, *S) lie outside the victim's bounds, by more than `NOISE` (B, *S) bool."""
    low, high = limits(x, *victim.bounds)
    largest = wide(x.abs().flatten(1).amax(1), x)
    slack = NOISE * torch.minimum(high - low, largest)
    return (x < low - slack) | (x > high + slack)


def check_labels(labels: Tensor, count: int, classes: int, what: str = "labels") -> None:
    """labels are integers (B,) in [0, classes)."""
    check_indices(labels, count, what)
    if count and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise InputError(f"{what[:-1]} {wrong} is out of range: the model has {classes} classes, 0 to {classes - 1}")


def check_indices(labels: Tensor, count: int, what: str) -> None:
    """Integers (B,), one for each input."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype in (torch.bool, torch.complex64):
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        seems = seeming(labels, count) if isinstance(labels, Tensor) and labels.is_floating_point() else ""
        raise InputError(f"the {what} are {kind}{seems or f'; give an integer tensor, such as {what}.long()'}")
    if labels.shape != (count,):
        raise InputError(
            f"the {what} have shape {tuple(labels.shape)}, the inputs need ({count},): one each{seeming(labels, count)}"
        )


def check_confidence(confidence: float | None) -> None:
    """A probability strictly between 0 and 1, or None."""
    if confidence is not None and not 0 < confidence < 1:
        raise InputError(f"confidence={confidence:g} is not a probability; give a number between 0 and 1")


def check_outputs(outputs: Any, count: int) -> Tensor:
    """Outputs are finite floats (B, C), C > 1."""
    found = logits_of(outputs, count)
    if not found.is_floating_point():
        raise InputError(f"the model returns {found.dtype}; logits must be floats, not class indices")
    if count and found.shape in ((count,), (count, 1)):
        raise InputError(single(found))
    if found.ndim > 2 and found.shape[0] == count:
        raise InputError(
            f"the model returns shape {tuple(found.shape)} for {count} inputs: logits for each position of a sample look like "
            "segmentation, which is not supported yet; attack one position, with the model as lambda x: model(x)[:, :, i, j], or move all "
            "outputs towards those for another input with brittle.mimic"
        )
    if found.ndim != 2 or found.shape[0] != count:
        raise InputError(
            f"the model returns shape {tuple(found.shape)} for {count} inputs; "
            f"it must be ({count}, classes): one row of logits an input"
        )
    check_finite(found, "clean inputs")
    return found


def are_probabilities(outputs: Tensor) -> bool:
    """Whether all rows (B, C) are non-negative and sum to 1; no rows are no probabilities."""
    return len(outputs) > 0 and bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < 1e-3).all())


def check_logits(outputs: Any, count: int) -> Tensor:
    """Outputs as `check_outputs` wants them, and no probabilities."""
    found = check_outputs(outputs, count)
    if are_probabilities(found):
        raise InputError(
            "the model returns probabilities (non-negative rows that sum to 1), which hide gradients; return the logits: "
            "remove the last softmax, or give output='probability'"
        )
    return found


def check_finite(outputs: Tensor, where: str) -> None:
    """No NaN, no infinity."""
    bad = ~torch.isfinite(outputs).all(1)
    if bool(bad.any()):
        kind = "NaN" if bool(torch.isnan(outputs).any()) else "infinite"
        raise InputError(
            f"the model returns {kind} logits for {int(bad.sum())} of {len(outputs)} {where}; "
            "no verdict is possible there: look for a division by zero, a log of zero or an overflow in the model"
        )
