"""FGSM repeated, and looked at after every step: how many does it take?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, inf

from ...attacks.fixed.gradient_ascent import GradientAscent
from ...threats import box
from ..attack import attack
from .scene import Scene


@dataclass(frozen=True, eq=False)
class Walk:
    """Where the steps led, x_adv (1, C, H, W); how many they were; and whether the network is as sure as it should be."""

    x_adv: Tensor
    steps: int
    reached: bool


def repeated(scene: Scene, x: Tensor, wanted: int, *, size: float, sure: float, most: int) -> Walk:
    """Steps of `size` down the loss of the class `wanted`, from x (1, C, H, W), until its probability is `sure`; at most `most` of them.

    Kurakin et al. 2017, arXiv:1607.02533, section 2.1, without a ball around x. The least number: `repeated_fgsm` looks less often.
    """
    labels, bounds = beside(scene, x, wanted), scene.victim.range
    step, point = GradientAscent(steps=1, step_size=size), x
    for taken in range(1, most + 1):
        outcome = attack(
            step, scene.victim, x, labels, box(),
            targets=wanted, confidence=sure, bounds=bounds, seed=scene.seed, starts=point,
        )  # fmt: skip
        point = outcome.x_adv
        if bool(outcome.success):
            return Walk(point, taken, True)
    return Walk(point, most, False)


def beside(scene: Scene, x: Tensor, wanted: int) -> Tensor:
    """What the network takes x (1, C, H, W) for if it is not `wanted`: (1,), the label of noise, which has no true one."""
    likely = scene.probabilities(x)
    likely[0, wanted] = -inf
    return likely.argmax(1)
