"""What a direction is: a change of the gradient that the one loop climbs along. Directions compose as functions do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...kernels.shapes import wide

Gradient = Callable[[Tensor], Tensor]  # inputs (B, *S) -> gradient of the loss there (B, *S)


class Place(IntEnum):
    """Where in a chain a direction stands, whatever the order in which it was written: from the outermost to the next to the model."""

    AHEAD = 0  # where the gradient is taken: along what was found before
    AROUND = 1  # gradients at points around, and how they are put together
    SMOOTH = 2  # of the gradient itself
    COPIES = 3  # what the model is shown in place of the input: several of them
    VIEW = 4  # one, and drawn anew each time


@dataclass(frozen=True, eq=False)
class Scene:
    """What directions see of a run: the ball, the streams of its samples, and the loop's step (B,) in input units."""

    problem: Problem
    step: Tensor

    @cached_property
    def ball(self) -> NormBall:
        return self.problem.ball("an attack with directions")

    @property
    def streams(self) -> Streams:
        return self.problem.streams

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value of an input."""
        return self.problem.door.victim.lower, self.problem.door.victim.upper

    def around(self, point: Tensor, reach: float) -> Tensor:
        """Uniform in the cube of `reach` radii around the point (B, *S), not cut by the input range."""
        noise = self.uniform(tuple(point.shape[1:])).to(point.dtype).mul_(2).sub_(1)
        return point + noise.mul_(wide(self.ball.radius * reach, point))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """(B, *shape) in (0, 1), float32, from each sample's own stream."""
        return self.streams.uniform(shape)


@runtime_checkable
class Direction(Protocol):
    """A frozen dataclass of hyper-parameters: given a gradient it returns another one, which may ask the first several times a step.

    What is remembered from step to step lives in the function that `bend` returns.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def place(self) -> Place: ...

    @property
    def passes(self) -> int:
        """How often it asks the gradient that it is given, for each time that it is asked."""

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient: ...


def bent(directions: Iterable[Direction], gradient: Gradient, scene: Scene) -> Gradient:
    """The gradient as all the directions together change it: ordered by their places, and as written where these are equal."""
    for direction in sorted(directions, key=lambda one: one.place)[::-1]:
        gradient = direction.bend(gradient, scene)
    return gradient


def pulled(view: Callable[[Tensor], Tensor], point: Tensor, gradient: Gradient) -> Tensor:
    """The gradient at what the view makes of the point, drawn back through the view: J^T g(view(x))."""
    with torch.enable_grad():
        asked = point.detach().requires_grad_()
        shown = view(asked)
    (grad,) = torch.autograd.grad(shown, asked, gradient(shown.detach()))
    return grad


def mean(parts: Iterable[Tensor]) -> Tensor:
    """The mean of one gradient or more, of which only the sum is kept."""
    rest = iter(parts)
    total, count = next(rest).clone(), 1
    for part in rest:
        total, count = total.add_(part), count + 1
    return total.div_(count)


def per_mean(grad: Tensor) -> Tensor:
    """The gradient over the mean of its absolute values, a sample at a time."""
    return grad / wide(grad.flatten(1).abs().mean(1).clamp_min(torch.finfo(grad.dtype).tiny), grad)


def planes(x: Tensor) -> Tensor:
    """(B, K, H, W): the last two dimensions of a sample as a picture, those before as channels; a vector as one of height 1."""
    shape: Sequence[int] = x.shape[1:]
    height, width = (1, *shape)[-2:]
    return x.reshape(len(x), x[:1].numel() // max(height * width, 1) if len(x) else 1, height, width)
