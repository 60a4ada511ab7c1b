"""The laws of a threat and its regions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..core.problem import Region, Threat
from ..core.streams import Streams
from .findings import Broken, Finding, run_checks
from .victims import inputs

Check = Callable[[Threat], None]
CHECKS: dict[str, Check] = {}
_SHAPE, _LOWER, _UPPER = (3, 4), 0.0, 1.0


def check_region(threat: Threat) -> list[Finding]:
    """Try the threat's regions, around inputs (7, 3, 4) in [0, 1], against every law of CHECKS.

    >>> all(finding.passed for finding in check_region(brittle.linf(0.1)))
    True
    """
    return run_checks(CHECKS, threat, threat.name)


def _law(sentence: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS[sentence] = check
        return check

    return add


@_law("is a value: hashable, equal to itself at its own eps")
def _value(threat: Threat) -> None:
    _need(hash(threat) == hash(threat.with_eps(threat.eps)), "with_eps(eps) at the same eps hashes differently")
    _need(threat == threat.with_eps(threat.eps), "with_eps(eps) at the same eps is another value")


@_law("contains the clean input, at size 0")
def _clean(threat: Threat) -> None:
    for region in _regions(threat):
        _need(bool(region.contains(region.x).all()), "the clean input is not allowed")
        _need(bool((region.size(region.x) == 0).all()), "the clean input has a size above 0")


@_law("refuses NaN and what is outside the box")
def _refuses(threat: Threat) -> None:
    for region in _regions(threat):
        for bad in (float("nan"), float("inf"), _UPPER + 1e-3, _LOWER - 1e-3):
            point = region.x.clone()
            point[:, 0, 0] = bad
            _need(not bool(region.contains(point).any()), f"a point with the value {bad} is allowed")


@_law("starts inside")
def _random(threat: Threat) -> None:
    for region in _regions(threat):
        for draw in (region.random, region.gaussian):
            point = draw(_streams(7))
            _need(bool(region.contains(point).all()), "a random point is outside")
            _need(
                point.dtype == region.x.dtype and point.shape == region.x.shape,
                "a random point has another dtype or shape",
            )


@_law("projects inside, and leaves alone what is inside")
def _project(threat: Threat) -> None:
    for region in _regions(threat):
        for scale in (0.01, 1.0, 100.0):
            far = region.x + scale * (inputs(_SHAPE, seed=5) - 0.1).to(region.x.dtype)
            inside = region.project(far)
            _need(bool(region.contains(inside).all()), f"a point {scale:g} away is projected to one outside")
            gap = float((region.project(inside) - inside).abs().max())
            slack = 100 * torch.finfo(region.x.dtype).eps * max(1.0, threat.eps)
            _need(gap <= slack, f"projecting twice moves the point by {gap:.3g}")
        _need(torch.equal(region.project(region.x), region.x), "projecting the clean input moves it")


@_law("ascends: a step and a projection do not lower a linear function")
def _ascend(threat: Threat) -> None:
    for region in _regions(threat):
        grad = inputs(_SHAPE, seed=6).to(region.x.dtype)
        point = region.project(region.ascend(region.x, grad, region.radius))
        rise = ((point - region.x) * grad).flatten(1).sum(1)
        _need(bool((rise >= 0).all()), "the function falls")
        _need(threat.eps == 0 or bool((rise > 0).any()), "the function does not rise for any sample")
        _need(bool(region.contains(point).all()), "the point is outside")


@_law("draws for a sample the same whoever is in the batch")
def _independent(threat: Threat) -> None:
    rows = torch.tensor([5, 0, 3])
    for region in _regions(threat):
        for name in ("random", "gaussian"):
            whole = getattr(region, name)(_streams(7))[rows]
            chosen = region.select(rows)
            part = getattr(chosen, name)(_streams(7).select(rows))
            gap = float((part - whole).abs().max())
            _need(gap <= 8 * torch.finfo(region.x.dtype).eps, f"{name} differs by {gap:.3g} in a part of the batch")
            _need(bool(chosen.contains(part).all()), f"{name} of a part of the batch is outside")


@_law("is only the clean input where eps is 0")
def _no_room(threat: Threat) -> None:
    if threat.with_eps(0.0).eps == 0:
        for region in _regions(threat.with_eps(0.0)):
            _need(torch.equal(region.random(_streams(7)), region.x), "a random point is not the clean input")
            _need(torch.equal(region.project(1 - region.x), region.x), "a projection is not the clean input")


@_law("works on an empty batch")
def _empty(threat: Threat) -> None:
    region = threat.around(torch.zeros(0, *_SHAPE), _LOWER, _UPPER)
    for value in (
        region.random(_streams(0)),
        region.project(region.x),
        region.ascend(region.x, region.x, region.radius),
    ):
        _need(value.shape == (0, *_SHAPE), "an empty batch comes back with another shape")
    _need(region.contains(region.x).shape == (0,) and region.size(region.x).shape == (0,), "an empty batch has a size")


def _regions(threat: Threat) -> list[Region]:
    x: Tensor = inputs(_SHAPE, bounds=(_LOWER, _UPPER))
    x[0], x[1] = _LOWER, _UPPER  # in a corner of the box
    return [threat.around(x.to(dtype), _LOWER, _UPPER) for dtype in (torch.float32, torch.float64)]


def _streams(count: int) -> Streams:
    return Streams.seeded(11, torch.arange(count))


def _need(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)
