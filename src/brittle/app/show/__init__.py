"""The experiments that made the field famous, each as an exhibit made on a network of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ...core.victim import Victim
from ...errors import InputError
from ...report.exhibit import Exhibit
from ...threats.mask import Mask
from .bus import bus
from .frog import frog
from .glasses import glasses
from .noise import noise
from .panda import panda
from .patch import universal_patch
from .scene import Scene, blank, framed_picture, photograph, read_classes, scene
from .stop_sign import framed_sign, stop_sign
from .turtle import turtle
from .universal import universal_perturbation


@dataclass(frozen=True)
class Experiment:
    """`run(scene, target)` makes the exhibit; `picture` is the photograph it is known for, `target` the class.

    Without a picture the scene is grey, for what begins from noise or from data of its own. `framed(path, victim)` makes of a file
    the picture (1, C, H, W) that the victim takes. `takes`: which of "mask" and "also", the scene's mask and others, it makes use of.
    """

    run: Callable[[Scene, str], Exhibit]
    about: str
    picture: str
    target: str
    framed: Callable[[Path, Victim], Tensor] = framed_picture
    takes: tuple[str, ...] = ()


EXPERIMENTS = {
    "panda": Experiment(
        panda, "one FGSM step turns a panda into something else, or into a gibbon", "panda.png", "gibbon"
    ),
    "bus": Experiment(
        bus, "the least change that makes a school bus an ostrich, by L-BFGS and I-FGSM", "school_bus.png", "ostrich"
    ),
    "frog": Experiment(frog, "FGSM repeated until a dog is a frog", "dog_bernese.png", ""),
    "turtle": Experiment(
        turtle,
        "a turtle that stays a rifle when it is turned, moved, lit otherwise and stored",
        "box_turtle.png",
        "rifle",
    ),
    "stop-sign": Experiment(
        stop_sign,
        "stickers that make a stop sign something else from wherever it is seen",
        "stop_sign_synthetic_rgba.png",
        "mailbox",
        framed_sign,
        takes=("mask",),
    ),
    "noise": Experiment(
        noise, "random pixels that are a school bus, and the picture a class likes most", "", "school bus"
    ),
    "patch": Experiment(universal_patch, "one patch that makes a toaster of any photograph", "", "toaster"),
    "universal": Experiment(
        universal_perturbation,
        "one perturbation for all photographs, and how far it goes on other networks",
        "",
        "",
        takes=("also",),
    ),
    "glasses": Experiment(
        glasses, "glasses by which a face recogniser sees nobody, or somebody else (a network of faces)", "", ""
    ),
}


def setting(
    experiment: Experiment,
    victim: Victim,
    *,
    picture: Path | None = None,
    classes: Path | None = None,
    mask: Path | None = None,
    also: Sequence[Victim] = (),
    seed: int = 0,
) -> Scene:
    """The scene of the experiment: the picture, or the photograph it is known for, framed as the victim takes pictures.

    classes: a file of the outputs' names, for a victim that does not know them. mask: a picture, white where stickers may go.
    also: networks on which what was made is tried too. Raises InputError for what is missing or does not fit.
    """
    for option in [*(["mask"] if mask else []), *(["also"] if also else [])]:
        if option not in experiment.takes:
            takers = ", ".join(name for name, other in EXPERIMENTS.items() if option in other.takes)
            raise InputError(f"--{option} is for {takers or 'no experiment'}; leave it away")
    drawn = None if mask is None else Mask.read(mask)
    names = victim.classes if classes is None else read_classes(classes)
    if picture is None and not experiment.picture:
        x = blank(victim)
    else:
        x = experiment.framed(picture or photograph(experiment.picture), victim)
    return replace(scene(victim, names, x, seed), mask=drawn, others=tuple(also))
