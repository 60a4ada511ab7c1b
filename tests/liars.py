"""The zoo of liars: networks for the 8 x 8 digits that look robust to an attack that trusts their gradients, and are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import brittle
from liar_layers import (
    AlwaysDropout,
    Decoy,
    Detector,
    Frozen,
    Jpeg,
    Logits,
    Lookup,
    Lottery,
    Median,
    Noise,
    Normalise,
    Numpy,
    Quantise,
    ResizeAndPad,
    Sign,
    Steep,
    Thermometer,
    TotalVariation,
    WinnersTakeAll,
)
from liar_measures import AVERAGED, BLACK, Honest, Liar, Mistake
from liar_training import (
    adversarial,
    autoencoder,
    cnn,
    distilled,
    fit,
    mlp,
    plain,
    trades,
    watchdog,
)


def _behind(*layers: nn.Module) -> Callable[[], nn.Module]:
    """These layers, then the network without a defence."""
    return lambda: nn.Sequential(*layers, plain())


def _said(change: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    """What the network without a defence says, changed."""
    return lambda: Logits(plain(), change)


def _trained(*layers: nn.Module, channels: int = 1, epochs: int = 20) -> Callable[[], nn.Module]:
    """A network trained behind these layers."""
    return lambda: fit(lambda: nn.Sequential(*layers, cnn(channels)), epochs=epochs)


def _dropping() -> nn.Module:
    drop = partial(AlwaysDropout, 0.4)
    hidden = (nn.Linear(64, 128), nn.ReLU(), drop(), nn.Linear(128, 128), nn.ReLU(), drop())
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, 10))


def _saturated() -> nn.Module:
    net = fit(partial(mlp, activation=nn.Tanh))
    return nn.Sequential(*(Steep(1000.0) if isinstance(layer, nn.Tanh) else layer for layer in net))


def _decoyed() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Decoy(plain(), cnn())


def _normalised_twice() -> nn.Module:
    layer = Normalise(0.5, 0.1)
    return nn.Sequential(layer, fit(lambda: nn.Sequential(layer, cnn())))


def _normalised(channels: int = 16) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * channels, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, 10),
    )


LIARS: dict[str, Liar] = {
    "softmax": Liar(
        what="A confident network that gives probabilities as if they were logits.",
        make=_said(lambda z: (15 * z).softmax(1)),
        expects=("probabilities",),
        also=("underflow", "zero-gradient"),
        remedy="before-softmax",
    ),
    "log-probabilities": Liar(
        what="Log-probabilities times a millionth.",
        make=_said(lambda z: 1e-6 * z.log_softmax(1)),
        expects=("underflow",),
        also=("log-probabilities",),
        remedy="rescale",
        eps=0.15,
    ),
    "small-logits": Liar(
        what="Logits times 1e-4: to the cross-entropy all classes but the label are alike.",
        make=_said(lambda z: 1e-4 * z),
        expects=("underflow",),
        remedy="rescale",
        eps=0.15,
    ),
    "large-logits": Liar(
        what="Logits times 1e4: the cross-entropy's gradient is zero in float32.",
        make=_said(lambda z: 1e4 * z),
        expects=("underflow",),
        also=("zero-gradient",),
        remedy="rescale",
    ),
    "distilled": Liar(
        what="Defensive distillation at temperature 100.",
        make=partial(distilled, 100.0),
        expects=("underflow",),
        also=("zero-gradient",),
        remedy="rescale",
        twin=lambda net: Logits(net, lambda z: z / 100),
    ),
    "normalised-twice": Liar(
        what="The normalisation applied before a network that has its own: ten times the contrast, and saturated logits.",
        make=_normalised_twice,
        expects=("underflow",),
        also=("normalisation", "zero-gradient"),
        remedy="rescale",
    ),
    "saturated": Liar(
        what="Hidden units so steep that tanh is +1 or -1, and its derivative zero, in float32.",
        make=_saturated,
        expects=("zero-gradient",),
        also=("underflow",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "quantised-8-bit": Liar(
        what="The input rounded to 256 levels.",
        make=_behind(Quantise(256)),
        expects=("zero-gradient",),
        remedy="straight-through",
    ),
    "quantised-4-bit": Liar(
        what="The input rounded to 16 levels.",
        make=_behind(Quantise(16)),
        expects=("zero-gradient",),
        remedy="straight-through",
    ),
    "jpeg": Liar(
        what="The cosine transform of the input, rounded.",
        make=_behind(Jpeg(0.1)),
        expects=("zero-gradient",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "sign": Liar(
        what="Hidden units that are +1 or -1.",
        make=lambda: fit(lambda: mlp(256, Sign)),
        expects=("zero-gradient",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "thermometer": Liar(
        what="Each pixel as the list of the thresholds that it reaches.",
        make=_trained(Thermometer(16), channels=16, epochs=10),
        expects=("no-gradient",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "median": Liar(
        what="A median filter, computed by numpy.",
        make=_trained(Median(), epochs=10),
        expects=("no-gradient",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "numpy": Liar(
        what="A change of contrast, computed by numpy.",
        make=_trained(Numpy(), epochs=10),
        expects=("no-gradient",),
        remedy="straight-through",
    ),
    "total-variation": Liar(
        what="The smoothest image near the input, found by descent at inference.",
        make=_behind(TotalVariation(0.05, steps=8)),
        expects=("optimisation-at-inference", "no-gradient"),
        remedy="straight-through",
        direct=BLACK,
    ),
    "purifier": Liar(
        what="An autoencoder before the network, called without gradients.",
        make=lambda: nn.Sequential(Frozen(autoencoder()), plain()),
        expects=("no-gradient",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "decoy": Liar(
        what="The network without its gradient, and a thousandth of an untrained one with.",
        make=_decoyed,
        expects=("black-box",),
        also=("no-gradient",),
        remedy="straight-through",
    ),
    "lookup": Liar(
        what="A table that is near the identity, with slopes that are not.",
        make=_behind(Lookup(32, 1.0)),
        expects=("noisy-surface",),
        remedy="straight-through",
        direct=BLACK,
    ),
    "k-winners": Liar(
        what="Only the largest tenth of the hidden units answer.",
        make=lambda: fit(lambda: mlp(512, partial(WinnersTakeAll, 0.1)), epochs=10),
        expects=("black-box",),
        remedy="black-box",
        direct=BLACK,
    ),
    "fgsm-trained": Liar(
        what="Trained on FGSM at a large radius: the surface bends so that following it leads astray.",
        make=lambda: fit(lambda: mlp(256), loss=adversarial(0.3, 1), epochs=40),
        expects=("black-box",),
        remedy="black-box",
        eps=0.25,
        direct=BLACK,
    ),
    "resize-and-pad": Liar(
        what="The input at a random size and place.",
        make=_trained(ResizeAndPad()),
        expects=("random",),
        remedy="draws",
        adaptive=AVERAGED,
        random=True,
    ),
    "noise": Liar(
        what="Gaussian noise on the input.",
        make=_behind(Noise(0.2)),
        expects=("random",),
        remedy="draws",
        adaptive=AVERAGED,
        random=True,
    ),
    "dropout": Liar(
        what="Dropout that eval mode does not switch off.",
        make=lambda: fit(_dropping),
        expects=("random",),
        remedy="draws",
        adaptive=AVERAGED,
        random=True,
    ),
    "lottery": Liar(
        what="One of four networks answers, drawn at random.",
        make=lambda: Lottery(*(fit(mlp, seed=seed) for seed in range(4))),
        expects=("random",),
        remedy="draws",
        adaptive=AVERAGED,
        random=True,
    ),
    "detector": Liar(
        what="A second network looks for attacks, and rejects them: all logits are equal, which is neither right nor won.",
        make=lambda: Detector(plain(), watchdog(plain(), 0.2), 0.0),
        expects=("zero-gradient",),
        remedy="rejection",
        adaptive=(brittle.pgd(steps=100, loss="margin"),),
        steered=True,
    ),
}

HONEST: dict[str, Honest] = {
    "plain": Honest(what="Trained on clean digits.", make=plain),
    "tanh": Honest(what="Fully connected, with tanh.", make=lambda: fit(partial(mlp, activation=nn.Tanh))),
    "batch-norm": Honest(what="With BatchNorm and dropout, in eval mode.", make=lambda: fit(_normalised), eps=0.08),
    "normalised": Honest(what="Normalised once.", make=_trained(Normalise(0.5, 0.25))),
    "pgd-trained": Honest(what="Trained on PGD.", make=lambda: fit(mlp, loss=adversarial(0.1, 5, 0.1), epochs=15)),
    "trades-trained": Honest(what="Trained by TRADES.", make=lambda: fit(mlp, loss=trades(0.1, 5), epochs=15)),
}

MISTAKES: dict[str, Mistake] = {
    "training-mode": Mistake(
        what="BatchNorm and dropout left in training mode: each answer depends on the rest of the batch.",
        make=lambda: fit(_normalised).train(),
        expects=("training-mode",),
    ),
    "not-normalised": Mistake(
        what="Without the normalisation that it was trained with.",
        make=lambda: fit(lambda: nn.Sequential(Normalise(0.5, 0.25), cnn()))[1],
        expects=("normalisation",),
    ),
}
