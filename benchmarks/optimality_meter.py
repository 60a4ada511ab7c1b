"""The yardstick of `optimality.py`: a module around the network that counts every query and keeps the smallest adversarial size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

SIZES: dict[str, Callable[[Tensor], Tensor]] = {  # (B, N) float64 -> (B,)
    "linf": lambda delta: delta.abs().amax(1),
    "l2": lambda delta: delta.norm(dim=1),
    "l1": lambda delta: delta.abs().sum(1),
    "l0": lambda delta: delta.ne(0).sum(1).double(),  # a pixel's channels are features of their own
}


class BudgetSpent(Exception):
    """Every sample's budget is spent, so nothing that the attack could still ask would count."""


class TooSlow(Exception):
    """The deadline, in processor seconds, has passed."""


class WhoseRows(Exception):
    """The attack asked about another number of rows than it was given, and did not say which samples they belong to."""


class Meter(nn.Module):
    """`meter(points) -> outputs`: one forward a row, and one backward a row each time autograd comes back.

    A row is told by its place: an attack asks about all of its B samples, or says by `telling` which ones it asks about; with one
    sample all rows are its own. Anything else raises `WhoseRows`. Points are clamped to [0, 1] on the way in, gradients pass straight.
    A point counts when its sample had forwards + backwards < budget before it was asked; later queries are answered but neither counted
    nor kept, and when all samples are there, the next query raises `BudgetSpent`. `seconds_own`: processor time of the measuring itself.
    """

    def __init__(self, network: nn.Module, x: Tensor, labels: Tensor, norm: str, budget: int, deadline: float) -> None:
        super().__init__()
        self.network, self.x, self.labels = network, x, labels
        self.size, self.budget, self.deadline = SIZES[norm], budget, deadline
        self.forwards = torch.zeros(len(x), dtype=torch.int64)
        self.backwards = torch.zeros_like(self.forwards)
        self.refused = torch.zeros(len(x), dtype=torch.bool)  # asked for more than the budget
        self.best = torch.full((len(x),), math.inf, dtype=torch.float64)
        self.told: Tensor | None = None
        self.seconds_own = 0.0

    def forward(self, points: Tensor) -> Tensor:
        start = time.process_time()
        if start > self.deadline:
            raise TooSlow
        if bool((self.forwards + self.backwards >= self.budget).all()):
            raise BudgetSpent
        rows = self._rows(len(points))
        points = _Clamp.apply(points)
        counted = self._charge(self.forwards, rows)
        asked = time.process_time()
        outputs = self.network(points)
        answered = time.process_time()
        self._keep(points.detach(), outputs.detach(), rows, counted)
        if outputs.requires_grad:
            outputs.register_hook(lambda grad: self._came_back(rows))
        self.seconds_own += (asked - start) + (time.process_time() - answered)
        return outputs

    @contextmanager
    def telling(self, rows: Tensor) -> Iterator[None]:
        """What is asked inside is about the samples `rows` (B',) int64."""
        before, self.told = self.told, rows
        try:
            yield
        finally:
            self.told = before

    @torch.no_grad()
    def offer(self, points: Tensor, rows: Tensor) -> None:
        """Look at points that an attack returned, uncharged; not those of samples that asked for more than their budget."""
        start = time.process_time()
        points = points.detach().clamp(0, 1)
        self._keep(points, self.network(points), rows, ~self.refused[rows])
        self.seconds_own += time.process_time() - start

    def _rows(self, count: int) -> Tensor:
        rows = torch.arange(len(self.x)) if self.told is None else self.told
        if count == len(rows):
            return rows
        if len(rows) == 1:
            return rows.expand(count)
        raise WhoseRows(f"{count} rows asked about, {len(rows)} expected")

    def _came_back(self, rows: Tensor) -> None:
        start = time.process_time()
        self._charge(self.backwards, rows)
        self.seconds_own += time.process_time() - start

    def _charge(self, account: Tensor, rows: Tensor) -> Tensor:
        """Charge the rows that still may ask; (B',) bool which they are."""
        spent = (self.forwards + self.backwards)[rows]
        if self.told is not None or len(rows) > len(self.x):
            spent += (rows[:, None] == rows).tril(-1).sum(1)  # a sample asked about several times at once
        counted = spent < self.budget
        account.index_add_(0, rows, counted.long())
        if not bool(counted.all()):
            self.refused[rows[~counted]] = True
        return counted

    def _keep(self, points: Tensor, outputs: Tensor, rows: Tensor, counted: Tensor) -> None:
        labels = self.labels[rows, None]
        others = outputs.scatter(1, labels, -math.inf).amax(1)
        won = ((others > outputs.gather(1, labels).squeeze(1)) & counted).nonzero().squeeze(1)
        if len(won):
            rows = rows[won]
            sizes = self.size((points[won].double() - self.x[rows].double()).flatten(1))
            self.best.scatter_reduce_(0, rows, sizes, "amin")


class _Clamp(torch.autograd.Function):
    """Rounding puts points a hair outside the box; they are taken for the nearest point inside, without loss of their gradient."""

    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        return points.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad
