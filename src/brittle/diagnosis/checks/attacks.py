"""What attacks say of each other: the signs of Athalye et al. 2018, arXiv:1802.00420, and Carlini et al. 2019, arXiv:1902.06705."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...attacks import ATTACKS, GradientAscent, Noise, Restarts
from ...core.bounds import plain
from ...core.problem import Attack
from ...findings import Finding
from ...report.words import counted, radius
from ...threats import Box
from ..probe import STEPS, Probe, plain_attack
from .evidence import more_than, oftener

QUERIES, MORE_QUERIES, DRAWS = 100, 200, 16  # of the black box, at first and where something falls to it, and of noise
MISSED = 0.05  # share of samples that a true gradient may miss in so short a run
WIDER = 4  # times the radius, where success must have risen
LONGER, MORE = 2, 3  # times the steps, and further restarts where these win something
UNSETTLED = 0.1  # share of samples that they may still win
UNBOUNDED = 0.1  # share of samples that an unbounded attack may miss
FEW = 5  # samples that must be left before their staying says anything

_WHY = "is masked (saturated, rounded, random, or not that of the model), and the robust accuracy is too high."
_PGD = f"PGD with {STEPS} steps"


def one_step(probe: Probe) -> Iterator[Finding]:
    """One step fools what many steps do not."""
    if not probe.comparable:
        return
    single, _ = probe.fooled(GradientAscent(steps=1))
    better, worse = int((single & ~probe.plain).sum()), int((probe.plain & ~single).sum())
    if oftener(better, worse):
        yield Finding(
            "one-step",
            f"One step (FGSM) fools {counted(better, 'sample')} that {_PGD} does not, and misses {worse} that it "
            "fools.",
            "Many steps contain the one step. That they do worse points to masked gradients or to a step size that "
            "does not fit the radius.",
            "Attack with more steps, another step size and random starts; apply the remedy smoothed.",
        )


def black_box(probe: Probe) -> Iterator[Finding]:
    """Square fools more of the samples that PGD does not than a short run on true gradients may miss.

    A first short run of it ends the matter where nothing falls to it, which can only make a finding rarer.
    """
    if not probe.comparable:
        return
    found = at_most_twice(probe, *(ATTACKS["square"].recipe(queries=many) for many in (QUERIES, MORE_QUERIES)))
    if more_than(MISSED, found, len(probe.rows)):
        yield Finding(
            "black-box",
            f"Of {counted(len(probe.left), 'sample')} that {_PGD} did not fool, {found} fall to "
            f"{QUERIES + MORE_QUERIES} queries that see no gradient (Square): more than the {MISSED:.0%} of all {len(probe.rows)} "
            "that so short a run may miss.",
            "An attack that sees the gradient should find whatever a blind one finds. Where it does not, the "
            f"gradient {_WHY}",
            "Count on attacks that need no gradient (square, and decision-based ones), with many queries; look at "
            "the other findings for the cause.",
        )


def noise(probe: Probe) -> Iterator[Finding]:
    """Random corners of the region fool more of the samples that PGD does not than a short run on true gradients may miss."""
    if not probe.comparable:
        return
    found = int(probe.fooled(Noise(draws=DRAWS, fill=True), probe.left)[0].sum())
    if more_than(MISSED, found, len(probe.rows)):
        yield Finding(
            "noise",
            f"Of {counted(len(probe.left), 'sample')} that {_PGD} did not fool, {found} fall to one of {DRAWS} "
            f"draws of random noise: more than the {MISSED:.0%} of all {len(probe.rows)} that so short a run may miss.",
            "An attack that follows the gradient should find whatever blind noise finds. Where it does not, the "
            f"gradient {_WHY}",
            "Count on attacks that need no gradient; apply the remedy smoothed, or straight-through where an "
            "operation is flat.",
        )


def not_rising(probe: Probe) -> Iterator[Finding]:
    """PGD fools no more samples in a region several times as large, though it might.

    That none falls in either says nothing by itself, because both may be small. It does where samples are lost that the smaller region
    gave, which the larger one contains, or where not even the bounds of the input as the only limit help.
    """
    if not probe.comparable or len(probe.left) < FEW or not 0 < probe.threat.eps < math.inf:
        return
    wider = probe.threat.with_eps(WIDER * probe.threat.eps)
    most = float(Box().around(probe.inputs[:1], probe.victim.lower, probe.victim.upper).radius)
    if probe.threat.name == "linf" and wider.eps > most:
        wider = probe.threat.with_eps(most)
    if wider.eps < 2 * probe.threat.eps:
        return
    found, _ = probe.fooled(plain_attack(STEPS), threat=wider)
    count, lost = len(found), int((probe.plain & ~found).sum())
    if int(found.sum()) <= int(probe.plain.sum()) and (
        more_than(MISSED, lost, count) or more_than(UNBOUNDED, int((~probe.free).sum()), count)
    ):
        small, large = (radius(t.eps, t.name, plain(probe.victim.bounds)) for t in (probe.threat, wider))
        yield Finding(
            "not-rising",
            f"{_PGD} fools {int(probe.plain.sum())} of {counted(count, 'sample')} at {small} and {int(found.sum())} at {large}.",
            "A larger region holds more adversarial examples; an attack that finds no more of them does not look.",
            "Do not believe attacks by gradient on this model; look at the other findings for the cause, and count "
            "on attacks that need none.",
        )


def unbounded(probe: Probe) -> Iterator[Finding]:
    """PGD does not fool every sample even where it may change everything."""
    if not probe.comparable:
        return
    missed, count = int((~probe.free).sum()), len(probe.rows)
    if more_than(UNBOUNDED, missed, count) and bool((probe.outputs.argmax(1) != probe.outputs[0].argmax()).any()):
        yield Finding(
            "unbounded",
            f"Free to change every input as far as the bounds go, {_PGD} fools {count - missed} of {counted(count, 'sample')}.",
            "Other inputs of the same data, which it could have gone to, are classified otherwise: whatever it "
            "misses here is its own failure.",
            "Do not believe attacks by gradient on this model; look at the other findings for the cause, and count "
            "on attacks that need none.",
        )


def not_converged(probe: Probe) -> Iterator[Finding]:
    """More steps from another start still win samples, and more restarts."""
    if not probe.comparable:
        return
    more = at_most_twice(probe, Restarts(plain_attack(LONGER * STEPS), 1), Restarts(plain_attack(STEPS), MORE))
    count = len(probe.rows)
    if more_than(UNSETTLED, more, count):
        yield Finding(
            "not-converged",
            f"{_PGD} fools {int(probe.plain.sum())} of {counted(count, 'sample')}; {LONGER * STEPS} steps from another "
            f"start and {MORE} more starts fool {more} more.",
            "An attack that still changes its answer has not found the worst case: the robust accuracy is too high.",
            "Give it more steps and restarts until the number stands, or a stronger attack (apgd, cr, autoattack).",
        )


def at_most_twice(probe: Probe, first: Attack, second: Attack) -> int:
    """Of the samples that the plain attack did not fool, how many fall to the first, and where any do, to the second on the rest."""
    found, _ = probe.fooled(first, probe.left)
    if bool(found.any()):
        found = found.clone()
        found[~found] = probe.fooled(second, probe.left[~found.to(probe.left.device)])[0]
    return int(found.sum())
