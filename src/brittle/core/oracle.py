"""The only door to the victim during an attack: it counts, and it gives no more than the attack's access."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from .access import Access
from .victim import Victim


@dataclass(eq=False)
class Account:
    """How often each of B samples was charged. Charges to all of them are one integer, not a tensor operation a query."""

    own: Tensor  # (B,) int64
    common: int = 0

    def charge(self, rows: Tensor | None) -> None:
        """Charge some rows, each as often as it is named, or all once (None)."""
        if rows is None:
            self.common += 1
        else:
            self.own.index_add_(0, rows, torch.ones_like(rows))


@dataclass(frozen=True, eq=False)
class Ledger:
    """Queries charged so far, for the whole batch; changed in place."""

    forward: Account
    backward: Account

    @classmethod
    def empty(cls, count: int, device: torch.device) -> Ledger:
        return cls(*(Account(torch.zeros(count, dtype=torch.int64, device=device)) for _ in range(2)))

    @property
    def forwards(self) -> Tensor:
        """(B,) int64."""
        return self.forward.own + self.forward.common

    @property
    def backwards(self) -> Tensor:
        """(B,) int64."""
        return self.backward.own + self.backward.common


@dataclass(frozen=True, eq=False)
class Oracle:
    """`oracle(x) -> outputs` (B, C), charging one forward a row, and one backward a row each time autograd comes back.

    `rows` says which rows of the ledger this oracle speaks for (None: all of them). `budget`, if any, is the most forwards plus backwards
    a row may be charged: a query beyond it raises `BudgetSpent`, and a gradient beyond it comes back as zero and is not charged.
    `narrow` is the victim's own type where that is float16 or bfloat16: the attack calculates in float32, the door converts.
    """

    victim: Victim
    ledger: Ledger
    access: Access
    rows: Tensor | None = None
    budget: int | None = None
    narrow: torch.dtype | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.budget is not None and not bool(self.affordable(1).all()):
            raise BudgetSpent(f"the budget of {self.budget} forwards and backwards a sample is spent")
        self.ledger.forward.charge(self.rows)
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

    def affordable(self, passes: int) -> Tensor:
        """(B,) bool: rows whose budget allows this many more passes."""
        spent = self.ledger.forwards + self.ledger.backwards
        return (spent if self.rows is None else spent[self.rows]) + passes <= (self.budget or math.inf)

    def passes(self, differentiate: bool) -> int:
        """What a question costs a sample: forwards plus backwards."""
        return 2 if differentiate else 1

    def select(self, rows: Tensor) -> Oracle:
        """The same door for some of the rows; charges go to the same ledger."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def _outputs(self, x: Tensor) -> Tensor:
        return self.victim(x) if self.narrow is None else self.victim(x.to(self.narrow)).float()

    def _came_back(self, grad: Tensor) -> Tensor | None:
        if self.budget is None:
            self.ledger.backward.charge(self.rows)
            return None
        paid = self.affordable(1)
        rows = paid.nonzero().squeeze(1)
        self.ledger.backward.charge(rows if self.rows is None else self.rows[rows])
        return grad * paid[:, None]


class BudgetSpent(InputError):
    """A query was asked that the budget does not allow."""
