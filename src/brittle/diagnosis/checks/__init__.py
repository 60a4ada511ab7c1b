"""The checks: each looks at a probe and yields what it finds. Cheap ones are part of every evaluation, dear ones are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...findings import Finding
from ..probe import Probe
from . import attacks, dear, gradients, interface, randomness


@dataclass(frozen=True)
class Check:
    """`look(probe)` yields findings, most often of the kind that the check is named after."""

    look: Callable[[Probe], Iterator[Finding]]
    dear: bool = False


CHECKS: dict[str, Check] = {
    "training-mode": Check(interface.training_mode),
    "bounds": Check(interface.bounds),
    "normalisation": Check(interface.normalisation),
    "batch": Check(interface.together),
    "probabilities": Check(interface.probabilities),
    "log-probabilities": Check(interface.log_probabilities),
    "random": Check(randomness.randomness),
    "optimisation-at-inference": Check(gradients.optimisation_at_inference),
    "no-gradient": Check(gradients.no_gradient),
    "zero-gradient": Check(gradients.zero_gradient),
    "underflow": Check(gradients.underflow),
    "noisy-surface": Check(gradients.noisy_surface),
    "one-step": Check(attacks.one_step),
    "black-box": Check(attacks.black_box),
    "noise": Check(attacks.noise),
    "not-rising": Check(attacks.not_rising),
    "unbounded": Check(attacks.unbounded),
    "not-converged": Check(attacks.not_converged),
    "attack-failure": Check(dear.indicators, dear=True),
    "binarization": Check(dear.binary, dear=True),
    "transfer": Check(dear.transfer, dear=True),
}
