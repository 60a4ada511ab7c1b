"""A school bus out of random pixels, and the picture that a class likes most.

Nguyen et al. 2015, arXiv:1412.1897; Simonyan et al. 2014, arXiv:1312.6034.
"""

from __future__ import annotations

from ...attacks.fixed.input_optimisation import InputOptimisation
from ...core.problem import Attack
from ...report.exhibit import Exhibit, Part
from ...report.words import confidence
from ..attack import Outcome
from ..fool import fool, random_inputs
from .scene import Scene

SURE = 0.93
STEPS = 128
SMOOTH = 20.0  # of the total variation's price, for outputs of a usual size and inputs in [0, 1]


def noise(scene: Scene, target: str = "school bus") -> Exhibit:
    """Random pixels that the network takes for `target` with 93 %, and pictures that raise its output most, rough and smooth."""
    wanted = scene.index(target)
    span = scene.victim.upper - scene.victim.lower
    fooled = _grown(scene, wanted, None, SURE)
    begun = random_inputs(scene.victim, 1, scene.x.shape[1:], scene.seed)
    rough = _grown(scene, wanted, InputOptimisation(steps=STEPS, step_size=0.02 * span), None)
    smooth = _grown(
        scene, wanted, InputOptimisation(steps=STEPS, step_size=0.02 * span, total_variation=SMOOTH / span**2), None
    )
    sure = float(scene.probabilities(fooled.x_adv)[0][wanted])
    parts = (
        Part(
            "Noise that is a bus" if target == "school bus" else f"Noise that is “{target}”",
            f"Random pixels, moved by steps of one level towards the class, {int(fooled.backwards)} times.",
            (
                scene.panel("random pixels", begun, (wanted,)),
                scene.panel("what the network now sees", fooled.x_adv, (wanted,)),
            ),
        ),
        Part(
            "What the class likes most",
            f"{STEPS} steps of Adam up the class's output from the same noise: without a price on roughness, and with one.",
            (
                scene.panel("not regularised", rough.x_adv, (wanted,)),
                scene.panel("with a price on total variation", smooth.x_adv, (wanted,)),
            ),
        ),
    )
    facts = (
        ("network", scene.victim.name),
        ("attacks", f"repeated_fgsm until {SURE:.0%}; input_optimisation:steps={STEPS},total_variation={SMOOTH:g}"),
        ("papers", "Nguyen, Yosinski and Clune 2015, arXiv:1412.1897; Simonyan et al. 2014, arXiv:1312.6034"),
    )
    found = f"Random pixels are taken for “{target}” with {confidence(sure)} after {int(fooled.backwards)} small steps."
    question = "Is a network that is sure also right, when there is nothing in the picture at all?"
    return Exhibit("noise", "A bus out of noise", question, found, sure >= SURE, parts, facts)


def _grown(scene: Scene, wanted: int, attack: Attack | None, sure: float | None) -> Outcome:
    bounds = (scene.victim.lower, scene.victim.upper)
    return fool(
        scene.victim, [wanted], scene.x.shape[1:], confidence=sure, attack=attack, bounds=bounds, seed=scene.seed
    )
