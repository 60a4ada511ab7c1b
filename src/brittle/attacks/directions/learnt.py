"""Learning to transform: which operations a picture is put through is drawn from chances that the loss moves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor

from ..parts.options import at_least
from .operations import OPERATIONS
from .role import Gradient, Place, Scene, mean, pulled


@dataclass(frozen=True, kw_only=True)
class LearntTransformation:
    """The mean of the gradients at copies put through operations that are drawn the more often the higher the loss they led to.

    L2T of Zhu et al., CVPR 2024, arXiv:2405.14077: `operations` one after another, drawn for each sample and copy from a softmax over the
    list in operations.py, whose logits climb by `rate` a step. They climb the score function estimate of the expected loss, the mean of
    loss * d log(chance); their authors' code takes loss * d chance, which moves a logit by 1e-6 a step. At their rate ten steps change
    a chance by a few percent: the variety does the work. Deviations: a copy is one picture, where several of the authors' operations
    make up to ten; no Admix, which needs other pictures; a shift is a share of the side, where their code shifts by less than a pixel.
    """

    copies: int = 20
    operations: int = 2
    rate: float = 0.01

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Zhu 2024, arXiv:2405.14077"

    def __post_init__(self) -> None:
        at_least(self, copies=1, operations=1, rate=0)

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        logits = torch.zeros(len(scene.step), len(OPERATIONS), dtype=torch.float64, device=scene.step.device)
        tags = count(_TAG)

        def one(point: Tensor, chances: Tensor, climb: Tensor) -> Tensor:
            chosen = drawn(chances, scene.uniform((self.operations,)))
            tag = next(tags)
            with scene.listening() as heard:
                grad = pulled(lambda x: seen(x, chosen, scene, tag), point, gradient)
            climb += mean(heard).double()[:, None] * slope(chances, chosen)
            return grad

        def bent(point: Tensor) -> Tensor:
            chances, climb = logits.softmax(1), torch.zeros_like(logits)
            grad = mean(one(point, chances, climb) for _ in range(self.copies))
            logits.add_(climb, alpha=self.rate / self.copies)
            return grad

        return bent


_TAG = 1 << 20  # of the operations' random numbers, the first of as many as there are copies


def drawn(chances: Tensor, numbers: Tensor) -> Tensor:
    """Which of the chances (B, N) each number (B, M) in (0, 1) falls on: (B, M) int64."""
    edges = chances.cumsum(1)
    return torch.searchsorted(edges, numbers.to(edges)).clamp_max(chances.shape[1] - 1)


def slope(chances: Tensor, chosen: Tensor) -> Tensor:
    """d log(chance of what was chosen (B, M)) / d logits (B, N): how often each was, less how often it was to be expected."""
    often = torch.zeros_like(chances).scatter_add_(1, chosen, torch.ones_like(chosen, dtype=chances.dtype))
    return often - chosen.shape[1] * chances


def seen(x: Tensor, chosen: Tensor, scene: Scene, tag: int) -> Tensor:
    """x (B, *S) after the operations (B, M) of each sample."""
    pictures = [x[:0]]
    for i, row in enumerate(chosen.tolist()):
        picture, own = x[i : i + 1], scene.alone(i, tag)
        for operation in row:
            picture = OPERATIONS[operation](picture, own)
        pictures.append(picture)
    return torch.cat(pictures)
