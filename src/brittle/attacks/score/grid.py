"""Exhaustive search of a region of few dimensions, such as angles and shifts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ...errors import InputError
from ..parts.options import at_least


@dataclass(frozen=True, kw_only=True)
class GridSearch:
    """Ask about every point of a grid with `points` values an axis, from limit to limit; keep the best, stop where won.

    Engstrom et al., ICML 2019, arXiv:1712.02779, section 3 (they take 31 angles and 5 x 5 shifts, and find it stronger than gradients); the
    nearest points come first, so that what is returned is also mild. "Worst of k" random points is `uniform_noise:draws=k`.

    Cost: at most points ** dimensions forwards.
    """

    points: int = 7

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Engstrom 2019, arXiv:1712.02779"

    def __post_init__(self) -> None:
        at_least(self, points=2)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region = problem.region
        count = region.origin[:1].numel()
        if count > _MOST_DIMENSIONS:
            raise InputError(
                f"grid_search tries all combinations, too many for {count} dimensions; use it under spatial, or pgd here"
            )
        high = region.project(region.origin + torch.finfo(region.origin.dtype).max / 4)
        low = region.project(region.origin - torch.finfo(region.origin.dtype).max / 4)
        best = Incumbent.at(region.origin)
        rows = torch.arange(len(high), device=high.device)
        shares = [k / (self.points - 1) for k in range(self.points)]
        grid = torch.tensor(list(product(shares, repeat=count)), dtype=high.dtype, device=high.device)
        order = _nearest_first(grid, region.origin, low, high)
        for k in range(len(grid)):
            share = grid[order[rows, k]].view(len(rows), *high.shape[1:])
            point = region.project(low[rows] + share * (high[rows] - low[rows]))
            with torch.no_grad():
                best.offer(point, problem.goal.margin(problem.oracle(point)), rows)
            lost = (best.score[rows] <= 0).nonzero().squeeze(1)
            if len(lost) < len(rows):
                rows, problem = rows[lost], problem.select(lost)
                region = problem.region
            if not len(rows):
                break
        return best.point


def _nearest_first(grid: Tensor, origin: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(B, M): the M points of the grid, by how far they are from the origin, in widths of the region."""
    middle = ((origin - low) / (high - low)).flatten(1).nan_to_num(nan=0.5)
    return (grid - middle[:, None]).abs().amax(2).argsort(dim=1, stable=True)


_MOST_DIMENSIONS = 6
