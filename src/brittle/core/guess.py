"""Where a minimum-norm attack begins: beyond the nearest linearised boundary, at random."""

from __future__ import annotations

import torch
from torch import Tensor

from .linearise import nearest_plane
from .norms import NORMS
from .problem import NormBall, Problem


def guess(problem: Problem, region: NormBall, candidates: int, noise: float) -> Tensor:
    """A point (B, *S) on the nearest linearised boundary, moved by up to `noise` times its distance in a random direction.

    From x itself a descent follows the class that is ahead, not the one that is nearest, and the few units of the network that are active
    at x: on images whose background is zero many are not, and the descent ends at twice the size. Both are mended by where it begins.
    In L0 there is no noise.
    Cost: 1 forward and `candidates` backwards.
    """
    norm, x = region.norm, region.x
    straight = (
        norm if norm.dual is not None else NORMS["l1"]
    )  # a boundary has no distance in L0; features move by the whole range there
    assert straight.dual is not None
    _, value, normal = nearest_plane(problem, x, straight, candidates)
    distance = value.abs() / straight.dual(normal).clamp_min_(torch.finfo(x.dtype).tiny)
    if straight is not norm:
        distance /= (region.upper - region.lower).amax()
    distance = torch.minimum(distance, norm.size(torch.maximum(x - region.lower, region.upper - x)))
    point = region.ascend(x, normal, distance)
    if noise and straight is norm:
        point += region.within(distance * noise).random(problem.streams).sub_(x)
    return torch.clamp(point, region.lower, region.upper, out=point)
