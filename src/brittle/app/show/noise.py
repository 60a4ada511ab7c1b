"""A school bus out of random pixels, and the picture that a class likes most.

Nguyen et al. 2015, arXiv:1412.1897; Simonyan et al. 2014, arXiv:1312.6034.
"""

from __future__ import annotations

from functools import partial
from operator import eq

import torch
from torch import Tensor

from ...attacks.fixed.input_optimisation import InputOptimisation
from ...core.problem import Attack
from ...report.exhibit import Exhibit, Part
from ...report.words import amount, confidence, counted
from ...threats import box
from ..attack import attack
from ..fool import random_inputs
from .repeated import beside, repeated
from .scene import Scene

SURE = 0.93
MOST = 500  # steps from noise
STEPS = 128
SMOOTH = 1.0  # of the total variation's price, for outputs of a usual size and inputs in [0, 1]


def noise(scene: Scene, target: str = "school bus") -> Exhibit:
    """Random pixels that the network takes for `target` with 93 %, and pictures that raise its output most, rough and smooth."""
    wanted = scene.index(target)
    span = scene.victim.width
    begun = random_inputs(scene.victim, 1, scene.x.shape[1:], scene.seed)
    fooled = repeated(scene, begun, wanted, size=scene.level, sure=SURE, most=MOST)
    rough = _grown(scene, fooled.x_adv, wanted, InputOptimisation(steps=STEPS, step_size=0.02 * span))
    priced = InputOptimisation(steps=STEPS, step_size=0.02 * span, total_variation=SMOOTH / span**2)
    smooth = _grown(scene, fooled.x_adv, wanted, priced)
    sure, taken = float(scene.probabilities(fooled.x_adv)[0][wanted]), counted(fooled.steps, "small step")
    parts = (
        Part(
            "Noise that is a bus" if target == "school bus" else f"Noise that is “{target}”",
            f"Random pixels, moved by steps of one level towards the class, {fooled.steps} of them.",
            (
                scene.panel("random pixels", begun, (wanted,)),
                scene.panel("what the network now sees", fooled.x_adv, (wanted,)),
            ),
            (scene.survival(fooled.x_adv, partial(eq, wanted)),),
        ),
        Part(
            "What the class likes most",
            f"{STEPS} steps of Adam up the class's output from there: without a price on roughness, and with one.",
            (
                scene.panel("from here", fooled.x_adv, (wanted,), _measured(scene, fooled.x_adv, wanted)),
                scene.panel("not regularised", rough, (wanted,), _measured(scene, rough, wanted)),
                scene.panel("a price on roughness", smooth, (wanted,), _measured(scene, smooth, wanted)),
            ),
        ),
    )
    facts = (
        ("network", scene.victim.name),
        (
            "attacks",
            f"FGSM repeated until {confidence(SURE)}; input_optimisation:steps={STEPS},total_variation={SMOOTH:g}",
        ),
        ("papers", "Nguyen, Yosinski and Clune 2015, arXiv:1412.1897; Simonyan et al. 2014, arXiv:1312.6034"),
    )
    found = (
        f"Random pixels are taken for “{target}” with {confidence(sure)} after {taken}."
        if fooled.reached
        else f"{taken} bring random pixels no further than {confidence(sure)} for “{target}”."
    )
    held = fooled.reached and int(scene.probabilities(smooth)[0].argmax()) == wanted
    question = "Is a network that is sure also right, when there is nothing in the picture at all?"
    return Exhibit("noise", "A bus out of noise", question, found, held, parts, facts)


def _grown(scene: Scene, x: Tensor, wanted: int, method: Attack) -> Tensor:
    labels, bounds = beside(scene, x, wanted), scene.victim.range
    return attack(method, scene.victim, x, labels, box(), targets=wanted, bounds=bounds, seed=scene.seed).x_adv


def roughness(scene: Scene, x: Tensor) -> float:
    """By how many of 255 levels a pixel of x (1, C, H, W) differs from its right and lower neighbours, on average."""
    steps = torch.cat([x.diff(dim=axis).abs().flatten() for axis in (2, 3)])
    return float(steps.mean()) / scene.level


def _measured(scene: Scene, x: Tensor, wanted: int) -> str:
    with torch.no_grad():
        output = float(scene.victim(x.to(scene.victim.device))[0, wanted])
    return f"output {amount(output)}; neighbours differ by {amount(roughness(scene, x))} levels"
