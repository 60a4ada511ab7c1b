"""The last step of a minimum-norm attack: pull a winning point towards the origin until it only just wins."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide

_BEYOND = 1e-4  # how far beyond the boundary, as a part of the size, is near enough


def shrunk(problem: Problem, point: Tensor, margin: Tensor, clean: Tensor, rounds: int) -> Tensor:
    """The winning points (B, *S), made smaller, each to where the goal's margin is zero on the way to the origin.

    The way is that of the norm: the nearest point to `point` in ever smaller balls; the root is found by the false position (Illinois).
    margin, clean (B,): the goal's margin at the point, where only rows above zero are looked at, and at the origin.
    Cost: `rounds` forwards, for samples whose point wins.
    """
    rows = (margin > 0).nonzero().squeeze(1)
    if not rounds or not len(rows):
        return point
    problem, best = problem.select(rows), point[rows]
    region: NormBall = problem.ball("the search on a segment")
    size = region.norm.size(best - region.x)
    near, far = torch.zeros_like(size), torch.ones_like(size)  # parts of the size: lost, won
    below, above = clean[rows].to(size.dtype), margin[rows].to(size.dtype)
    side = torch.zeros_like(size)  # which end moved last
    way = best.clone()
    for _ in range(rounds):
        width = far - near
        root = near + width * (below / (below - above))
        root = torch.where(root.isfinite(), root, near + width / 2) + _BEYOND * far
        share = torch.where((root > near) & (root < far), root, near + width / 2)
        middle = region.within(share * size).project(way)
        here = problem.goal.margin(problem.oracle(middle)).to(size.dtype)
        wins = here > 0
        below = torch.where(wins, torch.where(side > 0, below / 2, below), here)
        above = torch.where(wins, here, torch.where(side < 0, above / 2, above))
        near, far = torch.where(wins, near, share), torch.where(wins, share, far)
        side = torch.where(wins, 1.0, -1.0).to(size.dtype)
        best.lerp_(middle, wide(wins.to(best.dtype), best))
    point = point.clone()
    point[rows] = best
    return point
