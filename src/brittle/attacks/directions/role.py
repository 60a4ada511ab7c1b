"""What a direction is: a change of the gradient that the one loop climbs along. Directions compose as functions do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ...core.oracle import Detour
from ...core.problem import NormBall, Problem
from ...core.streams import Streams
from ...errors import InputError
from ...kernels.shapes import wide

Gradient = Callable[[Tensor], Tensor]  # inputs (B, *S) -> gradient of the loss there (B, *S)


class Place(IntEnum):
    """Where in a chain a direction stands, whatever the order in which it was written: from the outermost to the next to the model."""

    AHEAD = 0  # where the gradient is taken: along what was found before
    AROUND = 1  # gradients at points around, and how they are put together
    NETWORKS = 2  # gradients of an ensemble's networks, and how they are put together
    SMOOTH = 3  # of the gradient itself
    COPIES = 4  # what the model is shown in place of the input: several of them
    VIEW = 5  # one, and drawn anew each time
    FEATURES = 6  # what a layer of the model says of it, and where the way back begins
    SURROGATE = 7  # how the model itself is run while it is asked


@dataclass(frozen=True, eq=False)
class Scene:
    """What directions see of a run: the ball, the streams of its samples, and the loop's step (B,) in input units.

    plain: the gradient of the loop's loss under a problem, before any direction. within: those directions that stand further in.
    listeners: they are told the loss (B,) each time that the model is asked. detours: how the model is run meanwhile, the first outermost.
    """

    problem: Problem
    step: Tensor
    plain: Callable[[Problem], Gradient] | None = None
    within: tuple[Direction, ...] = ()
    listeners: list[Callable[[Tensor], None]] = field(default_factory=list)
    detours: list[Detour] = field(default_factory=list)

    @cached_property
    def ball(self) -> NormBall:
        return self.problem.ball("an attack with directions")

    @property
    def streams(self) -> Streams:
        return self.problem.streams

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value of an input."""
        return self.problem.door.victim.range

    def networks(self, who: str) -> int:
        """How many networks the ensemble has that is attacked; InputError, naming who asks, where it is a single one."""
        count = len(self.problem.door.members)
        if count < 2:
            raise InputError(
                f"{who} puts the gradients of several networks together and {self.problem.door.victim.name} is one; give two "
                "surrogates or more, as in brittle.victims.ensemble.ensemble([a, b])"
            )
        return count

    def hearing(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The gradient at (B, *S) where the ensemble's networks have shares (B, K), as the directions further in change it."""
        heard: list[Tensor] = []

        def plain(point: Tensor) -> Tensor:
            assert self.plain is not None
            return self.plain(self.problem.sharing(heard[-1]))(point)

        gradient = bent(self.within, plain, self)

        def bent_to(point: Tensor, shares: Tensor) -> Tensor:
            heard[:] = [shares]
            return gradient(point)

        return bent_to

    def alone(self, sample: int, tag: int) -> Scene:
        """That of one of the samples, with new random numbers; the same tag gives the same ones."""
        row = torch.tensor([sample], device=self.step.device)
        return Scene(self.problem.select(row).forked(tag), self.step[row])

    @contextmanager
    def listening(self) -> Iterator[list[Tensor]]:
        """The losses (B,) of all that the model is asked meanwhile, for directions that learn from them."""
        heard: list[Tensor] = []
        self.listeners.append(heard.append)
        try:
            yield heard
        finally:
            self.listeners.pop()

    @contextmanager
    def detouring(self, detour: Detour) -> Iterator[None]:
        """Whatever the model is asked meanwhile, it is run so."""
        self.detours.append(detour)
        try:
            yield
        finally:
            self.detours.pop()

    def along(self, gradient: Gradient, detour: Callable[[], Detour]) -> Gradient:
        """The gradient where the model is run on a detour, made anew each time."""

        def bent(point: Tensor) -> Tensor:
            with self.detouring(detour()):
                return gradient(point)

        return bent

    def detoured(self, problem: Problem) -> Problem:
        """The problem, its model run as it is now."""
        if not self.detours:
            return problem
        door = problem.door
        return replace(problem, door=replace(door, detours=(*door.detours, *self.detours)))

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
        """How often it asks the gradient that it is given, for each time that it is asked; all networks of an ensemble are asked once."""

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient: ...


def bent(directions: Iterable[Direction], gradient: Gradient, scene: Scene) -> Gradient:
    """The gradient as all the directions together change it: ordered by their places, and as written where these are equal."""
    ordered = tuple(sorted(directions, key=lambda one: one.place))
    for place in reversed(range(len(ordered))):
        gradient = ordered[place].bend(gradient, replace(scene, within=ordered[place + 1 :]))
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
