"""From an attack at a fixed radius to a small perturbation: AttackBench's search for the smallest radius, a sample at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from optimality_meter import Meter

ROUNDS = 10
AtRadius = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, labels, radius) of some samples -> x_adv

# Where the search starts: about the size that attacks need on networks trained to withstand them. The same for every attack.
STARTS = {
    "mnist": {"linf": 0.15, "l2": 1.5, "l1": 10.0, "l0": 16.0},
    "cifar10": {"linf": 0.015, "l2": 0.4, "l1": 8.0, "l0": 24.0},
}


def smallest_radius(
    meter: Meter, x: Tensor, labels: Tensor, attack: AtRadius, start: float, norm: str, together: bool
) -> Tensor:
    """Run the attack `ROUNDS` times: double the radius of a sample until it is won, then halve the interval.

    Won is what the meter saw won within the radius, for which no query is charged. `together`: the attack takes a radius for each sample;
    otherwise it runs once for each different radius.
    """
    low, high = torch.zeros(len(x)), torch.full((len(x),), math.inf)
    radius, returned = torch.full((len(x),), start), x.clone()
    widest = {"linf": 1.0, "l0": float(x[0].numel())}.get(norm, math.inf)
    for _ in range(ROUNDS):
        open_ = meter.forwards + meter.backwards < meter.budget
        groups = [open_] if together else [open_ & (radius == value) for value in radius[open_].unique()]
        for group in groups:
            rows = group.nonzero().squeeze(1)
            if len(rows):
                with meter.telling(rows):
                    returned[rows] = attack(x[rows], labels[rows], radius[rows]).detach()
                meter.offer(returned[rows], rows)
        won = meter.best <= radius.double() * (1 + 1e-5)
        high = torch.where(won, radius, high)
        low = torch.where(won, low, radius)
        radius = torch.where(high.isinf(), (2 * low).clamp_max(widest), (low + high) / 2)
        if norm == "l0":
            radius = radius.ceil()
    return returned
