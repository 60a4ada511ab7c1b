"""Darker copies of the picture, alone or with a little of another picture in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...errors import InputError
from ..parts.options import at_least
from .pictures import Pictures
from .role import Gradient, Place, Scene, mean


@dataclass(frozen=True, kw_only=True)
class ScaleInvariant:
    """The mean of the gradients of the loss at x / 2^i, i = 0 to copies - 1.

    SI-NI-FGSM without its look-ahead: Lin et al., ICLR 2020, arXiv:1908.06281, as in its authors' code. Black is 0, whatever the bounds.
    """

    copies: int = 5

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Lin 2020, arXiv:1908.06281"

    def __post_init__(self) -> None:
        at_least(self, copies=1)

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        del scene
        return lambda point: mean(gradient(point / 2**i) / 2**i for i in range(self.copies))


@dataclass(frozen=True, kw_only=True)
class Admix:
    """The mean of the gradients at (x + share * x') / 2^i, i = 0 to copies - 1, for some other pictures x'.

    Wang et al., ICCV 2021, arXiv:2102.00436, as in its authors' code. pictures: those to choose x' from, at random for each sample and
    step. Deviation: the paper takes them from the batch, so that what a sample becomes depends on who is beside it; here they are part
    of the attack.
    """

    pictures: Pictures | None = None
    mixed: int = 3  # other pictures a step (paper: m2)
    copies: int = 5  # scales of each (paper: m1)
    share: float = 0.2  # paper: eta

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Wang 2021, arXiv:2102.00436"

    def __post_init__(self) -> None:
        at_least(self, mixed=1, copies=1, share=0)

    @property
    def passes(self) -> int:
        return self.mixed * self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        if self.pictures is None:
            raise InputError(
                "admix has no pictures to mix in; give admix:path=FILE.npy, pictures of the data's shape (N, *S), "
                "or use brittle.transfer, which takes them from the data"
            )
        scene.problem.in_input_units("admix")
        pool = self.pictures.tensor(scene.ball.x)

        def one(point: Tensor) -> Tensor:
            chosen = (scene.uniform((1,)).flatten().double() * len(pool)).long()
            mixture = point + self.share * pool[chosen]
            return mean(gradient(mixture / 2**i) / 2**i for i in range(self.copies))

        return lambda point: mean(one(point) for _ in range(self.mixed))


def admix(path: str | None = None, mixed: int = 3, copies: int = 5, share: float = 0.2) -> Admix:
    """Darker copies of the picture with a little of another one in it; path: those others, a NumPy file (N, *S)."""
    return Admix(pictures=None if path is None else Pictures.read(path), mixed=mixed, copies=copies, share=share)
