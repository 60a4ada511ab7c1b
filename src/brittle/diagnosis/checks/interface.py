"""What a model is asked and what it answers: mode, outputs, bounds, preprocessing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from scipy.stats import binomtest
from torch import Tensor

from ...core.bounds import interval, limits, widest
from ...core.checks import are_probabilities, outside
from ...core.goal import Classify
from ...findings import Finding
from ...report.words import amount, counted, several
from ..probe import Probe

FLOOR = 0.1  # share of rows with two log-probabilities at the same least value
NARROW = 0.1  # share of the range between the bounds that data should at least fill
CROWD = 256  # samples that are preprocessed otherwise
TOGETHER = 32  # samples asked about at a time: the layers of a large network hold a hundred times what its inputs do
SCREEN = 24  # mistakes that another preprocessing is shown first,
MENDED = 2  # and how many of them it must mend to be shown the rest
RISE, CERTAIN = 0.05, 0.01  # of accuracy under another preprocessing, and the level of the sign test on it
WRONG = 0.5  # accuracy below which a scale of 255 too much or too little is thought of
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def training_mode(probe: Probe) -> Iterator[Finding]:
    """Modules left in training mode, and how many predictions that changes."""
    if not probe.training or probe.as_given is None:
        return
    probe.spent.forwards += len(probe.x)
    with torch.no_grad():
        other = int((probe.as_given(probe.inputs).argmax(1) != probe.outputs.argmax(1)).sum())
    yield Finding(
        "training-mode",
        f"{counted(len(probe.training), 'module')} of the model are in training mode ({several(probe.training)}); in "
        "evaluation mode "
        f"{other} of {counted(len(probe.x), 'prediction')} are others.",
        "Dropout then answers at random, and batch normalisation lets the samples of a batch change each other's "
        "outputs: no number is "
        "that of the model which will be used. The other checks were made on a copy in evaluation mode.",
        "Call model.eval() first.",
    )


def together(probe: Probe) -> Iterator[Finding]:
    """Outputs that depend on the other samples of the batch."""
    if probe.random or len(probe.x) < 2:
        return
    alone = torch.cat([probe.ask(one[None]) for one in probe.inputs[:8]])
    beside = probe.outputs[: len(alone)]
    spread = (beside.amax(1) - beside.amin(1)).clamp_min(1e-30)
    apart = (alone - beside).abs().amax(1) / spread
    if bool((apart > 1e-2).any()):
        yield Finding(
            "batch",
            f"Asked alone and asked in a batch of {len(probe.x)}, the same sample gets outputs that differ by "
            f"{float(apart.max()):.0%} of their range.",
            "The samples of a batch change each other's outputs: what an attack finds for one depends on who else "
            "is attacked.",
            "Normalise with stored statistics (for BatchNorm track_running_stats=True and model.eval()).",
        )


def probabilities(probe: Probe) -> Iterator[Finding]:
    """Outputs that are probabilities."""
    if not are_probabilities(probe.outputs):
        return
    sure = float(probe.outputs.amax(1).median())
    yield Finding(
        "probabilities",
        f"All {counted(len(probe.outputs), 'row')} of outputs are non-negative and sum to 1; half of them are at "
        f"least {sure:.4f} sure.",
        "Losses apply a softmax of their own. On top of another one it is almost flat where the model is sure, so "
        "gradients vanish and an "
        "attack stands still.",
        "Return the logits: take the last softmax out, or apply the remedy before-softmax or logarithm.",
    )


def log_probabilities(probe: Probe) -> Iterator[Finding]:
    """Log-probabilities that were cut off below; as such they are as good as logits."""
    z = probe.outputs
    if z.shape[1] < 3 or bool((z.logsumexp(1).abs() > 1e-3).any()) or are_probabilities(z):
        return
    cut = ((z == z.min()).sum(1) >= 2).double().mean()
    if float(cut) >= FLOOR:
        yield Finding(
            "log-probabilities",
            f"The outputs are logarithms of probabilities, and in {float(cut):.0%} of the rows several of them are "
            f"exactly {float(z.min()):.3g}.",
            "They were cut off below: classes at the floor have no gradient, so no attack can be steered to them.",
            "Return the logits, or take log_softmax in place of the logarithm of a clamped softmax; the remedy "
            "before-softmax does so.",
        )


def bounds(probe: Probe) -> Iterator[Finding]:
    """Inputs outside the bounds, or in a small part of them."""
    low, high = float(probe.x.min()), float(probe.x.max())
    beyond = int(outside(probe.x, probe.victim).flatten(1).any(1).sum())
    lower, upper = probe.victim.bounds
    if isinstance(lower, float) and isinstance(upper, float):
        what, share = f"[{amount(lower)}, {amount(upper)}]", (high - low) / (upper - lower)
    else:
        least, most = limits(probe.x, lower, upper)
        filled = (probe.x.amax(0) - probe.x.amin(0)) / (most - least)[0]  # of each feature's own range
        what, share = interval(lower, upper), float(filled.max())
    what = f"the bounds of the input are {what}"
    if beyond:
        yield Finding(
            "bounds",
            f"The inputs span [{amount(low)}, {amount(high)}], and {what}: {beyond} of "
            f"{counted(len(probe.x), 'sample')} lie outside.",
            "Attacks stay inside the bounds, so they begin at another point than the data, and a size in input "
            "units means something else.",
            "Scale the inputs, or give the bounds they have; normalisation belongs inside the model.",
        )
    elif share < NARROW and math.isfinite(widest(lower, upper)):
        yield Finding(
            "bounds",
            f"The inputs span [{amount(low)}, {amount(high)}], {share:.1%} of the range of the bounds: {what}.",
            "A perturbation as large as the threat allows may then be many times what the data hold, or attacks may "
            "go where no data are.",
            "Give the bounds that the data have, and a radius in their units.",
        )


def normalisation(probe: Probe) -> Iterator[Finding]:
    """Whether another preprocessing makes the model much more accurate: normalised once more, once less, or scaled.

    Nothing is said of a model that answers at random: a larger input may just drown its noise.
    """
    if probe.random:
        return
    x, labels = (part[:CROWD] for part in probe.crowd)
    right = _right(probe, x, labels)
    if not _much_more(int((~right).sum()), 0, len(x)):
        return  # not even if every mistake were mended
    best, name, few = right, "", (~right).nonzero().squeeze(1)[:SCREEN]
    for other, change in preprocessings(x, scaled=float(right.double().mean()) < WRONG):
        try:
            if int(_right(probe, change[few], labels[few]).sum()) < MENDED:
                continue
            now = _right(probe, change, labels)
        except Exception:  # a model may refuse what lies outside its bounds
            continue
        if int(now.sum()) > int(best.sum()):
            best, name = now, other
    if not _much_more(int((best & ~right).sum()), int((right & ~best).sum()), len(x)):
        return
    yield Finding(
        "normalisation",
        f"On {counted(len(x), 'sample')} the model is right on {int(right.sum())}; with inputs {name} it is right on "
        f"{int(best.sum())}.",
        "The model does not get what it was trained on, so clean and robust accuracy are those of a model that is "
        "not in use.",
        f"Look for a normalisation that is applied twice or missing; the input that works better is {name}.",
    )


def preprocessings(x: Tensor, scaled: bool = True) -> Iterator[tuple[str, Tensor]]:
    """x (N, *S) by another name each, one at a time: normalised once more and once less, by its own mean and deviation a channel, by
    ImageNet's, by halves; colours in the other order.

    `scaled`: multiplied and divided by 255 too.
    """
    axes = [0, *range(2, x.ndim)] if x.ndim > 2 else [0, 1]
    statistics: dict[str, tuple[Tensor | float, Tensor | float]] = {
        "the data's own": (x.mean(axes, keepdim=True), x.std(axes, keepdim=True).clamp_min(1e-6)),
        "0.5 and 0.5": (0.5, 0.5),
    }
    if x.ndim == 4 and x.shape[1] == 3:
        mean, deviation = (x.new_tensor(values)[:, None, None] for values in IMAGENET)
        statistics["ImageNet's"] = (mean, deviation)
    if scaled:
        yield "times 255", x * 255
        yield "divided by 255", x / 255
    if "ImageNet's" in statistics:
        yield "in the order blue, green, red", x.flip(1)
    for whose, (middle, scale) in statistics.items():
        yield f"normalised once more ({whose} mean and deviation)", (x - middle) / scale
        yield f"normalised once less ({whose} mean and deviation)", x * scale + middle


def _much_more(won: int, lost: int, count: int) -> bool:
    sure = binomtest(won, max(won + lost, 1), 0.5, alternative="greater").pvalue <= CERTAIN
    return won - lost >= RISE * count and bool(sure)


def _right(probe: Probe, x: Tensor, labels: Tensor) -> Tensor:
    outputs = torch.cat([probe.ask(part) for part in torch.split(x, TOGETHER)])
    return (Classify(labels).margin(outputs) < 0).cpu()
