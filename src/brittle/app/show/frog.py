"""A dog that becomes a frog: the tutorials' targeted FGSM, repeated until the network says so."""

from __future__ import annotations

from functools import partial
from operator import eq

from ...report.exhibit import Exhibit, Part, Table
from ...report.words import confidence, counted
from .repeated import repeated
from .scene import Scene

TARGETS = ("tailed frog", "tree frog")
STEPS = 200
SURE = 0.9


def frog(scene: Scene, target: str = "") -> Exhibit:
    """Steps of half a level down the loss of each target, until the network gives it 90 %."""
    seen = int(scene.probabilities(scene.x)[0].argmax())
    parts, rows, reached = [], [], []
    for name in (target,) if target else TARGETS:
        wanted = scene.index(name)
        walk = repeated(scene, scene.x, wanted, size=scene.level / 2, sure=SURE, most=STEPS)
        x_adv, sure = walk.x_adv, float(scene.probabilities(walk.x_adv)[0][wanted])
        taken = counted(walk.steps, "step")
        rows.append((name, str(walk.steps), scene.levels(x_adv), scene.length(x_adv), confidence(sure)))
        if walk.reached:
            reached.append(f"“{name}” after {taken} ({confidence(sure)}, {scene.levels(x_adv)} of 255 levels)")
        panels = (
            scene.panel("the photograph", scene.x, (wanted,)),
            scene.difference(x_adv),
            scene.panel("what the network now sees", x_adv, (wanted,)),
        )
        text = f"{taken} of half a level each along the sign of the gradient, towards “{name}”."
        parts.append(
            Part(f"“{scene.name(seen)}” to “{name}”", text, panels, (scene.survival(x_adv, partial(eq, wanted)),))
        )
    columns = ("target", "steps", "largest change, levels", "length (L2)", "confidence")
    parts.append(
        Part(
            "In numbers",
            "A step is one forward and one backward pass; the network is looked at after each.",
            tables=(Table(columns, tuple(rows)),),
        )
    )
    facts = (
        ("network", scene.victim.name),
        ("attack", f"FGSM repeated, at most {STEPS} times by half of a 255th, until {confidence(SURE)} is reached"),
        ("paper", "Kurakin et al. 2017, arXiv:1607.02533, section 2, without a ball around the picture"),
    )
    found = (
        f"“{scene.name(seen)}” becomes " + " and ".join(reached) + "." if reached else f"{STEPS} steps reach no frog."
    )
    question = "How often must the one step be repeated until a dog is a frog?"
    return Exhibit("frog", "The dog and the frog", question, found, len(reached) == len(rows), tuple(parts), facts)
