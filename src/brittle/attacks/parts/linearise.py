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

_LEAST = 0.25  # of a step that the box must leave


def nearest_plane(
    problem: Problem, point: Tensor, norm: Norm, classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (B, C) at the point, and of the nearest linearised boundary its value (B,), positive where crossed, and its normal (B, *S).

    The victim's boundary towards a class is linearised as value + <normal, delta> = 0, and |value| / size(normal) is its distance, the size
    in the dual norm. Untargeted, the nearest of the `classes` likeliest other classes is taken (None: of all); where the goal
    names a class or a confidence there is one boundary, that of its margin. A NaN in a normal counts as zero, and so do the features that
    the mask forbids, over which no boundary is nearer.
    Cost: 1 forward and 1 backward for each boundary looked at, one after the other, so memory does not grow with the classes.
    """
    dual, free = norm.dual, problem.ball("a linearised boundary").free
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
        grad = grad if free is None else grad.mul_(free)
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

    The step is taken as if there were no box, and clipped; aiming at the plane inside the box at once trusts the linearisation further, and
    ends 5 to 10 % farther from x on plainly trained networks. Where clipping takes away more than the overshoot adds, see `_clipped`.
    """
    dual = region.norm.dual
    assert dual is not None
    # the authors' code adds 1e-4, whatever the outputs are
    gap = (outputs.abs().amax(1).mul_(1e-6) - value).clamp_min_(0)
    step = gap.mul(1 + overshoot).div_(dual(normal).clamp_min_(torch.finfo(normal.dtype).tiny))
    step = step.clamp_max_(region.norm.rounding(normal[0].numel()) * (region.upper - region.lower).amax())
    there = region.ascend(point, normal, step)
    torch.clamp(there, region.lower, region.upper, out=there)
    short = (inner(normal, there - point) < gap).nonzero().squeeze(1)
    if len(short):
        there[short] = _clipped(region.select(short), point[short], normal[short], step[short], overshoot)
    return there


def _clipped(region: NormBall, point: Tensor, normal: Tensor, step: Tensor, overshoot: float) -> Tensor:
    """The next points (B, *S) where clipping leaves less of a step of that length (B,) than it takes to the plane.

    Steps that overshoot by a part of themselves come nearer and nearer to it and never cross it, so these overshoot by a part of the way
    from x so far; on a linear victim several end near the nearest point that the box has. Where clipping leaves less than `_LEAST` of the
    step, the smallest move inside the box that makes so much of it is taken if it makes more; no longer than the way from x so far, because
    where the gradient is so bad a guide it should be asked again soon.
    """
    norm = region.norm
    dual = norm.dual
    assert dual is not None
    so_far = norm.size(point - region.x)
    step = step + overshoot * so_far
    there = region.ascend(point, normal, step)
    torch.clamp(there, region.lower, region.upper, out=there)
    wanted, made = _LEAST * step * dual(normal), inner(normal, there - point)
    if bool((made >= wanted).all()):
        return there
    move = move_onto(region, point, normal, wanted)
    most = torch.where(so_far > 0, so_far, step)
    move.mul_(wide((most / norm.size(move).clamp_min_(1e-30)).clamp_max_(1), move))
    further = (made < wanted) & (inner(normal, move) > made)
    return torch.where(wide(further, there), torch.clamp(move.add_(point), region.lower, region.upper), there)


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
