"""Jitter: the distance of rescaled, noisy probabilities from the label's corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import Classify
from ...core.problem import Problem
from ..parts.ascent import Ascent
from ..parts.climb import kept
from ..parts.options import at_least, positive
from ..parts.softmax import lively, through_softmax


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """PGD on the distance between softmax(scale z / max|z|) + noise and the one-hot label.

    Schwinn et al., Exploring misclassifications of robust neural networks, 2021, arXiv:2105.10304, section 3, with its scale of 10 and
    noise of deviation 0.1. Deviations: once wrong, the paper divides the loss by the size of the perturbation, to make it smaller; here a
    won sample leaves, and before that the division never applies. The best point is returned. With a class aimed at, the distance from
    its corner is lessened. Two classes leave the noise nothing to choose between, so that it would only turn steps back: none is added.

    Cost: at most 1 forward and 1 backward a step, and 1 forward.
    """

    steps: int = 100
    step_size: float | None = None  # input units; None: 2.5 radii / steps
    scale: float = 10.0  # paper: alpha
    noise: float = 0.1  # paper: sigma

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Schwinn 2021, arXiv:2105.10304"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        positive(self, "step_size")
        positive(self, "scale", why="would make all outputs alike")
        at_least(self, noise=0, why="is not a deviation")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region, streams = problem.region, problem.streams
        walk = Ascent(problem, region.random(streams) if problem.starts is None else region.project(problem.starts))
        for _ in range(self.steps):
            outputs, goal = walk.ask(), walk.problem.classes
            classes = outputs.shape[1]
            noise = walk.problem.streams.normal((classes,)).to(outputs.dtype).mul_(self.noise if classes > 2 else 0)
            slope = lively(rescaled_slope(outputs, goal, self.scale, noise), outputs, goal)
            grad = walk.gradient(slope)
            (grad,) = kept(walk.leave(), grad)
            if not len(walk):
                break
            walk.step_(grad, 2.5 / self.steps, self.step_size)
        return walk.finish()


def rescaled_slope(outputs: Tensor, goal: Classify, scale: float, noise: Tensor) -> Tensor:
    """Of ||h + noise - onehot||^2 / 2 in the outputs z (B, C), h = softmax(scale z / max|z|); minus that where a class is aimed at."""
    largest = outputs.abs().argmax(1, keepdim=True)
    top = outputs.gather(1, largest)
    size = top.abs().clamp_min(torch.finfo(outputs.dtype).tiny)
    likely = (outputs * (scale / size)).softmax(1)
    off = likely + noise
    off.scatter_add_(1, goal.steered, torch.full_like(top, -1))
    slope = through_softmax(likely, off).mul_(scale / size)
    slope.scatter_add_(1, largest, -(slope * outputs).sum(1, keepdim=True) / size * top.sign())  # the size's own slope
    return slope if goal.aim is None else slope.neg_()
