"""The decision boundary as a plane: where the goal's margin would reach zero if the victim were linear."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...core.goal import Classify, pick, without
from ...core.losses import find_slope, steered_margin
from ...core.norms import Norm
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide


def nearest_plane(
    problem: Problem, point: Tensor, norm: Norm, classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (B, C) at the point, and of the nearest linearised boundary its value (B,), positive where crossed, and its normal (B, *S).

    The victim's boundary towards a class is linearised as value + <normal, delta> = 0, and |value| / size(normal) is its distance, the size
    in the dual norm. Untargeted, the nearest of the `classes` likeliest other classes is taken (None: of all); where the goal
    names a class or a confidence there is one boundary, that of its margin. A NaN in a normal counts as zero.
    Cost: 1 forward and 1 backward for each boundary looked at, one after the other, so memory does not grow with the classes.
    """
    dual = norm.dual
    assert dual is not None
    with torch.enable_grad():
        asked = point.detach().requires_grad_()
        outputs = problem.oracle(asked)
    seen = outputs.detach()
    value = normal = distance = None
    boundaries = list(_boundaries(seen, problem.classes, classes))
    for place, (here, slope) in enumerate(boundaries, start=1):
        (grad,) = torch.autograd.grad(outputs, asked, slope, retain_graph=place < len(boundaries))
        grad = torch.nan_to_num(grad, nan=0.0)
        if len(boundaries) == 1:
            return seen, here, grad
        far = here.abs() / dual(grad).clamp_min_(torch.finfo(grad.dtype).tiny)
        if value is None or normal is None or distance is None:
            value, normal, distance = here, grad, far
            continue
        nearer = far < distance
        value, distance = torch.where(nearer, here, value), torch.minimum(far, distance)
        normal.lerp_(grad, wide(nearer.to(grad.dtype), grad))
    assert value is not None
    assert normal is not None
    return seen, value, normal


def move_onto(region: NormBall, point: Tensor, normal: Tensor, gap: Tensor) -> Tensor:
    """The smallest move (B, *S) from the point with <normal, move> = gap (B,) that stays in the box, or comes as near as it can."""
    plane = region.norm.plane
    assert plane is not None
    low, high = (region.lower - point).flatten(1), (region.upper - point).flatten(1)
    return plane(normal.flatten(1), gap, low, high).view_as(point)


def crossing(
    region: NormBall, point: Tensor, outputs: Tensor, value: Tensor, normal: Tensor, overshoot: float
) -> Tensor:
    """DeepFool's next point (B, *S): beyond the plane by `overshoot` of the way, and no less than rounding needs; kept inside the box.

    In L2 and Linf the step is taken as if there were no box, and clipped; in L1, where it lies in few features, it is taken by those that
    have room. Aiming at the plane inside the box instead goes far astray where the gradient is a bad guide.
    """
    dual = region.norm.dual
    assert dual is not None
    # the authors' code adds 1e-4, whatever the outputs are
    gap = (outputs.abs().amax(1).mul_(1e-6) - value).clamp_min_(0)
    step = gap.mul_(1 + overshoot).div_(dual(normal).clamp_min_(torch.finfo(normal.dtype).tiny))
    step = step.clamp_max_(region.norm.rounding(normal[0].numel()) * (region.upper - region.lower).amax())
    there = region.ascend(point, normal, step)
    return torch.clamp(there, region.lower, region.upper, out=there)


def inner(one: Tensor, other: Tensor) -> Tensor:
    """<one, other> (B,)."""
    return (one * other).flatten(1).sum(1)


def _boundaries(seen: Tensor, goal: Classify, classes: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """(value (B,), d value / d outputs (B, C)) of each boundary to look at."""
    others = seen.shape[1] - 1
    count = others if classes is None else min(classes, others)
    if goal.confidence is not None:
        with torch.enable_grad():
            asked = seen.clone().requires_grad_()
            margin = goal.margin(asked)
            (slope,) = torch.autograd.grad(margin.sum(), asked)
        yield margin.detach(), slope
    elif goal.aim is not None or count == 1:
        yield steered_margin(seen, goal), find_slope("margin")(seen, goal)
    else:
        rivals = without(seen, goal.labels).topk(count, dim=1).indices
        own = pick(seen, goal.labels)
        for rival in rivals.unbind(1):
            slope = torch.zeros_like(seen).scatter_(1, rival[:, None], 1).scatter_(1, goal.labels[:, None], -1)
            yield pick(seen, rival) - own, slope
