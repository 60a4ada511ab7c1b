"""What every combinator does with an attack's answer."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.problem import Problem


def offer_answer(best: Incumbent, problem: Problem, point: Tensor, rows: Tensor, minimises: bool = False) -> None:
    """Look at what an attack returned for the rows (1 forward), and keep it where it is better: smaller, or of a higher margin."""
    with torch.no_grad():
        margin = problem.goal.margin(problem.oracle(point))
    if minimises:
        best.offer_smaller(point, problem.region.size(point), margin > 0, rows)
    else:
        best.offer(point, margin, rows)
