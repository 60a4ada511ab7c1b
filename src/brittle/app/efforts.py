"""The efforts of an evaluation: chains of stages from cheap to dear."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of a chain, run on what the stages before it left open.

    reach: a sample is left out when its best goal margin so far lies further below zero than `reach` times its margin untouched; None: no
    sample is.
    """

    name: str
    attack: str
    reach: float | None = None


EFFORTS: dict[str, tuple[Stage, ...]] = {
    "quick": (
        Stage(name="10 steps", attack="apgd:steps=10,loss=margin"),
        Stage(name="40 steps", attack="apgd:steps=40,loss=probability_margin", reach=0.6),
    ),
    "standard": (
        Stage(name="10 steps", attack="apgd:steps=10,loss=margin"),
        Stage(name="40 steps", attack="apgd:steps=40,loss=probability_margin", reach=0.6),
        Stage(name="targets", attack="apgdt:steps=30,targets=9", reach=0.3),
    ),
    "exhaustive": (
        Stage(name="10 steps", attack="apgd:steps=10,loss=margin"),
        Stage(name="40 steps", attack="apgd:steps=40,loss=probability_margin", reach=0.6),
        Stage(name="targets", attack="apgdt:steps=30,targets=9", reach=0.3),
        Stage(name="autoattack", attack="autoattack"),
    ),
}

# Where the region is no Linf, L2 or L1 ball, plain gradient ascent is what works on all of them.
ANYWHERE: tuple[Stage, ...] = (
    Stage(name="pgd", attack="pgd:steps=20,loss=margin"),
    Stage(name="pgd restarts", attack="pgd:steps=40,loss=probability_margin,restarts=3"),
)
