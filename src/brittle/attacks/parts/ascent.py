"""Samples on their way up: each keeps the point of its highest goal margin, and leaves as soon as one wins."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.problem import Problem, Region


@dataclass(eq=False)
class Ascent:
    """B' of B samples, known as `rows` of the B, which have not won yet and stand at `point`; `best` is of all B.

    Who keeps something for each sample goes on with the rows that `leave` returns.
    """

    problem: Problem
    point: Tensor  # (B', *P)
    best: Incumbent = field(init=False)
    rows: Tensor = field(init=False)  # (B',) int64
    margin: Tensor = field(init=False)  # (B',) the goal's, of the last answer
    _graph: tuple[Tensor, Tensor] = field(init=False)  # outputs and the points they hang on

    def __post_init__(self) -> None:
        self.best = Incumbent.at(self.problem.region.origin)
        self.rows = torch.arange(len(self.point), device=self.point.device)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def region(self) -> Region:
        """That of those who are still here."""
        return self.problem.region

    def ask(self, differentiate: bool = True) -> Tensor:
        """The outputs (B', C) where everybody stands; 1 forward."""
        with torch.set_grad_enabled(differentiate):
            asked = self.point.detach().requires_grad_(differentiate)
            outputs = self.problem.oracle(asked)
        seen = outputs.detach()
        self.margin, self._graph = self.problem.goal.margin(seen), (outputs, asked)
        everybody = len(self.rows) == len(self.best.point)
        self.best.offer(self.point, self.margin, None if everybody else self.rows)  # None is faster
        return seen

    def gradient(self, slope: Tensor) -> Tensor:
        """(B', *P) of the loss whose slope in the outputs is (B', C), at the points just asked about; zero where NaN; 1 backward."""
        (grad,) = torch.autograd.grad(*self._graph, slope)
        grad = grad.contiguous()  # autograd may return an expanded view, which cannot be written to
        return torch.nan_to_num(grad, nan=0.0, out=grad)

    def leave(self) -> Tensor | None:
        """Let those go who have won; the rows (B'',) int64 that stay, None where nobody left."""
        stay = (~(self.margin > 0)).nonzero().squeeze(1)
        if len(stay) == len(self.rows):
            return None
        self.problem, self.rows, self.point = self.problem.select(stay), self.rows[stay], self.point[stay]
        return stay

    def step_(self, grad: Tensor, radii: float, length: float | None = None) -> None:
        """The region's step, of a length in input units or else of that many radii; the gradient is overwritten."""
        radius = self.region.radius
        step = radius * radii if length is None else torch.full_like(radius, length)
        self.point = self.region.step_(self.point, grad, step)

    def finish(self) -> Tensor:
        """(B, *P) the best points; 1 forward for those who are still here, to see where they stand."""
        if len(self):
            self.ask(differentiate=False)
        return self.best.point
