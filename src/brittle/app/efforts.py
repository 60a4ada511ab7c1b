"""The efforts of an evaluation: chains of stages from cheap to dear."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.access import Access

BALLS = ("linf", "l2", "l1")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of a chain, run on what the stages before it left open.

    name, about: for whoever reads the report: what it is called there, and what it does, in a few words that presuppose no paper.
    reach: a sample is left out when its best goal margin so far lies further below zero than `reach` times its margin untouched; None: no
    sample is. norms: the balls under which it is run.

    Attacks and reaches were chosen by measurement, on published MNIST and CIFAR-10 networks trained plainly, adversarially and provably, 40
    to 200 samples each: every attack once on every sample, the chains then put together from these records. In Linf 10 steps on the
    probability margin break as much as on the margin, or up to 2 points more, on 15 networks of 16. On the other, whose outputs saturate,
    they leave half of the samples at 0.97 and more, where a walk wins; otherwise no walk won a sample further away than 0.32. The reach
    of relaxation is that of the furthest sample that it won (0.53). What only AutoAttack's random search breaks was within 0.3 by then: a
    hundred random squares and an ascent, begun at relaxation's best point, break three times as much of it as begun at x. Of the nearest
    that are left some fall to any random start, some to the targeted DLR alone, which wins where the margin never does, and some to fresh
    squares. A single sample flips from seed to seed at such margins: the chain was held against three, and against networks that it was
    not chosen on. Under L2 and L1 networks that were trained for Linf mask their gradients: samples up to 0.7 away fall to walks from far
    outside, so more is spent. benchmarks/reliability.py has the chain beside AutoAttack.
    """

    name: str
    about: str
    attack: str
    reach: float | None = None
    norms: tuple[str, ...] = BALLS


FLAT, ROUND = ("linf",), ("l2", "l1")
RELAXED = "cr:targets=3,restarts=1,cycles=3,cycle=15"
WALK = "a walk along the decision boundary, which asks for no loss, finished by steps along the gradient"
RELAXING = "steps that may leave the allowed size for a while on the way to each likely class (constraint relaxation)"
TARGETS = "steps towards each of the likeliest wrong classes in turn"
FAR = "walks along the decision boundary that begin at places far outside the allowed size"
SQUARES = "random search with squares, which asks for no gradient (Square Attack)"
BEGIN = (  # where gradients are masked or saturated, what falls may look far away: nobody is left out, and what stood still gets a walk too
    Stage(
        name="gradient ascent",
        about="ten steps along the gradient; where they stand still, a short walk along the decision boundary",
        attack="walk_if_stuck",
        norms=FLAT,
    ),
    Stage(
        name="boundary walk",
        about=WALK,
        attack="far_walks:starts=0,steps=6,climb=6",
        reach=0.35,
        norms=FLAT,
    ),
    Stage(
        name="gradient ascent",
        about="ten steps along the gradient",
        attack="apgd:steps=10,loss=margin",
        norms=ROUND,
    ),
    Stage(name="boundary walk", about=WALK, attack="far_walks:starts=0", norms=ROUND),
)

STANDARD = (
    *BEGIN,
    Stage(name="relaxed ascent", about=RELAXING, attack="relaxation_if_near", reach=0.55, norms=FLAT),
    Stage(name="towards each class", about=TARGETS, attack="targets_if_near", reach=0.1, norms=FLAT),
    Stage(
        name="random restarts",
        about="steps along the gradient from ten random places",
        attack="apgd:steps=20,loss=margin,restarts=10",
        reach=0.05,
        norms=FLAT,
    ),
    Stage(
        name="relaxed ascent again",
        about="relaxed ascent, longer and from three places",
        attack="cr:restarts=3",
        reach=0.05,
        norms=FLAT,
    ),
    Stage(
        name="each class again",
        about="steps towards each of the likeliest wrong classes by another loss, and more of them",
        attack="apgdt:steps=30,targets=4",
        reach=0.1,
        norms=FLAT,
    ),
    Stage(name="random squares", about=SQUARES, attack="square_if_near", reach=0.15, norms=FLAT),
    Stage(name="relaxed ascent", about=RELAXING, attack=RELAXED, reach=0.7, norms=ROUND),
    Stage(name="walks from far away", about=FAR, attack="far_walks:starts=3,near=false", reach=0.7, norms=ROUND),
    Stage(
        name="towards each class",
        about=TARGETS,
        attack="targets_if_near:steps=20,targets=9,more=80,reach=0.1",
        reach=0.1,
        norms=ROUND,
    ),
    Stage(
        name="long walks from far away",
        about="walks from far away, longer and from more places",
        attack="far_walks:starts=5,steps=24,near=false",
        reach=0.2,
        norms=ROUND,
    ),
)

