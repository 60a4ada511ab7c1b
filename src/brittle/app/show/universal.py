"""One perturbation that fools a network on most pictures, and other networks too. Moosavi-Dezfooli et al. 2017, arXiv:1610.08401."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.victim import Victim
from ...data.samples import as_data
from ...report.exhibit import Exhibit, Part, Table
from ...report.shares import Share, share
from ...report.words import percent
from ...threats import linf
from ..universal import universal
from .fresh import said
from .photographs import classes_of, photographs
from .scene import Scene

LEVELS = 10
SHOWN = 4


def universal_perturbation(
    scene: Scene, target: str = "", *, made_on: int = 300, judged_on: int = 300, epochs: int = 3, batch_size: int = 10
) -> Exhibit:
    """One perturbation within 10/255, made on some photographs: how often it changes the class of others, here and on `scene.others`.

    target: the class that all should be taken for; empty: any other than their own.
    """
    victim, pictures = scene.victim, photographs(scene.victim)
    wanted = scene.index(target) if target else None
    train, judge = pictures.apart(scene.seed, made_on, judged_on)
    bounds, eps = victim.range, LEVELS * scene.level
    source = as_data(pictures.batch(train), bounds)
    delta = universal(
        victim,
        source,
        linf(eps),
        targets=wanted,
        epochs=epochs,
        batch_size=batch_size,
        bounds=bounds,
        seed=scene.seed,
    ).delta
    signs = torch.randint(0, 2, delta.shape, generator=torch.Generator().manual_seed(scene.seed)) * 2.0 - 1
    shares = {one.name: _rates(one, judge, (delta / eps, signs)) for one in (victim, *scene.others)}
    rows = tuple((name, *(said(measured) for measured in both)) for name, both in shares.items())
    own, noise = shares[victim.name]
    x, _ = pictures.batch(_telling(victim, judge, delta, own))
    fooled = (x + delta).clamp(*bounds)
    parts = (
        Part(
            "One perturbation for all",
            f"Made on {made_on} photographs that are not shown here; no pixel changes by more than {LEVELS} of 255 levels.",
            (
                scene.difference(scene.x + delta),
                *(scene.panel("a photograph", x[i : i + 1]) for i in range(SHOWN)),
            ),
        ),
        Part(
            "The same photographs with it",
            "The photographs above, each with the same perturbation added. As large a share of them changes its class as of all, rounded.",
            (
                replace(scene.difference(scene.x + eps * signs), title="beside it, random signs of that size"),
                *(scene.panel("with the perturbation", fooled[i : i + 1]) for i in range(SHOWN)),
            ),
        ),
    )  # fmt: skip
    table = Table(
        ("network", "perturbation made on " + victim.name, "random signs of that size"),
        rows,
        f"Of {judged_on} photographs that it was not made on: how many change their class; in brackets the 95 % interval.",
    )
    parts = (parts[0], replace(parts[1], tables=(table,)))
    elsewhere = [f"{percent(both[0])} on {name}" for name, both in list(shares.items())[1:]]
    found = (
        f"One perturbation of {LEVELS}/255 changes the class of {percent(own)} of {judged_on} photographs that it was not made on; "
        f"random signs of that size {percent(noise)}." + (f" Elsewhere: {', '.join(elsewhere)}." if elsewhere else "")
    )
    away = "turn away from those of the photographs as they are" if wanted is None else f"say “{scene.name(wanted)}”"
    facts = (
        ("network", victim.name),
        ("threat", f"linf, {LEVELS}/255 of the input range"),
        ("made by", f"{epochs} passes over {made_on} photographs, {batch_size} at a time, so that the outputs {away}"),
        ("on other networks", "resized to the pictures that they take"),
        (
            "papers",
            "Moosavi-Dezfooli et al. 2017, arXiv:1610.08401; Shafahi et al. 2020, arXiv:1811.11304; Zhang et al., ICCV 2021",
        ),
    )
    question = "Is there one change for all pictures, or must each have its own?"
    held = own.low > noise.high
    return Exhibit("universal", "One perturbation for all", question, found, held, parts, facts)


def _telling(victim: Victim, ids: list[int], delta: Tensor, rate: Share) -> list[int]:
    """SHOWN of the photographs, the first of those that change their class and of those that do not, in the proportion of all."""
    x, _ = photographs(victim).batch(ids)
    moved = classes_of(victim, victim.clamp(x + delta)) != classes_of(victim, x)
    changed = [index for index, change in zip(ids, moved.tolist(), strict=True) if change]
    wanted = changed[: round(SHOWN * rate.value)]
    return [*wanted, *(index for index in ids if index not in changed)][:SHOWN]


def _rates(victim: Victim, ids: list[int], directions: tuple[Tensor, ...]) -> tuple[Share, ...]:
    """How often pictures change their class where each direction (C, H, W) in [-1, 1], resized, is added at LEVELS levels."""
    x, _ = photographs(victim).batch(ids)
    clean, eps = classes_of(victim, x), LEVELS * victim.width / 255
    shares = []
    for direction in directions:
        fitting = F.interpolate(direction[None], x.shape[2:], mode="nearest-exact")
        moved = classes_of(victim, victim.clamp(x + eps * fitting))
        shares.append(share(int((moved != clean).sum()), len(x)))
    return tuple(shares)
