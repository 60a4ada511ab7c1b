"""What an attack receives, what an attack is, and what a threat must offer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from .goal import Classify
from .oracle import Access, Oracle
from .streams import Streams


class Region(Protocol):
    """A threat bound to a batch: the inputs (B, *S) that the adversary may choose."""

    @property
    def x(self) -> Tensor:
        """The clean inputs (B, *S)."""

    @property
    def radius(self) -> Tensor:
        """How far each sample may go (B,), in the threat's own measure."""

    def random(self, streams: Streams) -> Tensor:
        """A random point of the region."""

    def gaussian(self, streams: Streams) -> Tensor:
        """Gaussian noise whose size is the radius, then projected."""

    def ascend(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        """Move by the step (B,) where <grad, .> rises most; may leave the region."""

    def project(self, point: Tensor) -> Tensor:
        """A point of the region near `point`."""

    def step_(self, point: Tensor, grad: Tensor, step: Tensor) -> Tensor:
        """`project(ascend(point, grad, step))`, for a loop that needs neither `point` nor `grad` afterwards: both may be overwritten."""

    def size(self, x_adv: Tensor) -> Tensor:
        """How far x_adv is from x (B,)."""

    def contains(self, x_adv: Tensor) -> Tensor:
        """Whether x_adv is allowed (B,) bool, up to float rounding."""

    def select(self, rows: Tensor) -> Region:
        """The region of some rows."""


class Threat(Protocol):
    """A plan-able value that makes regions."""

    @property
    def name(self) -> str: ...

    @property
    def eps(self) -> float: ...

    def around(self, x: Tensor, lower: float, upper: float) -> Region:
        """Bind to inputs (B, *S) in the box [lower, upper]."""

    def with_eps(self, eps: float) -> Threat:
        """The same threat at another radius."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One batch to attack: region, goal, the oracle and the random streams of its samples."""

    region: Region
    goal: Classify
    oracle: Oracle
    streams: Streams

    @property
    def x(self) -> Tensor:  # (B, *S)
        return self.region.x

    def select(self, rows: Tensor) -> Problem:
        """The problem of some rows (B',) int64. Queries are charged to the same ledger."""
        return Problem(
            self.region.select(rows), self.goal.select(rows), self.oracle.select(rows), self.streams.select(rows)
        )

    def forked(self, tag: int) -> Problem:
        """The same problem with other random numbers."""
        return replace(self, streams=self.streams.fork(tag))


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters. It proposes inputs; the judge decides."""

    access: ClassVar[Access]
    minimises: ClassVar[bool]  # looks for the smallest perturbation, so the radius is only a starting point
    paper: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ...
