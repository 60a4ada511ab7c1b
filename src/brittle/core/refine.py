"""The last stretch of a minimum-norm attack: pull what wins towards x for as long as it wins."""

from __future__ import annotations

from torch import Tensor

from .incumbent import Incumbent
from .problem import Problem
from .shrink import shrunk


def pulled_in(problem: Problem, best: Incumbent, rounds: int) -> Tensor:
    """The incumbent's points (B, *P), those that win made smaller by `shrunk`, for attacks that do not know the margin at both ends.

    Cost: at most `rounds` forwards, two of them for the ends; none for samples that were not won, or won by nothing.
    """
    rows = (best.found & (best.size > 0)).nonzero().squeeze(1)
    answer = best.point.clone()
    if rounds < 3 or not len(rows):
        return answer
    problem = problem.select(rows)
    point = best.point[rows]
    clean, margin = (problem.goal.margin(problem.oracle(at)) for at in (problem.region.origin, point))
    answer[rows] = shrunk(problem, point, margin, clean, rounds - 2)
    return answer
