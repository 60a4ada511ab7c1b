"""A school bus that becomes an ostrich for less change than anyone can see. Szegedy et al. 2014, arXiv:1312.6199, figure 5."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from operator import eq

import torch

from ...attacks.combine.bisect import Bisect
from ...attacks.fixed.gradient_ascent import GradientAscent
from ...attacks.minimum.lbfgs import LBFGS
from ...core.problem import Attack, Threat
from ...report.exhibit import Exhibit, Part, Table
from ...report.words import confidence
from ...threats import l2, linf
from ..attack import Outcome, attack
from .scene import Scene

SURE = 0.98


@dataclass(frozen=True)
class Way:
    """One of the two searches for the smallest perturbation."""

    name: str
    text: str
    attack: Attack
    threat: Threat


def bus(scene: Scene, target: str = "ostrich", steps: int = 20, rounds: int = 8) -> Exhibit:
    """The smallest perturbations that make the picture `target` with at least 98 %, by L-BFGS (L2) and by targeted I-FGSM (Linf)."""
    seen = int(scene.probabilities(scene.x)[0].argmax())
    wanted = scene.index(target)
    iterated = GradientAscent(steps=steps, reach=2.5, keep="best", stop=True)
    ways = (
        Way("L-BFGS", "The price of length is raised until the network would no longer say it; as in the paper that found them all.",
            LBFGS(steps=steps, rounds=rounds), l2(inf)),
        Way("I-FGSM", f"{steps} small signed steps towards the class, at ever smaller radii.",
            Bisect(iterated, rounds=rounds), linf(32 * scene.level)),
    )  # fmt: skip
    outcomes = [_tried(scene, way, seen, wanted) for way in ways]
    parts, rows, said = [], [], []
    for way, outcome in zip(ways, outcomes, strict=True):
        x_adv, sure = outcome.x_adv, float(scene.probabilities(outcome.x_adv)[0][wanted])
        queries = f"{int(outcome.forwards)} + {int(outcome.backwards)}"
        rows.append((way.name, confidence(sure), scene.length(x_adv), scene.levels(x_adv), queries))
        if bool(outcome.success):
            said.append(
                f"{way.name} needs a length of {scene.length(x_adv)} and {scene.levels(x_adv)} of 255 levels ({confidence(sure)})"
            )
        else:
            said.append(f"{way.name} does not get there")
        panels = (
            scene.panel("the photograph", scene.x, (wanted,)),
            scene.difference(x_adv),
            scene.panel("what the network now sees", x_adv, (wanted,)),
        )
        parts.append(Part(way.name, way.text, panels, (scene.survival(x_adv, partial(eq, wanted)),)))
    columns = ("by", f"“{target}”", "length (L2)", "largest change, levels", "forwards + backwards")
    parts.append(
        Part(
            "Which is smaller?",
            "Each is the smallest in its own measure: L-BFGS spreads the change as it likes, I-FGSM keeps every pixel below one size.",
            tables=(Table(columns, tuple(rows)),),
        )
    )
    facts = (
        ("network", scene.victim.name),
        ("goal", f"“{target}” with at least {confidence(SURE)}"),
        ("attacks", f"L-BFGS, {rounds} prices of up to {steps} points; I-FGSM, {rounds} radii of up to {steps} steps"),
        ("papers", "Szegedy et al. 2014, arXiv:1312.6199; Kurakin et al. 2017, arXiv:1607.02533"),
    )
    question = f"How little must change until a network swears that this is “{target}”?"
    held = all(bool(outcome.success) for outcome in outcomes)
    found = f"“{scene.name(seen)}” becomes “{target}”: " + "; ".join(said) + "."
    return Exhibit("bus", "The school bus", question, found, held, tuple(parts), facts)


def _tried(scene: Scene, way: Way, seen: int, wanted: int) -> Outcome:
    bounds = scene.victim.range
    labels = torch.tensor([seen])
    return attack(
        way.attack, scene.victim, scene.x, labels, way.threat, targets=wanted, confidence=SURE, bounds=bounds, seed=scene.seed
    )  # fmt: skip
