"""The only door to the victim during an attack: it counts, and it gives no more than the attack's access."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .access import Access
from .context import Context
from .ensemble import Ensemble
from .victim import Victim


@dataclass(eq=False)
class Account:
    """How often each of B samples was charged. Charges to all of them are one integer, not a tensor operation a query."""

    own: Tensor  # (B,) int64
    common: int = 0

    def charge(self, rows: Tensor | None, times: int | Tensor = 1) -> None:
        """Charge some rows, each as often as it is named, or all (None); `times` over, one number or one a row."""
        if rows is None and isinstance(times, int):
            self.common += times
        elif rows is None:
            self.own += times
        else:
            self.own.index_add_(0, rows, torch.ones_like(rows) * times)


@dataclass(frozen=True, eq=False)
class Ledger:
    """Queries charged so far, for the whole batch; changed in place. `aside` is what was asked of another model, such as a surrogate."""

    forward: Account
    backward: Account
    aside: Ledger | None = None

    @classmethod
    def empty(cls, count: int, device: torch.device) -> Ledger:
        accounts = [Account(torch.zeros(count, dtype=torch.int64, device=device)) for _ in range(4)]
        return cls(accounts[0], accounts[1], cls(accounts[2], accounts[3]))

    @property
    def forwards(self) -> Tensor:
        """(B,) int64."""
        return self.forward.own + self.forward.common

    @property
    def backwards(self) -> Tensor:
        """(B,) int64."""
        return self.backward.own + self.backward.common


Run = Callable[[Tensor], Tensor]  # inputs (B, *S) -> outputs (B, C)


class Detour(Protocol):
    """Another way through the victim than its own, while an attack asks it so: what directions on a surrogate's layers are made of."""

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        """The outputs (B, C) at x (B, *S), where `run` is the way without this detour; called once a question."""

    def select(self, rows: Tensor) -> Detour:
        """That of some of the rows."""


@dataclass(frozen=True, eq=False)
class Oracle:
    """`oracle(x) -> outputs` (B, C), charging one forward a row, and one backward a row each time autograd comes back.

    A forward is one pass through one network: of an ensemble, each network that answers a row charges it one, and so does the way back.
    `shares` (B, K) says how much each row hears of each of its networks; None: as the ensemble has it.
    `rows` says which rows of the ledger this oracle speaks for (None: all of them). `budget`, if any, is the most forwards plus backwards
    a row may be charged: a query beyond it raises `BudgetSpent`, and a gradient beyond it comes back as zero and is not charged.
    `narrow` is the victim's own type where that is float16 or bfloat16: the attack calculates in float32, the door converts.
    `detours`, the first outermost, change how the victim is run, and not what is charged. `context` is what it takes beside x.
    """

    victim: Victim
    ledger: Ledger
    access: Access
    rows: Tensor | None = None
    budget: int | None = None
    narrow: torch.dtype | None = None
    shares: Tensor | None = None
    detours: tuple[Detour, ...] = ()
    context: Context | None = None

    @property
    def members(self) -> tuple[Victim, ...]:
        """The networks of an ensemble; of a single model none."""
        forward = self.victim.forward
        return forward.members if isinstance(forward, Ensemble) else ()

    @property
    def networks(self) -> int | Tensor:
        """How many networks answer a row, one number or (B,) int64."""
        return max(len(self.members), 1) if self.shares is None else (self.shares > 0).sum(1)

    def __call__(self, x: Tensor) -> Tensor:
        if self.budget is not None and not bool(self.affordable(self.networks).all()):
            raise BudgetSpent(f"the budget of {self.budget} forwards and backwards a sample is spent")
        self.ledger.forward.charge(self.rows, self.networks)
        if self.access is not Access.GRADIENT:
            with torch.no_grad():
                outputs = self._outputs(x)
            if self.access is Access.LABELS:
                return torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).to(outputs.dtype)
            return outputs
        outputs = self._outputs(x)
        if x.requires_grad and torch.is_grad_enabled() and not outputs.requires_grad:
            raise InputError(
                "the model gives no gradient with respect to its input; take torch.no_grad(), .detach() or numpy out of it, "
                "or use an attack that needs none, such as uniform_noise"
            )
        if outputs.requires_grad:
            outputs.register_hook(self._came_back)  # type: ignore[no-untyped-call]
        return outputs

    def affordable(self, passes: int | Tensor) -> Tensor:
        """(B,) bool: rows whose budget allows this many more passes."""
        spent = self.ledger.forwards + self.ledger.backwards
        return (spent if self.rows is None else spent[self.rows]) + passes <= (self.budget or math.inf)

    def passes(self, differentiate: bool) -> int | Tensor:
        """What a question costs a sample: forwards plus backwards."""
        return self.networks * (2 if differentiate else 1)

    def select(self, rows: Tensor) -> Oracle:
        """The same door for some of the rows; charges go to the same ledger."""
        shares = None if self.shares is None else self.shares[rows]
        detours = tuple(detour.select(rows) for detour in self.detours)
        context = None if self.context is None else self.context.select(rows)
        rows = rows if self.rows is None else self.rows[rows]
        return replace(self, rows=rows, shares=shares, detours=detours, context=context)

    def _outputs(self, x: Tensor) -> Tensor:
        run: Run = self._run
        for detour in reversed(self.detours):
            run = partial(detour, run)
        return run(x)

    def _run(self, x: Tensor) -> Tensor:
        outputs = self._answer(x if self.narrow is None else x.to(self.narrow))
        return outputs if self.narrow is None else outputs.float()

    def _answer(self, x: Tensor) -> Tensor:
        if self.context is not None:
            return self.victim.beside(self.context)(x)
        if self.shares is None:
            return self.victim(x)
        forward = self.victim.forward
        assert isinstance(forward, Ensemble)
        return forward.shared(x, self.shares)

    def _came_back(self, grad: Tensor) -> Tensor | None:
        if self.budget is None:
            self.ledger.backward.charge(self.rows, self.networks)
            return None
        times = self.networks
        paid = self.affordable(times)
        rows = paid.nonzero().squeeze(1)
        self.ledger.backward.charge(
            rows if self.rows is None else self.rows[rows], times if isinstance(times, int) else times[rows]
        )
        return grad * paid[:, None]


class BudgetSpent(InputError):
    """A query was asked that the budget does not allow."""
