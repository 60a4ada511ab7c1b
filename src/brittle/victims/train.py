"""Train a small network, repeatably."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..data.samples import Samples, slices
from ..errors import InputError
from ..ranges import check_counts
from .networks import Architecture

Progress = Callable[[int, float], None]  # epoch from 1, mean loss over it


def train(
    data: Samples,
    architecture: Architecture,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Sequential:
    """A network trained by Adam on cross-entropy, in eval mode.

    The learning rate falls from `lr` to 0 over the last epoch. The same arguments give the same weights, and torch's
    global random numbers are left as they were. Raises InputError for settings out of range, for data that do not fit
    the architecture, and when the loss is no longer finite.
    """
    _check(data, architecture, epochs, batch_size, lr)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch the GPU's numbers too
        module = architecture.build()
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    steps = -(-len(data) // batch_size)  # an epoch's
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, epochs - step / steps))
    for epoch in range(1, epochs + 1):
        total = 0.0
        shuffled = torch.randperm(len(data), generator=order).tolist()
        for part in slices(len(data), batch_size):
            x, labels = data.batch(shuffled[part])
            loss = cross_entropy(module(x), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(labels)
        if not isfinite(total):
            raise InputError(f"the loss is no longer finite in epoch {epoch} with lr={lr:g}; give a smaller lr")
        if progress is not None:
            progress(epoch, total / len(data))
    return module.eval()


def accuracy(module: nn.Module, data: Samples) -> float:
    """The share of samples, in [0, 1], whose largest logit is the label's. The module must be in eval mode."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    right = 0
    with torch.inference_mode():
        for part in slices(len(data)):
            x, labels = data.batch(range(part.start, part.stop))
            right += int((module(x.to(device)).argmax(1).cpu() == labels).sum())
    return right / len(data)


def _check(data: Samples, architecture: Architecture, epochs: int, batch_size: int, lr: float) -> None:
    check_counts(epochs=epochs, batch_size=batch_size)
    if not (isfinite(lr) and lr > 0):
        raise InputError(f"lr={lr:g} is no learning rate; give a number above 0, for example 1e-3")
    if data.shape != architecture.shape:
        raise InputError(
            f"{data.name} has samples {data.shape}, the network takes {architecture.shape}; give it that shape"
        )
    if len(data.classes) > architecture.classes:
        raise InputError(
            f"{data.name} has {len(data.classes)} classes, the network {architecture.classes}; give it as many classes"
        )
