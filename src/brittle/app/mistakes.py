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
SEVERAL = 4  # classes among the samples, before a shift of one can be told from a few that are taken for each other
MOSTLY = 0.5  # of the samples, that a model should be right on


def mistakes(
    victim: Victim, data: Samples, x: Tensor, labels: Tensor, outputs: Tensor, accuracy: Share, seed: int
) -> list[Finding]:
    """Why a model may be wrong so often. outputs (B, C) are its answers to x (B, *S)."""
    found = (
        _shifted(outputs, labels, accuracy)
        or _preparations(victim, x, labels, accuracy, seed)
        or _names(victim, data, labels, accuracy)
    )
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


def _shifted(outputs: Tensor, labels: Tensor, accuracy: Share) -> list[Finding]:
    """Answers that are right, counted one further: a class before the first, or labels that count from 1."""
    if len(set(labels.tolist())) < SEVERAL:
        return []
    for by, mend in (
        (1, "If its first output is no class of the data, such as background, let it answer outputs[:, 1:]."),
        (-1, "Count the labels from 0."),
    ):
        right = int((outputs.argmax(1) == labels + by).sum())
        if right >= accuracy.count + FAR * accuracy.n:
            return [
                Finding(
                    "classes",
                    f"On {counted(accuracy.n, 'sample')} the model is right on {accuracy.count}; its answer is the label "
                    f"{'plus' if by > 0 else 'minus'} one on {right}.",
                    "Labels are compared by number, so right answers count as wrong ones.",
                    mend,
                )
            ]
    return []


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


def too_few(outputs: int, data: Samples) -> Finding:
    """Labels for which the model has no output."""
    return Finding(
        "classes",
        f"{data.name} has {len(data.classes):,} classes, the model {counted(outputs, 'output')}.",
        "A label without an output is never right.",
        "Give data of the model's classes, or the network that was trained on these; classes count from 0.",
    )


def refused(error: InputError) -> Finding:
    measured, _, mend = str(error).partition("; ")
    mend = mend or "give a model and data that fit each other"
    return Finding(
        "refused",
        f"{measured[:1].upper()}{measured[1:]}.",
        "Nothing can be attacked like this.",
        f"{mend[:1].upper()}{mend[1:]}.",
    )


def failed(error: Exception, victim: Victim, x: Tensor, seed: int) -> Finding:
    """A model that raises, with the form of the inputs in which it answers, if a usual one is."""
    reason = (str(error).strip() or "no message").splitlines()[0]
    mend = "Give data of the shape and range that the model takes."
    for said, other in _forms(x).items():
        with contextlib.suppress(Exception):  # the model's own, whatever it is
            answers(victim, other, seed)
            mend = f"It answers when the inputs are {said}."
            break
    return Finding(
        "failed",
        f"Asked about {counted(len(x), 'input')} of shape {tuple(x.shape[1:])} the model raised {type(error).__name__}: {reason}.",
        "Nothing can be attacked like this.",
        mend,
    )


def _forms(x: Tensor) -> dict[str, Tensor]:
    """x (B, *S) as other models take it."""
    flat = {"flat: let the model begin with nn.Flatten()": x.flatten(1)} if x.ndim > 2 else {}
    if x.ndim != 4:
        return flat
    if x.shape[3] in (1, 3, 4):
        flat = {"channels first: give x.permute(0, 3, 1, 2)": x.permute(0, 3, 1, 2)} | flat
    if x.shape[1] == 3:
        other = {"grey: give grey pictures, of a folder images:FOLDER?grey=1": x.mean(1, keepdim=True)}
    else:
        other = {
            "colour pictures: give such, or let the model begin with x.expand(-1, 3, -1, -1)": x[:, :1].expand(
                -1, 3, -1, -1
            )
        }
    return other | {"channels last: let the model begin with x.permute(0, 2, 3, 1)": x.permute(0, 2, 3, 1)} | flat
