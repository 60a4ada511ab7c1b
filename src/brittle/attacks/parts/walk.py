"""Samples on their way across the decision boundary: who has crossed it leaves, and is pulled back onto it in the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.problem import NormBall, Problem
from .shrink import shrunk


@dataclass(eq=False)
class Walk:
    """B' of B samples, known as `rows` of the B, which have not won yet and stand at `point`."""

    whole: Problem
    clean: Tensor  # (B,) the goal's margin at x
    answer: Tensor  # (B, *S) where those who won did so; x for all others
    margin: Tensor  # (B,) the goal's margin there
    problem: Problem
    rows: Tensor
    point: Tensor  # (B', *S)

    @classmethod
    def begin(cls, problem: Problem, attack: str, *norms: str) -> Walk:
        """At the problem's starts or x. Who is won by x itself does not set out. 1 forward."""
        region = problem.ball(attack, *norms)
        clean = problem.goal.margin(problem.oracle(region.origin))
        point = region.origin.clone()
        if problem.starts is not None:
            point = torch.clamp(problem.starts.to(point.dtype), region.lower, region.upper)
        rows = (~(clean > 0)).nonzero().squeeze(1)
        lost = torch.full_like(clean, -torch.inf)
        return cls(problem, clean, region.origin.clone(), lost, problem.select(rows), rows, point[rows])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def region(self) -> NormBall:
        """The region of those who are still here."""
        return self.problem.ball("a walk")

    def leave(self, point: Tensor, margin: Tensor) -> Tensor:
        """Let those go whose points (B', *S) win, by these margins (B',); the rows (B'',) int64 that stay."""
        won = margin > 0
        done, stay = self.rows[won], (~won).nonzero().squeeze(1)
        self.answer[done], self.margin[done] = point[won], margin[won]
        if len(stay) < len(won):
            self.problem, self.rows, self.point = self.problem.select(stay), self.rows[stay], self.point[stay]
        return stay

    def finish(self, search: int) -> Tensor:
        """The answer (B, *S), pulled back onto the boundary by `search` forwards."""
        return shrunk(self.whole, self.answer, self.margin, self.clean, search)
