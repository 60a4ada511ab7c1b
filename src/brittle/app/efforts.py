"""The efforts of an evaluation: chains of stages from cheap to dear."""

from __future__ import annotations

from dataclasses import dataclass

BALLS = ("linf", "l2", "l1")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of a chain, run on what the stages before it left open.

    reach: a sample is left out when its best goal margin so far lies further below zero than `reach` times its margin untouched; None: no
    sample is. norms: the balls under which it is run.

    Attacks and reaches were chosen by measurement, on published MNIST and CIFAR-10 networks trained plainly, adversarially and provably, 40
    to 200 samples each: every attack once on every sample, the chains then put together from these records, because no state but the best
    margin passes between stages. A reach is the least beyond which no later stage, nor AutoAttack, broke more than one sample of a network
    where that was to be had at about 100 forwards and 60 backwards a sample in Linf. Under L2 and L1 networks that were trained for Linf
    mask their gradients: samples up to 0.7 away fall to walks from far outside, so more is spent. benchmarks/reliability.py has the chain
    beside AutoAttack.
    """

    name: str
    attack: str
    reach: float | None = None
    norms: tuple[str, ...] = BALLS


ROUND = ("l2", "l1")
ASCENT = Stage(name="ascent", attack="apgd:steps=10,loss=margin")
WALK = Stage(
    name="walk", attack="far_walks:starts=0"
)  # finds what saturated or masked gradients at x hide; nobody is left out
SHORT = "cr:targets=3,restarts=1,cycles=3,cycle=15"

STANDARD = (
    ASCENT,
    WALK,
    Stage(name="relaxation", attack=SHORT, reach=0.6, norms=("linf",)),
    Stage(name="more relaxation", attack="cr:restarts=1", reach=0.2, norms=("linf",)),
    Stage(name="relaxation", attack=SHORT, reach=0.7, norms=ROUND),
    Stage(name="targets", attack="apgdt:steps=20,targets=9,loss=margin", reach=0.15),
    Stage(name="far walks", attack="far_walks:starts=3,near=false", reach=0.7, norms=ROUND),
    Stage(name="long far walks", attack="far_walks:starts=5,steps=24,near=false", reach=0.2, norms=ROUND),
    Stage(name="square", attack="square_if_near", reach=0.25, norms=("linf",)),
)

EFFORTS: dict[str, tuple[Stage, ...]] = {
    "quick": (ASCENT, WALK, Stage(name="relaxation", attack=SHORT, reach=0.3)),
    "standard": STANDARD,
    "exhaustive": (*STANDARD, Stage(name="autoattack", attack="autoattack")),
}

# Where the region is no Linf, L2 or L1 ball, plain gradient ascent is what works on all of them.
ANYWHERE: tuple[Stage, ...] = (
    Stage(name="pgd", attack="pgd:steps=20,loss=margin"),
    Stage(name="pgd restarts", attack="pgd:steps=40,loss=probability_margin,restarts=3"),
)
