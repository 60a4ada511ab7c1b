"""The checks: each looks at a probe and yields what it finds. Cheap ones are part of every evaluation, dear ones are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...core.access import Access
from ...findings import Finding
from ..probe import Probe
from . import attacks, dear, gradients, interface, randomness


@dataclass(frozen=True)
class Check:
    """`look(probe)` yields findings, most often of the kind that the check is named after.

    threat: what it says rests on the threat; under a union it is put once for each ball. needs: what the model must give.
    """

    look: Callable[[Probe], Iterator[Finding]]
    threat: bool = True
    dear: bool = False
    needs: Access = Access.GRADIENT


CHECKS: dict[str, Check] = {
    "training-mode": Check(interface.training_mode, threat=False, needs=Access.LABELS),
    "bounds": Check(interface.bounds, threat=False, needs=Access.LABELS),
    "normalisation": Check(interface.normalisation, threat=False, needs=Access.LABELS),
    "batch": Check(interface.together, threat=False, needs=Access.LABELS),
    "probabilities": Check(interface.probabilities, threat=False, needs=Access.SCORES),
    "log-probabilities": Check(interface.log_probabilities, threat=False, needs=Access.SCORES),
    "random": Check(randomness.randomness, threat=False, needs=Access.LABELS),
    "optimisation-at-inference": Check(gradients.optimisation_at_inference, threat=False),
    "no-gradient": Check(gradients.no_gradient, threat=False),
    "quantised": Check(gradients.quantised, threat=False, needs=Access.SCORES),
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
