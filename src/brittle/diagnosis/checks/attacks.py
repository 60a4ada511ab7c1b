"""What attacks say of each other: the signs of Athalye et al. 2018, arXiv:1802.00420, and Carlini et al. 2019, arXiv:1902.06705."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scipy.stats import binomtest

from ...attacks import ATTACKS, GradientAscent, Noise, Restarts
from ...findings import Finding
from ...report.words import counted, radius
from ...threats import Box
from ..probe import STEPS, Probe, plain_attack

QUERIES, DRAWS = 200, 50  # of the black box, and of noise
FOUND = 2  # samples that something blind finds and gradients miss
SIGNIFICANCE = 0.05
WIDER = 4  # times the radius, where success must have risen
MORE, UNSETTLED = 3, 0.1  # further restarts, and the share of samples that they may still win
UNBOUNDED = 0.1  # share of samples that an unbounded attack may miss
FEW = 5  # samples that must be left before their staying says anything

_WHY = "is masked (saturated, rounded, random, or not that of the model), and the robust accuracy is too high."
_PGD = f"PGD with {STEPS} steps"


def one_step(probe: Probe) -> Iterator[Finding]:
    """One step fools what many steps do not."""
    if not probe.comparable:
        return
    single, _ = probe.fooled(GradientAscent(steps=1))
    better, worse = int((single & ~probe.plain.success).sum()), int((probe.plain.success & ~single).sum())
    if better > worse and binomtest(better, better + worse, 0.5, alternative="greater").pvalue < SIGNIFICANCE:
        yield Finding(
            "one-step",
            f"One step (FGSM) fools {counted(better, 'sample')} that {_PGD} does not, and misses {worse} that it "
            "fools.",
            "Many steps contain the one step. That they do worse points to masked gradients or to a step size that "
            "does not fit the radius.",
            "Attack with more steps, another step size and random starts; apply the remedy smoothed.",
        )


def black_box(probe: Probe) -> Iterator[Finding]:
    """A short Square attack fools what PGD does not, sample by sample."""
    if not probe.comparable:
        return
    found, _ = probe.fooled(ATTACKS["square"].recipe(queries=QUERIES), probe.left)
    if int(found.sum()) >= FOUND:
        yield Finding(
            "black-box",
            f"Of {counted(len(found), 'sample')} that {_PGD} did not fool, {int(found.sum())} fall to {QUERIES} "
            "queries that see no gradient (Square).",
            "An attack that sees the gradient should find whatever a blind one finds. Where it does not, the "
            f"gradient {_WHY}",
            "Count on attacks that need no gradient (square, and decision-based ones), with many queries; look at "
            "the other findings for the cause.",
        )


def noise(probe: Probe) -> Iterator[Finding]:
    """Random corners of the region fool what PGD does not."""
    if not probe.comparable:
        return
    found, _ = probe.fooled(Noise(draws=DRAWS, fill=True), probe.left)
    if int(found.sum()) >= FOUND:
        yield Finding(
            "noise",
            f"Of {counted(len(found), 'sample')} that {_PGD} did not fool, {int(found.sum())} fall to one of {DRAWS} "
            "draws of random noise.",
            "An attack that follows the gradient should find whatever blind noise finds. Where it does not, the "
            f"gradient {_WHY}",
            "Count on attacks that need no gradient; apply the remedy smoothed, or straight-through where an "
            "operation is flat.",
        )


def not_rising(probe: Probe) -> Iterator[Finding]:
    """PGD fools no more samples in a region several times as large."""
    if not probe.comparable or len(probe.left) < FEW or not 0 < probe.threat.eps < math.inf:
        return
    wider = probe.threat.with_eps(WIDER * probe.threat.eps)
    most = float(Box().around(probe.inputs[:1], probe.victim.lower, probe.victim.upper).radius)
    if probe.threat.name == "linf" and wider.eps > most:
        wider = probe.threat.with_eps(most)
    if wider.eps < 2 * probe.threat.eps:
        return
    found, _ = probe.fooled(plain_attack(STEPS), threat=wider)
    if int(found.sum()) <= int(probe.plain.success.sum()):
        small, large = (radius(t.eps, t.name, (probe.victim.lower, probe.victim.upper)) for t in (probe.threat, wider))
        yield Finding(
            "not-rising",
            f"{_PGD} fools {int(probe.plain.success.sum())} of {counted(len(found), 'sample')} at {small} and "
            f"{int(found.sum())} at {large}.",
            "A larger region holds more adversarial examples; an attack that finds no more of them does not look.",
            "Do not believe attacks by gradient on this model; look at the other findings for the cause, and count "
            "on attacks that need none.",
        )


def unbounded(probe: Probe) -> Iterator[Finding]:
    """PGD does not fool every sample even where it may change everything."""
    if not probe.comparable:
        return
    found, _ = probe.fooled(plain_attack(STEPS), threat=Box())
    missed = int((~found).sum())
    if missed > UNBOUNDED * len(found) and bool((probe.outputs.argmax(1) != probe.outputs[0].argmax()).any()):
        yield Finding(
            "unbounded",
            f"Free to change every input as far as the bounds go, {_PGD} fools {int(found.sum())} of "
            f"{counted(len(found), 'sample')}.",
            "Other inputs of the same data, which it could have gone to, are classified otherwise: whatever it "
            "misses here is its own failure.",
            "Do not believe attacks by gradient on this model; look at the other findings for the cause, and count "
            "on attacks that need none.",
        )


def not_converged(probe: Probe) -> Iterator[Finding]:
    """More restarts or steps still win samples."""
    if not probe.comparable:
        return
    found, _ = probe.fooled(Restarts(plain_attack(STEPS), MORE), probe.left)
    if len(found):
        longer, _ = probe.fooled(plain_attack(5 * STEPS), probe.left[~found.to(probe.left.device)])
        found[~found] = longer
    more, count = int(found.sum()), len(probe.rows)
    if more >= max(3, UNSETTLED * count):
        yield Finding(
            "not-converged",
            f"{_PGD} fools {int(probe.plain.success.sum())} of {counted(count, 'sample')}; {MORE} more starts and "
            f"{5 * STEPS} steps fool {more} more.",
            "An attack that still changes its answer has not found the worst case: the robust accuracy is too high.",
            "Give it more steps and restarts until the number stands, or a stronger attack (apgd, cr, autoattack).",
        )
