"""What an attack receives, what an attack is, and what a threat must offer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import InputError
from .access import Access
from .bounds import Edge
from .goal import Classify, Goal, about_classes
from .norms import Norm
from .oracle import BudgetSpent, Oracle
from .record import Record
from .streams import Streams


class Region(Protocol):
    """A threat bound to a batch: the points (B, *P) that the adversary may choose, and the inputs (B, *S) that they make.

    For a ball a point is the input itself. For other threats it is what the adversary turns: angles and shifts, a flow field, a patch.
    """

    @property
    def x(self) -> Tensor:
        """The clean inputs (B, *S)."""

    @property
    def origin(self) -> Tensor:
        """The point (B, *P) that changes nothing; x itself for a ball."""

    @property
    def radius(self) -> Tensor:
        """How far each sample may go (B,), in the threat's own measure."""

    def render(self, point: Tensor) -> Tensor:
        """The inputs (B, *S) that the points make; differentiable. A ball returns the point."""

    def point(self, inputs: Tensor) -> Tensor:
        """The point that makes these inputs (B, *S), where points are inputs or inputs over a scale; elsewhere what it is given."""

    def searched(self) -> Region:
        """The region as attacks search it, its box finite, and not many orders of magnitude wider than what can matter."""

    def made(self, rows: Tensor, point: Tensor) -> Tensor:
        """`render` for points (R, *P) of these rows (R,), in which a sample may come many times."""

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

    def size(self, point: Tensor) -> Tensor:
        """How far the point is from the origin (B,) float64."""

    def contains(self, point: Tensor) -> Tensor:
        """Whether the point is allowed (B,) bool, up to float rounding."""

    def select(self, rows: Tensor) -> Region:
        """The region of some rows."""

    def within(self, radius: Tensor) -> Region:
        """The same region with other radii (B,)."""


class NormBall(Region, Protocol):
    """A region that is a ball of a norm around x, cut by the input box. Its points are inputs, or inputs over an eps of each feature."""

    @property
    def norm(self) -> Norm:
        """The norm's kernels."""

    @property
    def lower(self) -> Tensor:
        """Least value of each feature; broadcasts to x, and is x itself where the mask forbids a change."""

    @property
    def upper(self) -> Tensor:
        """Largest value of each feature."""

    @property
    def limits(self) -> tuple[Tensor, Tensor]:
        """The tightest box around the region: the input box, cut by the ball where that is itself a box."""

    @property
    def free(self) -> Tensor | None:
        """(B, *S) bool: features that may change; None where all may."""

    def only(self, free: Tensor, norm: Norm) -> NormBall:
        """As large as the box, in another norm, where only the features `free` (B, *S) bool may change."""

    def searched(self) -> NormBall: ...

    def select(self, rows: Tensor) -> NormBall: ...

    def within(self, radius: Tensor) -> NormBall: ...


@runtime_checkable
class Threat(Protocol):
    """A plan-able value that makes regions."""

    @property
    def name(self) -> str: ...

    @property
    def eps(self) -> float: ...

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> Region:
        """Bind to inputs (B, *S) in the box [lower, upper]."""

    def with_eps(self, eps: float) -> Threat:
        """The same threat at another radius."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One batch to attack: region, goal, the door to the victim and the random streams of its samples.

    starts: points (B, *P) to begin from in place of the attack's own, such as what another attack found; they need not lie in the region.
    record: kept where a budget is set, so that what was found is not lost when it is spent.
    """

    region: Region
    goal: Goal
    door: Oracle
    streams: Streams
    starts: Tensor | None = None
    record: Record | None = None

    @property
    def x(self) -> Tensor:  # (B, *S)
        return self.region.x

    @property
    def classes(self) -> Classify:
        """The goal, for an attack that is about classes; InputError where the goal is another kind."""
        return about_classes(self.goal, "this attack")

    def oracle(self, point: Tensor) -> Tensor:
        """The victim's outputs (B, C) at points (B, *P); charged.

        A sample whose budget is spent is not sent any more: its outputs and gradients are zeros. When that is all of the batch, raises
        BudgetSpent, which nobody but `attempt` need catch.
        """
        record = self.record
        if record is None:
            return self.door(self.region.render(point))
        differentiate = point.requires_grad and torch.is_grad_enabled()
        paid = self.door.affordable(self.door.passes(differentiate)) & ~record.of(self.door.rows)
        if bool(paid.all()):
            outputs = self.door(self.region.render(point))
            record.see(self, point.detach(), outputs.detach())
            return outputs
        record.refuse(~paid, self.door.rows)
        if bool(record.refused.all()):
            raise BudgetSpent("the budget of every sample is spent")
        rows = paid.nonzero().squeeze(1)
        answered = self.select(rows).oracle(point[rows])
        nothing = (
            point.flatten(1)[:, :1].mul(0).expand(len(point), answered.shape[1])
        )  # hangs on the point: a gradient of zero
        return nothing.index_copy(0, rows, answered)

    @property
    def members(self) -> tuple[Problem, ...]:
        """Under a union of balls, the problem under each of them, in that ball's own sizes; empty under other threats."""
        regions, units = getattr(self.region, "members", ()), getattr(self.region, "units", ())
        return tuple(
            replace(self, region=region, record=None if self.record is None else replace(self.record, unit=unit))
            for region, unit in zip(regions, units, strict=True)
        )

    def ball(self, attack: str, *norms: str) -> NormBall:
        """The region as a norm ball; InputError, naming the attack, where it is another kind or a norm not among `norms`."""
        norm = getattr(self.region, "norm", None)
        if norm is None or (norms and norm.name not in norms):
            allowed = " or ".join(norms) if norms else "a norm ball"
            given = norm.name if norm is not None else type(self.region).__name__
            raise InputError(
                f"{attack} works under {allowed}, not under {given}; `brittle list attacks` says which attack works under which threat"
            )
        return self.region  # type: ignore[return-value]

    def in_input_units(self, who: str) -> None:
        """InputError, naming who needs that, where points are not inputs but inputs over an eps of each feature."""
        if getattr(self.region, "scaled", None) is not None:
            raise InputError(
                f"{who} counts in input units and takes no eps of each feature; give the threat one number"
            )

    def select(self, rows: Tensor) -> Problem:
        """The problem of some rows (B',) int64. Queries are charged to the same ledger."""
        return replace(
            self,
            region=self.region.select(rows),
            goal=self.goal.select(rows),
            door=self.door.select(rows),
            streams=self.streams.select(rows),
            starts=None if self.starts is None else self.starts[rows],
        )

    def within(self, radius: Tensor) -> Problem:
        """The same problem with other radii (B,)."""
        return replace(self, region=self.region.within(radius))

    def sharing(self, shares: Tensor) -> Problem:
        """The same problem where each row hears so much of each network of an ensemble, (B, K)."""
        return replace(self, door=replace(self.door, shares=shares))

    def starting(self, starts: Tensor) -> Problem:
        """The same problem, to begin from these points (B, *P)."""
        return replace(self, starts=starts)

    def forked(self, tag: int) -> Problem:
        """The same problem with other random numbers."""
        return replace(self, streams=self.streams.fork(tag))


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters. It proposes points; the judge decides.

    An attack that minimises looks for the smallest perturbation that wins, and returns it even where it is larger than the radius.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def access(self) -> Access:
        """What it may learn from a query."""

    @property
    def minimises(self) -> bool:
        """Whether it looks for the smallest perturbation."""

    @property
    def paper(self) -> str:
        """Where it comes from."""

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        ...
