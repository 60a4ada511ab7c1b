"""From what was found to the remedies that help: each is tried, and one that helps nothing is not kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..attacks.combine.through import Through
from ..attacks.fixed.recipes import pgd
from ..attacks.remedies import (
    BeforeSoftmax,
    DoublePrecision,
    Logarithm,
    Rejection,
    Remedy,
    Rescale,
    Smoothed,
    StandIn,
    StraightThrough,
    mended,
)
from ..core.goal import Classify
from ..core.problem import Attack, Threat
from ..core.streams import Streams
from ..core.trial import attempt
from ..core.victim import Victim
from ..errors import InputError
from ..findings import Finding
from .blocked import blocked

STEPS = 10  # of the PGD that remedies are tried with
GAIN = 0.05  # share of the samples, and at least two of them, that a remedy must win in addition
SHARES = (1.0, 0.3, 0.1)  # of the measured weight of a rejection
NEIGHBOURS = 10  # of each point, where smoothing is tried
PASSES = 4  # rounds of looking for layers that stop the gradient behind those already stood in for

Remedies = tuple[Remedy, ...]


@dataclass(frozen=True)
class Mending:
    """What helps, and how much: of `samples` that are right untouched a PGD of 10 steps wins `before`, and through `remedies` `after`.

    forwards, backwards: what the trying cost, of all samples together.
    """

    remedies: Remedies
    before: int
    after: int
    samples: int
    forwards: int
    backwards: int


@dataclass(eq=False)
class _Bench:
    """The samples that remedies are tried on, what each set of them won, and what was spent."""

    victim: Victim
    x: Tensor
    labels: Tensor
    threat: Threat
    seed: int
    known: dict[Remedies, int] = field(default_factory=dict)
    forwards: int = 0
    backwards: int = 0

    def won(self, remedies: Remedies) -> int:
        """How many samples a short PGD wins with these remedies, as the untouched victim is judged; none where they do not work."""
        if remedies not in self.known:
            attack: Attack = Through(pgd(STEPS), remedies) if remedies else pgd(STEPS)
            try:
                self.known[remedies] = self._won(attack)
            except (InputError, RuntimeError):  # a stand-in of the wrong shape, no softmax, no gradient at all
                self.known[remedies] = 0
        return self.known[remedies]

    def _won(self, attack: Attack) -> int:
        ids = torch.arange(len(self.x), device=self.x.device)
        with self.victim.undisturbed(self.seed):
            trial = attempt(attack, self.victim, self.threat, self.x, Classify(self.labels), ids, self.seed)
        self.forwards += int(trial.forwards.sum())
        self.backwards += int(trial.backwards.sum())
        return int(trial.verdict.success.sum())

    @property
    def gain(self) -> int:
        """So many more must be won."""
        return max(2, math.ceil(GAIN * len(self.x)))


def mend(
    victim: Victim, x: Tensor, labels: Tensor, threat: Threat, findings: Sequence[Finding], seed: int = 0
) -> Remedies:
    """The remedies worth attacking through, the innermost first; () where none helps. See `try_remedies`."""
    return try_remedies(victim, x, labels, threat, findings, seed).remedies


def try_remedies(
    victim: Victim, x: Tensor, labels: Tensor, threat: Threat, findings: Sequence[Finding], seed: int = 0
) -> Mending:
    """Try on x (B, *S) with labels (B,) what CURES has for the kinds of the findings, by what a PGD of 10 steps wins under the threat.

    Of each kind of cure the one that wins most is added to those before it, if it wins at least 5 % of the samples more, and two; where
    none does so by itself, those of layers and of outputs are tried together. What later ones have made idle goes again. A few dozen
    samples tell most, under a threat that the victim as it is withstands on most of them. Some 10 runs, or 40 where cures help only
    together; the few forwards that look for layers are not charged.
    """
    with torch.no_grad():
        right = victim(x).argmax(1) == labels
    bench = _Bench(victim, x[right], labels[right], threat, seed)
    kept: Remedies = ()
    if len(bench.x):
        kinds = {finding.kind for finding in findings}
        cures = {cure: cure(bench) for cure, cured in CURES.items() if kinds & cured}
        for choices in cures.values():
            kept = _better(bench, kept, [kept + choice for choice in choices])
        if not kept and _backward in cures and _outputs in cures:
            kept = _better(bench, (), [a + b for a, b in itertools.product(cures[_backward], cures[_outputs])])
        kept = _needed(bench, kept)
    before = bench.won(()) if len(bench.x) else 0
    after = bench.won(kept) if len(bench.x) else 0
    return Mending(kept, before, after, len(bench.x), bench.forwards, bench.backwards)


def _better(bench: _Bench, kept: Remedies, choices: list[Remedies]) -> Remedies:
    """The choice that wins most, the first of equals; `kept` where that is not enough more."""
    if bench.won(kept) + bench.gain > len(bench.x):
        return kept
    best = max(choices, key=bench.won, default=kept)
    return best if bench.won(best) >= bench.won(kept) + bench.gain else kept


def _needed(bench: _Bench, kept: Remedies) -> Remedies:
    """Without those whose loss costs nothing."""
    for remedy in kept:
        rest = tuple(other for other in kept if other is not remedy)
        if bench.won(rest) >= bench.won(kept):
            kept = rest
    return kept


def _rejections(bench: _Bench) -> list[Remedies]:
    """Where the model makes all outputs equal on a condition: by weights that none knows beforehand."""
    with bench.victim.undisturbed(bench.seed):
        try:
            weight = Rejection.measured(bench.victim, bench.x).weight
        except (InputError, RuntimeError):
            return []
    return [(Rejection(weight=share * weight),) for share in SHARES]


def _backward(bench: _Bench) -> list[Remedies]:
    """Operations, and layers by name where operations are not what stops the gradient."""
    straight: Remedies = (StraightThrough(),)
    layers = [_layers(bench, ()), _layers(bench, straight)]
    return [straight, (StraightThrough(width=0.1),), *(found for found in layers if found and found != straight)]


def _layers(bench: _Bench, remedies: Remedies) -> Remedies:
    """These remedies, and a stand-in for each layer that stops the gradient: the identity, learned where shapes differ."""
    for _ in range(PASSES):
        with bench.victim.undisturbed(bench.seed):
            known = {remedy.layer for remedy in remedies if isinstance(remedy, StandIn)}
            new = [layer for layer in blocked(mended(bench.victim, remedies), bench.x) if layer.name not in known]
            try:
                stand_ins = [
                    StandIn(layer=layer.name)
                    if layer.same_shape
                    else StandIn.learned(bench.victim, bench.x, layer.name, bench.seed)
                    for layer in new
                ]
            except (InputError, RuntimeError):
                return ()
        if not new:
            break
        remedies = (*remedies, *stand_ins)
    return remedies


def _surface(bench: _Bench) -> list[Remedies]:
    """Neighbours as far away as noise of the threat's size; jumps between them have a slope through their comparisons alone."""
    region = bench.threat.around(bench.x, bench.victim.lower, bench.victim.upper)
    ids = torch.arange(len(bench.x), device=bench.x.device)
    moved = region.render(region.gaussian(Streams.seeded(bench.seed, ids))) - bench.x
    sigma = float(f"{float(moved.flatten(1).std(1).median()):.2g}")
    steep = StraightThrough(width=0.1)
    if not 0 < sigma < math.inf:
        return [(steep,)]
    smoothed = Smoothed(sigma=sigma, draws=NEIGHBOURS)
    return [(steep,), (smoothed,), (steep, smoothed)]


def _outputs(bench: _Bench) -> list[Remedies]:
    """From the simplest; with a scale of their own, because what is mended may still be saturated."""
    return [
        (BeforeSoftmax(),),
        (Logarithm(),),
        (Rescale(),),
        (BeforeSoftmax(), Rescale()),
        (Logarithm(), Rescale()),
        (DoublePrecision(), Rescale()),
        (DoublePrecision(), Logarithm(), Rescale()),
    ]


CURES: dict[Callable[[_Bench], list[Remedies]], set[str]] = {  # in this order, by the kinds of findings
    _rejections: {"zero-gradient", "noisy-surface", "not-rising", "unbounded"},
    _backward: {"no-gradient", "zero-gradient", "optimisation-at-inference"},
    _surface: {"noisy-surface"},
    _outputs: {"probabilities", "log-probabilities", "underflow", "zero-gradient"},
}
