"""Models that answer at random."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from ...findings import Finding
from ...report.words import counted
from ..probe import Probe

DRAWS = 16  # answers and gradients that are compared
ERROR = 0.3  # relative error of the mean gradient that an attack can live with


def randomness(probe: Probe) -> Iterator[Finding]:
    """How far the answers differ, how many predictions flip, and how many draws an attack should average."""
    if not probe.random:
        return
    outputs = torch.stack([probe.outputs, probe.again, *(probe.ask(probe.inputs) for _ in range(DRAWS - 2))])
    labels = outputs.argmax(2)
    usual = labels.mode(0).values
    flips = float((labels != usual).double().mean())
    noise = float((outputs.std(0).mean(1) / (outputs.amax(2) - outputs.amin(2)).mean(0).clamp_min(1e-30)).median())
    draws = draws_needed(probe) if probe.differentiable else None
    advice = "" if draws is None else f" The mean of about {draws} gradients would be right to {ERROR:.0%}."
    yield Finding(
        "random",
        f"Asked {DRAWS} times the same, the model gives outputs that vary by {noise:.1%} of their range, and "
        f"{flips:.1%} of the predictions of "
        f"{counted(len(probe.x), 'sample')} are not the usual one.{advice}",
        "An attack that looks at one draw follows its noise, and whoever judges by one draw counts lucky answers as success or as "
        "robustness. Attacks were therefore not compared one with another.",
        f"Average over draws: an attack with draws={draws or DRAWS} (EOT), such as eotpgd:draws={draws or DRAWS}.",
    )


def draws_needed(probe: Probe) -> int:
    """Draws whose mean gradient has a relative error of ERROR, in the median over samples.

    Of K draws g_k with the variance s^2 = sum |g_k - mean|^2 / (K - 1), n = s^2 / (ERROR^2 m), where m = |mean|^2 - s^2 / K is the
    length of the true mean, squared, without bias; at most 1000.
    """
    grads = torch.stack([probe.gradient(probe.points)[1].flatten(1).double() for _ in range(DRAWS)])
    scale = grads.abs().amax((0, 2)).clamp_min(1e-300)[:, None]
    grads = grads / scale
    variance = grads.var(0).sum(1)
    signal = grads.mean(0).square().sum(1) - variance / DRAWS
    needed = torch.where(signal > 0, variance / (ERROR**2 * signal.clamp_min(1e-30)), math.inf)
    return max(1, min(1000, math.ceil(min(float(needed.median()), 1000.0))))
