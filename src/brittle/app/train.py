"""Train a small network on a named data set, or a new head on a frozen one, and keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ..core.bounds import shared
from ..data.open import open_data
from ..data.samples import slices
from ..errors import InputError
from ..files import make_folder
from ..ranges import check_counts, check_seed
from ..specs import parse_source
from ..victims.heads import HeadCard, check_backbone, features, fit_head, last_linear, save_head, with_head
from ..victims.networks import parse_network, save
from ..victims.open import open_victim
from ..victims.preprocess import as_taken
from ..victims.train import accuracy
from ..victims.train import train as fit


def train_and_save(
    data: str,
    out: str | Path,
    *,
    test: str | None = None,
    net: str = "mlp",
    epochs: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> float:
    """Train `net` on the training split of a DATA string, save it as safetensors, return its accuracy on the test split.

    test: other data to measure it on; data without splits are trained and measured on the same samples where none are named. epochs: by
    default 5, or 30 for fewer than 10,000 samples.
    """
    check_counts(epochs=epochs)
    check_seed(seed)
    training, test = splits(data, test)
    out = writable(out)
    samples = open_data(training)
    architecture = parse_network(net, samples.shape, len(samples.classes))
    epochs = epochs or (5 if len(samples) >= 10_000 else 30)
    if progress is not None:
        progress(0, epochs, f"training {net}")
    module = fit(
        samples,
        architecture,
        epochs=epochs,
        seed=seed,
        progress=None if progress is None else lambda epoch, loss: progress(epoch, epochs, f"loss {loss:.3f}"),
    )
    reached = accuracy(module, open_data(test))
    facts = {"epochs": float(epochs), "seed": float(seed), "test_accuracy": reached}
    save(
        module,
        architecture,
        out,
        data=samples.name,
        bounds=shared(*samples.bounds, "a trained network"),
        training=facts,
    )
    return reached


def train_head(
    data: str,
    out: str | Path,
    *,
    backbone: str,
    test: str | None = None,
    device: str | None = None,
    trust: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> float:
    """Put a new linear head for the data's classes on a frozen backbone, save it as safetensors, return its accuracy on the test split.

    backbone: a VICTIM string of timm:, torchvision:, hf: or py:. The head takes the place of the network's last linear layer; what enters
    that layer is computed once, and the head is the logistic regression on it. The file names the backbone and `net:FILE` opens both.
    """
    check_backbone(backbone)
    training, test = splits(data, test)
    out = writable(out)
    samples = open_data(training)
    opened = open_victim(backbone, device=device, trust=trust, bounds=samples.bounds)
    unnamed = replace(opened, classes=())  # its own classes are not those of the data
    samples, tested = as_taken(samples, unnamed), as_taken(open_data(test), unnamed)
    if len(samples.classes) < 2:
        raise InputError(f"{samples.name} has one class; a head tells two or more apart")
    if tested.classes != samples.classes:
        raise InputError(f"{test} has other classes than {training}; give test data with the same")
    layer = last_linear(opened, samples.batch([0])[0])
    inputs = features(opened, layer, samples, progress and (lambda done, all_: progress(done, all_, "features")))
    labels = torch.cat([samples.batch(range(part.start, part.stop))[1] for part in slices(len(samples))])
    head = fit_head(inputs.float(), labels, len(samples.classes))
    victim = with_head(opened, layer, head, samples.classes, str(out))
    assert victim.module is not None
    reached = accuracy(victim.module, tested)
    card = HeadCard(
        backbone,
        opened.digest,
        layer,
        samples.classes,
        samples.name,
        shared(*samples.bounds, "a trained network"),
        {"test_accuracy": reached},
    )
    save_head(head, card, out)
    return reached


def splits(data: str, test: str | None = None) -> tuple[str, str]:
    """The DATA strings to train and to measure on: the training and the test split, or the data and those named for the test."""
    if test is not None:
        return data, test
    source = parse_source(data)
    if "split" in source.options:
        raise InputError(
            f"{data!r} names one split; leave split= out: training uses the one, the accuracy is that on the other"
        )
    if source.scheme in ("images", "npz"):
        return data, data
    mark = "&" if source.options else "?"
    return f"{data}{mark}split=train", data


def writable(out: str | Path) -> Path:
    """The file's path, its folder made."""
    out = Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{str(out)!r} does not end in .safetensors, the format networks are saved in; add the ending")
    make_folder(out.parent)
    return out
