"""A turtle that stays a rifle however one looks at it. Athalye et al. 2018, arXiv:1707.07397."""

from __future__ import annotations

import torch
from torch import Tensor

from ...attacks.fixed.gradient_ascent import GradientAscent
from ...core.problem import Attack
from ...core.victim import Victim
from ...report.exhibit import Exhibit, Panel, Part, Table
from ...report.words import percent
from ...threats import linf
from ...victims.views import Views, seen_through
from ..attack import attack
from .fresh import in_words, kinds, rate, said, sights
from .scene import Scene

VIEWS = Views(rotation=22.5, scale=(0.9, 1.4), shift=0.1, brightness=0.05, noise=0.1, jpeg=(60, 95))


def turtle(
    scene: Scene,
    target: str = "rifle",
    *,
    views: Views = VIEWS,
    level: int = 16,
    steps: int = 60,
    draws: int = 8,
    fresh: int = 1000,
) -> Exhibit:
    """The picture as `target` within level/255, made over random views and, at the same cost, without any: rates over fresh views.

    Each way of seeing alone is measured on a fifth as many.
    """
    seen, wanted = int(scene.probabilities(scene.x)[0].argmax()), scene.index(target)
    robust = GradientAscent(steps=steps, draws=draws, reach=4.0, momentum=1.0)
    plain = GradientAscent(steps=steps * draws, reach=4.0, momentum=1.0)
    pictures = {
        "the photograph": scene.x,
        "plain PGD": _made(plain, scene, scene.victim, seen, wanted, level),
        "over views": _made(robust, scene, seen_through(scene.victim, views), seen, wanted, level),
    }
    still, over = pictures["plain PGD"], pictures["over views"]
    all_together = {name: rate(scene, views, x, wanted, fresh) for name, x in pictures.items()}
    rows = [
        (f"{name} alone", *(said(rate(scene, one, x, wanted, max(fresh // 5, 1))) for x in pictures.values()))
        for name, one in kinds(views).items()
    ]
    rows.append(("all together", *(said(measured) for measured in all_together.values())))
    parts = (
        Part(
            f"Made to be “{target}” from one view",
            f"Targeted PGD of {steps * draws} steps on the picture as it is; no pixel changes by more than {level} of 255 levels.",
            _panels(scene, still, wanted),
        ),
        Part("The same picture, seen otherwise", "Three random views of it.", sights(scene, views, still, wanted)),
        Part(
            f"Made to be “{target}” from any view",
            f"As many passes, but each of {steps} steps follows the mean of the gradients in {draws} random views: "
            "expectation over transformation.",
            _panels(scene, over, wanted),
        ),
        Part("The new picture, seen otherwise", "The same three views.", sights(scene, views, over, wanted)),
        Part(
            "In fresh views",
            f"How often the network says “{target}” in {fresh:,} views that the attack has not seen, and in {max(fresh // 5, 1):,} "
            "of each kind alone; in brackets the 95 % interval.",
            tables=(Table(("views", *pictures), tuple(rows)),),
        ),
    )
    first, last = all_together["plain PGD"], all_together["over views"]
    facts = (
        ("network", scene.victim.name),
        ("threat", f"linf, {level}/255 of the input range"),
        ("attacks", f"PGD with momentum 1: {steps} steps of {draws} views, and {steps * draws} steps of none"),
        ("views", in_words(views)),
        ("paper", "Athalye, Engstrom, Ilyas and Kwok 2018, arXiv:1707.07397"),
    )
    found = (
        f"Made over views, the picture of “{scene.name(seen)}” is “{target}” in {percent(last)} of {fresh:,} fresh views; "
        f"plain PGD's, of the same size and cost, in {percent(first)}."
    )
    question = "Does an adversarial picture survive being turned, moved, lit otherwise and stored?"
    return Exhibit("turtle", "The turtle", question, found, last.low > max(0.5, first.high), parts, facts)


def _made(value: Attack, scene: Scene, victim: Victim, seen: int, wanted: int, level: int) -> Tensor:
    labels = torch.tensor([seen])
    return attack(value, victim, scene.x, labels, linf(level * scene.level), targets=wanted, seed=scene.seed).x_adv


def _panels(scene: Scene, x: Tensor, wanted: int) -> tuple[Panel, ...]:
    before, after = scene.panel("the photograph", scene.x, (wanted,)), scene.panel("as it was made", x, (wanted,))
    return before, scene.difference(x), after
