"""Train a small network on a named data set and keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..data.open import open_data
from ..errors import InputError
from ..specs import parse_source
from ..victims.networks import parse_network, save
from ..victims.train import accuracy
from ..victims.train import train as fit


def train_and_save(
    data: str,
    out: str | Path,
    *,
    net: str = "mlp",
    epochs: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> float:
    """Train `net` on the training split of a DATA string, save it as safetensors, return its accuracy on the test split.

    Data without splits are trained and measured on the same samples. epochs: by default 5, or 30 for fewer than 10,000 samples.
    """
    training, test = splits(data)
    out = Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{str(out)!r} does not end in .safetensors, the format networks are saved in; add the ending")
    out.parent.mkdir(parents=True, exist_ok=True)
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
    save(module, architecture, out, data=samples.name, bounds=samples.bounds, training=facts)
    return reached


def splits(data: str) -> tuple[str, str]:
    """The DATA strings of the training and the test split."""
    source = parse_source(data)
    if "split" in source.options:
        raise InputError(
            f"{data!r} names one split; leave split= out: training uses the one, the accuracy is that on the other"
        )
    if source.scheme in ("images", "npz"):
        return data, data
    mark = "&" if source.options else "?"
    return f"{data}{mark}split=train", data
