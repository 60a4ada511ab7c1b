"""A panda that one step of the fast gradient sign method turns into something else. Goodfellow et al. 2015, arXiv:1412.6572, figure 1."""

from __future__ import annotations

import torch
from torch import Tensor

from ...attacks.fixed.recipes import fgsm
from ...core.problem import Attack
from ...report.exhibit import Exhibit, Part, Table
from ...report.words import confidence
from ...threats import linf
from ..attack import attack
from .scene import Scene

LEVELS = (1, 2, 4, 8, 16)  # of 255, the sizes of the one step


def panda(scene: Scene, target: str = "gibbon") -> Exhibit:
    """One FGSM step away from what the network sees, and one towards `target`, each by the smallest of five sizes that does it."""
    seen = int(scene.probabilities(scene.x)[0].argmax())
    wanted = scene.index(target)
    away = {level: _stepped(fgsm(), scene, seen, None, level) for level in LEVELS}
    towards = {level: _stepped(fgsm(), scene, seen, wanted, level) for level in LEVELS}
    noise = {level: _signs(scene, level) for level in LEVELS}
    rows = tuple(_row(scene, level, away[level], towards[level], noise[level], wanted) for level in LEVELS)
    first = next((level for level in LEVELS if _class(scene, away[level]) != seen), None)
    reached = next((level for level in LEVELS if _class(scene, towards[level]) == wanted), None)
    shown, aimed = first or LEVELS[-1], reached or max(LEVELS, key=lambda level: _sure(scene, towards[level], wanted))
    fooled = away[shown]
    parts = (
        Part(
            "One step away",
            f"Every pixel moves by {shown} of 255 levels, up or down, whichever way the loss of “{scene.name(seen)}” rises.",
            (
                scene.panel("the photograph", scene.x, (seen,)),
                scene.difference(fooled),
                scene.panel("what the network now sees", fooled, (seen,), note=f"{shown}/255 in each pixel"),
            ),
            (scene.survival(fooled, lambda best: best != seen),),
        ),
        Part(
            f"One step towards “{target}”",
            f"The same step down the loss of “{target}” instead, by {aimed} of 255 levels.",
            (
                scene.panel("the photograph", scene.x, (wanted,)),
                scene.difference(towards[aimed]),
                scene.panel("what the network now sees", towards[aimed], (wanted,), note=f"{aimed}/255 in each pixel"),
            ),
            (scene.survival(towards[aimed], lambda best: best == wanted),),
        ),
        Part(
            "How large must the step be?",
            "A random sign in each pixel has the same size and direction by chance: it is what the gradient must be compared to.",
            tables=(
                Table(("step, of 255 levels", "away: seen as", f"towards: “{target}”", "random signs: seen as"), rows),
            ),
        ),
    )
    found = (
        f"One step of {first}/255 turns “{scene.name(seen)}” ({confidence(_sure(scene, scene.x, seen))}) into "
        f"“{scene.name(_class(scene, fooled))}” ({confidence(_sure(scene, fooled, _class(scene, fooled)))})."
        if first
        else f"One step of up to {LEVELS[-1]}/255 does not fool this network."
    )
    found += (
        f" One of {reached}/255 towards “{target}” reaches it, at {confidence(_sure(scene, towards[reached], wanted))}."
        if reached
        else f" No single step of up to {LEVELS[-1]}/255 reaches “{target}”; the best gives it "
        f"{confidence(_sure(scene, towards[aimed], wanted))}."
    )
    facts = (
        ("network", scene.victim.name),
        ("attack", "fgsm, 1 forward and 1 backward; cross-entropy; untargeted, and targeted at " + target),
        ("threat", f"linf, {', '.join(f'{level}/255' for level in LEVELS)} of the input range"),
        ("paper", "Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572"),
    )
    question = (
        "Can one small step along the sign of the gradient change what a network sees, while we see no change at all?"
    )
    return Exhibit("panda", "The panda", question, found, first is not None, parts, facts)


def _stepped(value: Attack, scene: Scene, seen: int, wanted: int | None, level: int) -> Tensor:
    labels = torch.tensor([seen])
    bounds = scene.victim.range
    found = attack(
        value, scene.victim, scene.x, labels, linf(level * scene.level), targets=wanted, bounds=bounds, seed=scene.seed
    )
    return found.x_adv


def _signs(scene: Scene, level: int) -> Tensor:
    random = torch.Generator().manual_seed(scene.seed)
    signs = torch.randint(0, 2, scene.x.shape, generator=random) * 2 - 1
    return scene.victim.clamp(scene.x + signs * level * scene.level)


def _class(scene: Scene, x: Tensor) -> int:
    return int(scene.probabilities(x)[0].argmax())


def _sure(scene: Scene, x: Tensor, index: int) -> float:
    return float(scene.probabilities(x)[0][index])


def _row(scene: Scene, level: int, away: Tensor, towards: Tensor, noise: Tensor, wanted: int) -> tuple[str, ...]:
    def seen(x: Tensor) -> str:
        best = _class(scene, x)
        return f"{scene.name(best)} {confidence(_sure(scene, x, best))}"

    return (str(level), seen(away), confidence(_sure(scene, towards, wanted)), seen(noise))
