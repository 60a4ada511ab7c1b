"""Reasons not to believe a number, in words: what was measured, why it matters, what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import binomtest

from ..core.chance import luck
from ..findings import Finding
from .cube import Bools, Column, Cube
from .shares import Bracketed, samples_needed, share
from .words import counted, interval, radius, several, threat_name

SIGNIFICANCE = 0.05
WIDEST = 0.10  # an interval wider than ten points says little
TIES = 0.01  # exact ties happen by chance far less often than once in a hundred


def doubts_of(cube: Cube, eps: float, plan: Mapping[str, Any], worst: Bracketed, expected: int) -> tuple[Finding, ...]:
    """Every doubt that these rows give rise to, the gravest first."""
    found = [
        *_refuted(cube),
        *_missing(cube, expected),
        *_errors(cube, worst),
        *_chance(cube, plan),
        *_noise(cube, eps),
        *_one_step(cube, eps),
        *_not_rising(cube, threat_name(plan["threat"])),
        *_ties(cube),
        *_infeasible(cube),
        *_judged_by_tests(cube, plan),
        *_few(worst),
    ]
    return tuple(found)


def _missing(cube: Cube, expected: int) -> Iterator[Finding]:
    if cube.rows >= expected > 0:
        return
    unbegun = [name for name in cube.names if not any(name == attack for attack, _ in cube.columns)]
    more = f" Not begun: {several(unbegun)}." if unbegun else ""
    yield Finding(
        "incomplete",
        f"{counted(cube.rows, 'row')} of {expected:,} are there.{more}",
        "Attacks that have not run yet can only lower the robust accuracy, so these numbers are too high.",
        "Run the same command again: it does only what is missing.",
    )


def _refuted(cube: Cube) -> Iterator[Finding]:
    for eps in cube.grid:
        wrong = cube.ids[cube.proved_at(eps) & cube.broken_by(cube.names, eps)]
        if len(wrong):
            yield Finding(
                "refuted-proof",
                f"{counted(len(wrong), 'sample')} proved to be safe at eps={eps:g} or more were fooled there: "
                f"{several([*map(str, wrong)])}.",
                "One of the two is wrong: the proof, or the judge of the attack. No number of this run can be trusted until it is "
                "known which.",
                "Please report it with the model; until then, run without proofs.",
            )


def _errors(cube: Cube, worst: Bracketed) -> Iterator[Finding]:
    columns = [("clean", cube.clean), *((name, column) for (name, _), column in cube.columns.items())]
    failed = sum(int(column.error.sum()) for _, column in columns)
    if not failed:
        return
    names = list(dict.fromkeys(name for name, column in columns if column.error.any()))
    sentence = next(column.errors[0] for _, column in columns if column.errors)
    low, high = 100 * worst.if_errors_broken, 100 * worst.if_errors_robust
    void = list(dict.fromkeys(name for name, column in columns if column.error.any() and not column.measured.any()))
    nothing = f" Nothing at all was measured by {several(void)}: the worst case is without it." if void else ""
    yield Finding(
        "errors",
        f"{counted(failed, 'row')} ended in an error ({several(names)}), on {counted(worst.errors, 'sample')}. "
        f"The first error: {sentence}",
        "Samples with errors are left out of the worst case. Were all of them robust, it would be "
        f"{high:.0f} %; were all of them broken, {low:.0f} %.{nothing}",
        "Mend the cause and run the same command again: it tries each of them once more.",
    )


def _chance(cube: Cube, plan: Mapping[str, Any]) -> Iterator[Finding]:
    classes = (plan.get("resolved") or {}).get("classes") or ()
    clean = share(int(cube.correct.sum()), int(cube.known.sum()))
    if len(classes) < 2 or not clean.n or clean.low > 1 / len(classes):
        return
    yield Finding(
        "chance",
        f"The model gets {clean.count} of {counted(clean.n, 'untouched sample')} right, which is what guessing among "
        f"{len(classes)} classes gives.",
        "The robustness of a model that does not work says nothing. The usual causes are wrong input bounds, a missing "
        "normalisation, or class names in another order than the model's outputs.",
        "Check the input range, the preprocessing inside the model and the order of the labels.",
    )


def _noise(cube: Cube, eps: float) -> Iterator[Finding]:
    noises = [name for name in cube.names if cube.roles[name] == "noise"]
    gradient = _gradient_attacks(cube)
    if not noises or not gradient:
        return
    found = cube.broken_by(noises, eps) & ~cube.broken_by(gradient, eps) & cube.whole
    if not found.any():
        return
    alone = len(gradient) == 1  # one attack's own failure looks the same
    masked = "the gradient is masked (saturated, rounded, random, or not that of the model)"
    cause = (
        f"{gradient[0]} itself fails on this model, or {masked}: one attack alone cannot tell which"
        if alone
        else masked
    )
    yield Finding(
        "masking",
        f"Random noise fools {counted(int(found.sum()), 'sample')} that no gradient attack fooled "
        f"({several(gradient)}).",
        f"An attack that follows the gradient should find whatever blind noise finds. Where it does not, {cause}, "
        "and the robust accuracy is too high.",
        (
            "Run another attack that follows the gradient beside it (pgd, apgd), and one that needs none; "
            if alone
            else "Add attacks that need no gradient, "
        )
        + "draw the model's randomness more often, check that outputs are logits.",
    )


def _one_step(cube: Cube, eps: float) -> Iterator[Finding]:
    columns = {name: column for (name, at), column in cube.columns.items() if at == eps}
    names = [
        name for name in _gradient_attacks(cube) if name in columns and cube.roles[name] == "attack"
    ]  # on every sample
    single = [name for name in names if columns[name].gradients == 1]
    many = [name for name in names if columns[name].gradients > 2]
    for one in single:
        for other in many:
            both = columns[one].measured & columns[other].measured & cube.correct
            better = int((columns[one].success & ~columns[other].success & both).sum())
            worse = int((columns[other].success & ~columns[one].success & both).sum())
            if _more_often(better, worse):
                yield Finding(
                    "one-step",
                    f"{one}, with one step, fools {counted(better, 'sample')} that {other} does not, and misses "
                    f"{worse} that {other} fools.",
                    "Many steps contain the one step. That they do worse points to masked gradients or to a step size "
                    "that does not fit the radius.",
                    f"Run {other} with more steps, another step size and random starts.",
                )


def _not_rising(cube: Cube, threat: str) -> Iterator[Finding]:
    for tried in _tried(cube):
        radii = [*tried.columns]
        if tried.noise or len(radii) < 2:
            continue
        for small, large in pairwise(radii):
            lost, won, _ = _compare(cube, tried.columns[small], tried.columns[large])
            if _more_often(lost, won):
                yield _falling(tried, radius(small, threat), radius(large, threat), lost, won)
                break
        else:
            first, last = radii[0], radii[-1]
            _, won, left = _compare(cube, tried.columns[first], tried.columns[last])
            fooled = int((tried.columns[first].success & cube.correct).sum())
            if last >= 2 * first and fooled and not won and left >= 5:
                yield _standing(tried, radius(first, threat), radius(last, threat), left)


def _falling(tried: _Tried, small: str, large: str, lost: int, won: int) -> Finding:
    mend = (
        "Choose a higher effort, or run an attack with more steps beside the chain."
        if tried.chained
        else f"Give {tried.name} more steps or a smaller step size."
    )
    return Finding(
        "not-rising",
        f"From {small} to {large}, {tried.name} loses {counted(lost, 'sample')} it had fooled and gains {won}.",
        "Every example of the smaller ball lies in the larger one, so success must not fall. The attack does not "
        "converge, or it overshoots.",
        f"{mend} The worst case already counts what the smaller radii found.",
    )


def _standing(tried: _Tried, small: str, large: str, left: int) -> Finding:
    mend = (
        "Look for masked gradients, and run an attack that needs no gradient beside the chain."
        if tried.chained
        else f"Check that {tried.name}'s step size grows with the radius, and look for masked gradients."
    )
    return Finding(
        "not-rising",
        f"At {large}, {tried.name} fools no more samples than at {small}, though {left} are left.",
        "A larger ball holds more adversarial examples; an attack that finds none of them does not look.",
        mend,
    )


def _compare(cube: Cube, small: Column, large: Column) -> tuple[int, int, int]:
    """Samples fooled only at the smaller radius, only at the larger one, and at neither."""
    both = small.measured & large.measured & cube.correct
    return (
        int((small.success & ~large.success & both).sum()),
        int((large.success & ~small.success & both).sum()),
        int((~large.success & ~small.success & both).sum()),
    )


def _ties(cube: Cube) -> Iterator[Finding]:
    columns = [cube.clean, *(column for tried in _tried(cube) for column in tried.columns.values())]
    total = sum(int(column.measured.sum()) for column in columns)
    ties = sum(int(((column.margin == 0) & column.measured).sum()) for column in columns)
    if ties < 2 or ties < TIES * total:
        return
    yield Finding(
        "ties",
        f"In {ties:,} of {counted(total, 'answer')} two classes have exactly the same score.",
        "Exact ties come from saturated or rounded outputs, often probabilities instead of logits. There the gradient "
        "is zero and an attack stands still.",
        "Let the model return logits in float32.",
    )


def _infeasible(cube: Cube) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    before: dict[float, Bools] = {}  # by radius: of the chain so far
    for (name, eps), column in cube.columns.items():
        outside = column.measured & ~column.feasible
        if name in cube.chain:  # a later stage's row says it again
            outside, before[eps] = outside & ~before.get(eps, np.zeros_like(outside)), outside
        if outside.any():
            counts[name] = counts.get(name, 0) + int(outside.sum())
    if not counts:
        return
    listed = several([f"{name} ({n:,})" for name, n in counts.items()])
    yield Finding(
        "infeasible",
        f"Points outside the threat set or the input range were proposed: {listed}.",
        "They count as failures, so an attack that leaves the set looks weaker than it is.",
        "Check the attack's projection, and the bounds given for the input.",
    )


def _judged_by_tests(cube: Cube, plan: Mapping[str, Any]) -> Iterator[Finding]:
    if int(plan.get("draws", 1)) == 1:
        return
    looks = len(cube.grid) * sum(role != "proof" for role in cube.roles.values())
    yield Finding(
        "tested",
        "The model answers at random: it stands for the class that it names most often, and a sample counts as fooled where fresh answers, "
        f"{plan['draws']} at most, prove that another class than its label is named more often.",
        f"Luck alone fools a sample with a chance of at most {100 * luck(looks):.1f} %, in all {looks:,} looks at it that this run takes "
        "together. Where the other class is named hardly more often than the label, or than untouched, the sample counts as withstood.",
        "Nothing is to be mended; but a single answer is right less often than the class that is named most.",
    )


def _few(worst: Bracketed) -> Iterator[Finding]:
    width = worst.robust.high - worst.robust.low
    if not worst.robust.n or width <= WIDEST:
        return
    yield Finding(
        "few",
        f"The worst case rests on {counted(worst.robust.n, 'sample')}: its interval is {interval(worst.robust)}.",
        f"That is {100 * width:.0f} points wide; differences smaller than this cannot be told from chance.",
        f"{samples_needed(worst.robust.value, WIDEST):,} samples would make it {100 * WIDEST:.0f} points.",
    )


@dataclass(frozen=True)
class _Tried:
    """What was tried as a whole: an attack, or the chain, whose last stage says what all of it found. Columns by ascending radius."""

    name: str
    columns: dict[float, Column]
    noise: bool = False
    chained: bool = False


def _tried(cube: Cube) -> Iterator[_Tried]:
    """Each attack and the noise, and the chain as one."""
    for name in cube.names:
        if name not in cube.chain:
            yield _Tried(name, _by_radius(cube, name), noise=cube.roles[name] == "noise")
    stages = [name for name in cube.chain if cube.roles[name] == "stage"]
    if stages:
        yield _Tried("the chain", _by_radius(cube, stages[-1]), chained=True)


def _by_radius(cube: Cube, name: str) -> dict[float, Column]:
    return {eps: cube.columns[name, eps] for eps in cube.grid if (name, eps) in cube.columns}


def _gradient_attacks(cube: Cube) -> list[str]:
    """Attacks that were charged backwards."""
    used = {name for (name, _), column in cube.columns.items() if column.gradients}
    return [name for name in cube.names if name in used and cube.roles[name] in ("attack", "stage")]


def _more_often(a: int, b: int) -> bool:
    """`a` against `b` discordant pairs: more than chance explains (one-sided sign test at 5 %)."""
    return a > b and float(binomtest(a, a + b, 0.5, alternative="greater").pvalue) < SIGNIFICANCE