EFFORTS: dict[str, tuple[Stage, ...]] = {
    "quick": (*BEGIN, Stage(name="relaxed ascent", about=RELAXING, attack=RELAXED, reach=0.3)),
    "standard": STANDARD,
    "exhaustive": (
        *STANDARD,
        Stage(
            name="AutoAttack",
            about="the four attacks that published figures rest on: two of gradients, one of distances, one of random squares",
            attack="autoattack",
        ),
    ),
}

PASSES = {  # forwards and backwards a sample, in the mean over all samples of a run, to a factor of 3: for forecasts of time alone
    "gradient ascent": 11,
    "boundary walk": 10,
    "relaxed ascent": 55,
    "towards each class": 9,
    "random restarts": 15,
    "relaxed ascent again": 35,
    "each class again": 14,
    "random squares": 130,
}

# Where the region is no Linf, L2 or L1 ball, plain gradient ascent is what works on all of them.
ANYWHERE: tuple[Stage, ...] = (
    Stage(
        name="gradient ascent",
        about="twenty steps along the gradient from a random place",
        attack="pgd:steps=20,loss=margin",
    ),
    Stage(
        name="random restarts",
        about="forty steps along the gradient of the probabilities from three random places",
        attack="pgd:steps=40,loss=probability_margin,restarts=3",
    ),
)

# For models that give scores or labels and no gradient. Every sample is tried: how far the margin lies below zero says little of a search.
RAYS = "the direction of signs in which the decision changes soonest, by classes alone (RayS)"
SIGNS = "which values go up and which down, found half by half (SignHunter)"
SEEN = ("spatial", "brightness", "contrast", "saturation", "hue", "blur")


def _by_scores(queries: int) -> tuple[Stage, ...]:
    return (
        Stage(name="random squares", about=SQUARES, attack=f"square:queries={queries}"),
        Stage(
            name="random pixels",
            about="random search over which values change (Sparse-RS)",
            attack=f"sparse_rs:queries={queries}",
            norms=("l0",),
        ),
        Stage(
            name="grid of settings",
            about="evenly spaced settings of the change, one after the other",
            attack="grid_search",
            norms=SEEN,
        ),
    )


def _by_labels(queries: int) -> tuple[Stage, ...]:
    return (
        Stage(
            name="search along rays",
            about=RAYS,
            attack=f"rays:queries={queries}",
            norms=FLAT,
        ),
        Stage(
            name="search along circles",
            about="from a far input along circles to nearer ones of the same wrong class (SurFree)",
            attack=f"surfree:queries={queries}",
            norms=("l2",),
        ),
        Stage(
            name="flat boundary",
            about="the boundary taken as flat, its normal estimated from answers (GeoDA)",
            attack=f"geoda:queries={queries}",
            norms=("l1",),
        ),
        Stage(
            name="value by value",
            about="a far input brought back value by value while it stays wrong (Pointwise)",
            attack=f"pointwise:queries={queries}",
            norms=("l0",),
        ),
    )


BLACK_BOX: dict[Access, dict[str, tuple[Stage, ...]]] = {
    Access.SCORES: {
        "quick": _by_scores(500),
        "standard": (
            *_by_scores(2500),
            Stage(name="search over signs", about=SIGNS, attack="sign_hunter:queries=1000", norms=("linf", "l2")),
        ),
        "exhaustive": (
            *_by_scores(10_000),
            Stage(name="search over signs", about=SIGNS, attack="sign_hunter:queries=2500", norms=("linf", "l2")),
            Stage(
                name="value by value", about="one value up or down after the other (SimBA)", attack="simba:queries=2500"
            ),
        ),
    },
    Access.LABELS: {
        "quick": _by_labels(500),
        "standard": _by_labels(2500),
        "exhaustive": (
            *_by_labels(10_000),
            Stage(
                name="hops along the boundary",
                about="the gradient at the decision boundary, estimated from classes alone (HopSkipJump)",
                attack="hop_skip_jump:queries=2500",
                norms=("linf", "l2"),
            ),
        ),
    },
}
