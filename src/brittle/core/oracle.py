"""The only door to the victim during an attack: it counts, and it gives no more than the attack's access."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from ..errors import InputError
from .victim import Victim


class Access(Enum):
    """What an attack may learn from a query."""

    GRADIENT = "gradient"  # outputs and their gradient
    SCORES = "scores"  # outputs
    LABELS = "labels"  # the predicted class, as one-hot outputs


@dataclass(frozen=True, eq=False)
class Ledger:
    """Queries charged so far; both (B,) int64 for the whole batch, changed in place."""

    forwards: Tensor
    backwards: Tensor

    @classmethod
    def empty(cls, count: int, device: torch.device) -> Ledger:
        return cls(*(torch.zeros(count, dtype=torch.int64, device=device) for _ in range(2)))


@dataclass(frozen=True, eq=False)
class Oracle:
    """`oracle(x) -> outputs` (B, C), charging one forward a row, and one backward a row each time autograd comes back.

    `rows` says which rows of the ledger this oracle speaks for (None: all of them). `budget`, if any, is the most forwards plus backwards
    a row may be charged; a query beyond it raises `BudgetSpent`.
    """

    victim: Victim
    ledger: Ledger
    access: Access
    rows: Tensor | None = None
    budget: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        self._charge(self.ledger.forwards)
        if self.access is not Access.GRADIENT:
            with torch.no_grad():
                outputs = self.victim(x)
            if self.access is Access.LABELS:
                return torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).to(outputs.dtype)
            return outputs
        outputs = self.victim(x)
        if x.requires_grad and torch.is_grad_enabled() and not outputs.requires_grad:
            raise InputError(
                "the model gives no gradient with respect to its input; take torch.no_grad(), .detach() or numpy out of it, "
                "or use an attack that needs none, such as uniform_noise"
            )
        if outputs.requires_grad:
            outputs.register_hook(self._came_back)  # type: ignore[no-untyped-call]
        return outputs

    def select(self, rows: Tensor) -> Oracle:
        """The same door for some of the rows; charges go to the same ledger."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def _came_back(self, grad: Tensor) -> None:
        self._charge(self.ledger.backwards)

    def _charge(self, account: Tensor) -> None:
        if self.budget is not None:
            spent = self.ledger.forwards + self.ledger.backwards
            if bool(((spent if self.rows is None else spent[self.rows]) >= self.budget).any()):
                raise BudgetSpent(f"the budget of {self.budget} forwards and backwards a sample is spent")
        if self.rows is None:
            account += 1
        else:
            account[self.rows] += 1


class BudgetSpent(InputError):
    """A query was asked that the budget does not allow."""
