"""The door to a mended victim: what it asks of the real one is charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ...core.goal import Goal, about_classes
from ...core.oracle import Oracle
from ...core.streams import Streams
from ...core.victim import Victim
from ...errors import InputError
from ...kernels.sampling import mix
from .neighbours import Smoothed
from .operations import StraightThrough
from .rejection import Rejection, losing, lost


@runtime_checkable
class Mend(Protocol):
    """A frozen dataclass that turns a victim into one of the same decisions with an honest backward pass, for one pass of it a pass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def paper(self) -> str:
        """Where it comes from."""

    def __call__(self, victim: Victim) -> Victim: ...


Remedy = Mend | Smoothed


def mended(victim: Victim, remedies: Sequence[Remedy]) -> Victim:
    """The victim with the remedies put around it one after the other, the first innermost.

    Wherever they stand, StraightThrough goes next to the victim and Rejection next to that, so that they watch no other remedy's
    operations, and Smoothed, which needs a door, is left out. With Rejection there is one output more.
    """
    inner = [remedy for kind in (StraightThrough, Rejection) for remedy in remedies if isinstance(remedy, kind)]
    outer = [remedy for remedy in remedies if not isinstance(remedy, StraightThrough | Rejection | Smoothed)]
    for remedy in (*inner, *outer):
        victim = remedy(victim)
    return victim


@dataclass(frozen=True, eq=False, kw_only=True)
class MendedDoor(Oracle):
    """A door whose victim is mended already, and which asks about the neighbours of a point where `smoothed` says so.

    keys: (N,) int64, of each row of the ledger, that the random numbers of its neighbours come from. losing: (N,) int64, the class that
    a rejected row of the ledger counts as; None: nothing is rejected. Outputs have the type of the inputs.
    """

    smoothed: Smoothed | None
    keys: Tensor
    losing: Tensor | None = None

    @classmethod
    def of(cls, door: Oracle, remedies: Sequence[Remedy], streams: Streams, goal: Goal) -> MendedDoor:
        """The same ledger, rows, budget and access; `streams` and goal are those of the door's rows."""
        around = [remedy for remedy in remedies if isinstance(remedy, Smoothed)]
        if len(around) > 1:
            raise InputError("two Smoothed ask about neighbours of neighbours; give one, with more draws")
        count = len(door.ledger.forward.own)
        rows = torch.arange(count, device=streams.keys.device) if door.rows is None else door.rows
        keys = streams.keys.new_zeros(count).index_copy_(0, rows, streams.fork(_STREAM).keys)
        losers = None
        if any(isinstance(remedy, Rejection) for remedy in remedies):
            losers = keys.new_zeros(count).index_copy_(0, rows, losing(about_classes(goal, "the remedy rejection")))
        same = {f.name: getattr(door, f.name) for f in fields(Oracle)} | {"victim": mended(door.victim, remedies)}
        return cls(**same, smoothed=around[0] if around else None, keys=keys, losing=losers)

    def __call__(self, x: Tensor) -> Tensor:
        ask = super().__call__ if self.losing is None else self._losing
        if self.smoothed is None:
            return ask(x).to(x.dtype)
        asked = self.ledger.forwards  # so many random numbers has each sample used, whoever is in the batch
        keys = mix(self.keys ^ mix(asked))
        streams = Streams(keys if self.rows is None else keys[self.rows])
        return self.smoothed.answer(ask, x, streams, self.victim).to(x.dtype)

    def _losing(self, x: Tensor) -> Tensor:
        assert self.losing is not None
        return lost(super().__call__(x), self.losing if self.rows is None else self.losing[self.rows])

    def passes(self, differentiate: bool) -> int | Tensor:
        """What a question costs a sample."""
        if self.smoothed is None or not differentiate:
            return super().passes(differentiate)
        return 1 + 2 * self.smoothed.draws


_STREAM = 0x5A0  # keeps neighbours apart from the attack's own random numbers
