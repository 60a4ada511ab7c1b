"""The experiments that made the field famous, each as an exhibit made on a network of the user's choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...report.exhibit import Exhibit
from .bus import bus
from .frog import frog
from .noise import noise
from .panda import panda
from .scene import Scene


@dataclass(frozen=True)
class Experiment:
    """`run(scene, target)` makes the exhibit; `picture` is the photograph it is known for, `target` the class."""

    run: Callable[[Scene, str], Exhibit]
    about: str
    picture: str
    target: str


EXPERIMENTS = {
    "panda": Experiment(
        panda, "one FGSM step turns a panda into something else, or into a gibbon", "panda.png", "gibbon"
    ),
    "bus": Experiment(
        bus, "the least change that makes a school bus an ostrich, by L-BFGS and I-FGSM", "school_bus.png", "ostrich"
    ),
    "frog": Experiment(frog, "FGSM repeated until a dog is a frog", "dog_bernese.png", ""),
    "noise": Experiment(
        noise, "random pixels that are a school bus, and the picture a class likes most", "school_bus.png", "school bus"
    ),
}
