"""Two attacks, the second on what the first left in a certain state."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from .answers import offer_answer


def first_then(
    problem: Problem, first: Attack, then: Attack, wanted: Callable[[Tensor, Tensor], Tensor], *, warm: bool
) -> Tensor:  # (B, *P)
    """The point of the highest goal margin: of x, of `first`, and of `then` on samples that are not won and `wanted`.

    wanted: from the best margins so far and those of x, float64 (B,), to bool (B,). warm: `then` begins at the best point so far.
    Cost: that of `first` and 2 forwards, then at most that of `then` and 1 forward.
    """
    best = Incumbent.at(problem.region.origin)
    untouched = problem.goal.margin(problem.oracle(problem.region.origin)).double()
    best.offer(problem.region.origin, untouched)
    rows = (untouched <= 0).nonzero().squeeze(1)
    if len(rows):
        part = problem.select(rows).forked(0)
        offer_answer(best, part, first(part), rows)
    rows = ((best.score <= 0) & wanted(best.score, untouched)).nonzero().squeeze(1)
    if len(rows):
        part = problem.select(rows).forked(1)
        part = part.starting(best.point[rows]) if warm else part
        offer_answer(best, part, then(part), rows)
    return best.point
