"""What a region lets pass is the rounding of the values at hand: whatever the bounds, wherever the values lie."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import brittle
from brittle.core.streams import Streams
from brittle.threats import THREATS

SHAPE, COUNT = (3, 4), 7
UNITS = 4  # in the last place of x or x_adv, whichever is larger
MASK = torch.arange(12).view(3, 4) % 3 != 0
WIDE = [(-width, width) for width in (1e-3, 1.0, 255.0, 99999.0, 1.5e6, 1e9, math.inf)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def _numbers(seed: int, size: float, centre: float, dtype: torch.dtype) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return (centre + size * (2 * torch.rand(COUNT, *SHAPE, generator=random, dtype=torch.float64) - 1)).to(dtype)


def _excess(norm: str, x: Tensor, point: Tensor) -> Tensor:
    """The stated rounding of the size (B,): the norm of every feature's own; nothing where it did not change, nor in a count."""
    unit = UNITS * torch.finfo(x.dtype).eps * torch.maximum(x.double().abs(), point.double().abs())
    unit = torch.where(point == x, 0, unit).flatten(1)
    if norm == "l0":
        return unit.new_zeros(len(unit))
    return {"linf": unit.amax(1), "l2": unit.norm(dim=1), "l1": unit.sum(1)}[norm]


def _size(norm: str, x: Tensor, point: Tensor) -> Tensor:
    delta = (point.double() - x.double()).flatten(1)
    if norm == "l0":
        return (delta != 0).sum(1).double()
    return {"linf": delta.abs().amax(1), "l2": delta.norm(dim=1), "l1": delta.abs().sum(1)}[norm]


cases = given(
    seed=st.integers(0, 10**6),
    bounds=st.sampled_from(WIDE),
    dtype=st.sampled_from(DTYPES),
    eps=st.floats(1e-6, 1.0),
    scale=st.sampled_from([1e-4, 1e-2, 1.0]),  # of the values, as a share of what the bounds allow up to 1e6
    centre=st.sampled_from([0.0, 0.5, 0.99]),
    masked=st.booleans(),
)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@cases
def test_a_region_contains_what_it_makes_and_nothing_beyond_the_rounding(
    norm: str,
    seed: int,
    bounds: tuple[float, float],
    dtype: torch.dtype,
    eps: float,
    scale: float,
    centre: float,
    masked: bool,
) -> None:
    reach = min(bounds[1], 1e6)
    x = _numbers(seed, reach * scale * 0.01, reach * centre * scale, dtype).clamp(*bounds)
    size = {"linf": 1.0, "l2": 12**0.5, "l1": 12.0}.get(norm, 12.0) * (1.0 if norm == "l0" else min(reach, 1.0))
    mask = MASK if masked else None
    region = THREATS[norm](float(round(size * eps)) if norm == "l0" else size * eps, mask).around(x, *bounds)
    seen = region.searched()
    streams, grad = Streams.seeded(seed, torch.arange(COUNT)), _numbers(seed + 1, 1.0, 0.0, dtype)
    far = _numbers(seed + 2, 3 * reach, 0.0, dtype)
    made = [seen.project(far), seen.project(seen.ascend(x, grad, seen.radius)), seen.project(x + (far - x) * 1e-3)]
    made += [seen.step_(x.clone(), grad.clone(), seen.radius), seen.random(streams), seen.gaussian(streams)]
    for point in made:
        assert torch.isfinite(point).all()
        assert region.contains(point).all()
        for factor in (1.0, 1.0 + 1e-4, 1.01, 2.0):
            there = (x + (point - x) * factor).clamp(*bounds)
            outside = _size(norm, x, there) > region.radius.double() + _excess(norm, x, there) * (1 + 1e-9)
            assert not (region.contains(there) & outside).any()


def test_the_rounding_is_tiny_where_values_are_of_order_one() -> None:
    """In [0, 1] and float32 a feature of 0.5 may lie beyond eps by 4 * 2^-23 * 0.53: 2.5e-7, 8e-6 of 8/255."""
    x = torch.full((1, 3, 4), 0.5)
    region = brittle.linf(8 / 255).around(x, 0.0, 1.0)
    assert region.contains(x + 8 / 255 + 2e-7).all()
    assert not region.contains(x + 8 / 255 + 4e-7).any()


@pytest.mark.parametrize("bounds", [(0.0, 99999.0), (0.0, 1.5e6), (-math.inf, math.inf)])
@pytest.mark.parametrize("threat", [brittle.linf(0.02), brittle.l2(0.02), brittle.l1(0.02)], ids=lambda t: t.name)
def test_wide_bounds_widen_no_ball(threat: Any, bounds: tuple[float, float]) -> None:
    x = torch.rand(5, 20, generator=torch.Generator().manual_seed(0))
    region = threat.around(x, *bounds)
    grad = torch.randn(5, 20, generator=torch.Generator().manual_seed(1))
    edge = region.project(region.ascend(x, grad, region.radius))
    assert region.contains(edge).all()
    assert not region.contains(x + (edge - x) * 1.01).any()


def test_a_union_allows_no_more_than_its_balls() -> None:
    x = torch.rand(5, 20, generator=torch.Generator().manual_seed(0))
    both = brittle.union(brittle.linf(0.02), brittle.l2(0.05)).around(x, 0.0, 99999.0)
    assert both.contains(x + 0.02).all()
    assert not both.contains(x + 0.0201).any()
