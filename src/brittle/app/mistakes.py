"""Why a model may be wrong on data, or refuse them, in words."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from torch import Tensor

from ..core.victim import Victim
from ..data.samples import Samples
from ..errors import InputError
from ..findings import Finding
from ..report.shares import Share
from ..report.words import counted
from ..victims.preprocess import Prepared
from .asking import answers

USUAL = {  # preparations of networks, as options
    "mean=0.5&std=0.5": ((0.5,), (0.5,)),
    "mean=0.485,0.456,0.406&std=0.229,0.224,0.225": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean=0&std=1": ((0.0,), (1.0,)),
    "mean=0&std=1/255": ((0.0,), (1 / 255,)),
}
FAR = 0.25  # of the samples, by which another preparation must be better
MOSTLY = 0.5  # of the samples, that a model should be right on


def mistakes(victim: Victim, data: Samples, x: Tensor, labels: Tensor, accuracy: Share, seed: int) -> list[Finding]:
    """Why a model may be wrong so often."""
    found = _preparations(victim, x, labels, accuracy, seed) or _names(victim, data, labels, accuracy)
    if found or accuracy.high >= MOSTLY or not accuracy.count:
        return found
    return [
        Finding(
            "accuracy",
            f"The model is right on {accuracy.count} of {counted(accuracy.n, 'untouched sample')}.",
            "Attacks begin at samples that are right. A model that was good elsewhere often gets another preprocessing here, or labels in "
            "another order.",
            "Compare mean, std, size and the order of the classes with those it was trained with.",
        )
    ]


def _preparations(victim: Victim, x: Tensor, labels: Tensor, accuracy: Share, seed: int) -> list[Finding]:
    """A usual mean and deviation under which a network with a preparation of its own makes far fewer mistakes."""
    module, wanted = victim.module, accuracy.count + FAR * accuracy.n
    if not isinstance(module, Prepared) or wanted > accuracy.n:
        return []
    right: dict[str, int] = {}
    for said, (mean, std) in USUAL.items():
        channels = len(module.preparation.mean)
        if channels % len(mean):
            continue
        other = replace(module.preparation, mean=mean * (channels // len(mean)), std=std * (channels // len(mean)))
        prepared = Prepared(module.network, other, module.inside, module.upper).to(victim.device, victim.dtype)
        with contextlib.suppress(InputError):  # an overflow: that one is not it
            right[said] = int((answers(replace(victim, forward=prepared), x, seed).argmax(1) == labels).sum())
    best = max(right, key=lambda said: right[said], default="")
    if not best or right[best] < wanted:
        return []
    return [
        Finding(
            "normalisation",
            f"On {counted(accuracy.n, 'sample')} the model is right on {accuracy.count}; with {best} it is right on {right[best]}.",
            "The network does not get what it was trained on, so clean and robust accuracy are those of a model that is not in use.",
            f"Add {best} to the victim.",
        )
    ]


def _names(victim: Victim, data: Samples, labels: Tensor, accuracy: Share) -> list[Finding]:
    """Data whose classes have other names than the model's at the same numbers, where the model is no better than chance on them."""
    numbers = data.classes == tuple(map(str, range(len(data.classes))))
    if numbers or not victim.classes or data.classes == victim.classes or accuracy.low > 2 / len(victim.classes):
        return []
    label = int(labels[0])
    return [
        Finding(
            "classes",
            f"Class {label} is {data.classes[label]!r} in the data and {victim.classes[label]!r} in the model.",
            "Labels are compared by number, so right answers count as wrong ones.",
            "Number the classes as the model does, for a folder of images in the column label of a labels.csv.",
        )
    ]


def refused(error: InputError) -> Finding:
    measured, _, mend = str(error).partition("; ")
    return Finding(
        "refused",
        f"{measured[:1].upper()}{measured[1:]}.",
        "Nothing can be attacked like this.",
        f"{mend[:1].upper()}{mend[1:]}.",
    )


def failed(error: Exception, x: Tensor) -> Finding:
    reason = (str(error).strip() or "no message").splitlines()[0]
    return Finding(
        "failed",
        f"Asked about {counted(len(x), 'input')} of shape {tuple(x.shape[1:])} the model raised {type(error).__name__}: {reason}.",
        "Nothing can be attacked like this.",
        "Give data of the shape and range that the model takes.",
    )
