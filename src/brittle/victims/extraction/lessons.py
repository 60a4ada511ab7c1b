"""What a target says of inputs: asked for within a budget, and kept as samples whose labels are its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ...core.access import Access
from ...core.checks import are_probabilities, check_outputs
from ...core.oracle import Ledger, Oracle
from ...core.victim import Victim
from ...data.samples import Samples, slices
from ...errors import InputError
from ..remote import OverBudget, Remote


@dataclass(frozen=True, eq=False)
class Lessons:
    """Inputs x (N, *S) and what the target said of them, as probabilities (N, C); one-hot where it gives labels alone.

    They are samples whose labels are soft, which the training loop takes as they are: cross-entropy is defined for both.
    """

    x: Tensor
    answers: Tensor
    bounds: tuple[float, float]
    name: str
    classes: tuple[str, ...]
    digest: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x (B, *S) and the answers (B, C)."""
        rows = torch.as_tensor(list(ids), dtype=torch.int64)
        return self.x[rows], self.answers[rows]

    def joined(self, more: Lessons) -> Lessons:
        """These, then more."""
        return replace(self, x=torch.cat([self.x, more.x]), answers=torch.cat([self.answers, more.answers]))


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures that may be asked about: some samples of a data set, whose labels need mean nothing to the target."""

    data: Samples
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def inputs(self, places: Tensor) -> Tensor:
        """x (B, *S) at places (B,) of the pool."""
        return self.data.batch([self.ids[place] for place in places.tolist()])[0]

    @cached_property
    def labels(self) -> Tensor:
        """(N,) int64: the data's own classes."""
        parts = slices(len(self))
        return torch.cat([self.data.batch(self.ids[part])[1] for part in parts])


@dataclass(eq=False)
class Teacher:
    """The door to the target: it gives scores or labels, and no more answers than the budget.

    Of a model behind HTTP no more rows are sent either, whatever is lost on the way and must be sent again.
    """

    victim: Victim
    budget: int
    access: Access
    batch_size: int = 256
    progress: Callable[[int, int, str], None] | None = None
    width: int = 0  # classes; 0 where no answer has told yet
    asked: int = 0
    _before: int = 0  # rows sent to a server until now

    @classmethod
    def of(
        cls,
        victim: Victim,
        budget: int,
        access: Access,
        batch_size: int = 256,
        progress: Callable[[int, int, str], None] | None = None,
        width: int = 0,
    ) -> Teacher:
        """The door to a victim; a model behind HTTP is asked in batches of its own size."""
        if not isinstance(victim.forward, Remote):
            return cls(victim, budget, access, batch_size, progress, width)
        limited = replace(victim, forward=victim.forward.limited(budget))
        return cls(limited, budget, access, victim.forward.batch, progress, width, 0, victim.forward.journal.sent)

    @property
    def left(self) -> int:
        """Answers that there still are."""
        return self.budget - self.asked

    @property
    def spent(self) -> int:
        """What the target was asked until now: for a model behind HTTP the rows that were sent, else the answers."""
        remote = self.victim.forward
        return remote.journal.sent - self._before if isinstance(remote, Remote) else self.asked

    def teach(self, x: Tensor) -> Lessons:
        """What the target says of the first of x (N, *S), as far as the budget goes. InputError where it allows no answer at all."""
        answers: list[Tensor] = []
        done, wanted, size = 0, min(len(x), self.left), self.batch_size
        while done < wanted:
            size = min(size, wanted - done)
            try:
                answers.append(self._answers(x[done : done + size]))
            except OverBudget:
                if size == 1:
                    self.budget = self.asked
                    break
                size //= 2
                continue
            done += size
            self.asked += size
            if self.progress is not None:
                self.progress(self.asked, self.budget, "asking")
        if not (answers or self.width):
            raise InputError(f"{self.victim.name} gave no answer to learn from: its budget is spent; give a larger one")
        said = torch.cat(answers or [torch.empty(0, self.width)])
        self.width = said.shape[1]
        named = len(self.victim.classes) == said.shape[1]
        classes = self.victim.classes if named else tuple(map(str, range(said.shape[1])))
        bounds = self.victim.range
        return Lessons(x[:done], said, bounds, f"answers of {self.victim.name}", classes)

    def _answers(self, x: Tensor) -> Tensor:
        """Probabilities (B, C) float32 on the CPU."""
        door = Oracle(self.victim, Ledger.empty(len(x), self.victim.device), self.access)
        with torch.no_grad():
            outputs = check_outputs(door(x.to(self.victim.device, self.victim.dtype)), len(x))
        plain = self.access is Access.LABELS or are_probabilities(outputs)
        return (outputs if plain else outputs.double().softmax(1)).float().cpu()
