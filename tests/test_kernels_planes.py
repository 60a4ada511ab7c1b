"""The smallest move onto a hyperplane inside a box, against slow references."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brittle.kernels import planes, sizes

MOVES = {"linf": (planes.linf, sizes.linf), "l2": (planes.l2, sizes.l2), "l1": (planes.l1, sizes.l1)}


def _problem(seed: int, features: int, share: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """w, gap, low, high of five rows: the gap is a share of what the box can reach; one w is zero, one row has no room."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(5, features, dtype=torch.float64, generator=generator)
    low = -torch.rand(5, features, dtype=torch.float64, generator=generator)
    high = torch.rand(5, features, dtype=torch.float64, generator=generator)
    reach = torch.where(w > 0, w * high, w * low).sum(1)
    w[3] = 0
    low[4], high[4] = 0, 0
    return w, share * reach, low, high


def _bisected(name: str, w: Tensor, gap: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The least size at which the box cut by the norm's ball reaches the plane, by bisection on the size."""
    room, slope = torch.where(w > 0, high, -low), w.abs()

    def reach(size: Tensor) -> Tensor:
        if name == "linf":
            return (slope * torch.minimum(room, size[:, None])).sum(1)
        if name == "l1":
            order = slope.argsort(1, descending=True)
            space = room.gather(1, order)
            before = space.cumsum(1) - space
            return (slope.gather(1, order) * torch.minimum(space, (size[:, None] - before).clamp_min(0))).sum(1)
        t = torch.zeros(len(w), dtype=w.dtype)
        upper = torch.full_like(t, 1e9)
        for _ in range(90):
            middle = (t + upper) / 2
            short = torch.minimum(middle[:, None] * slope, room).norm(dim=1) < size
            t, upper = torch.where(short, middle, t), torch.where(short, upper, middle)
        return (slope * torch.minimum(t[:, None] * slope, room)).sum(1)

    least, most = torch.zeros(len(w), dtype=w.dtype), torch.full((len(w),), float(w.shape[1]), dtype=w.dtype)
    for _ in range(60):
        middle = (least + most) / 2
        short = reach(middle) < gap
        least, most = torch.where(short, middle, least), torch.where(short, most, middle)
    return most


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), features=st.sampled_from([1, 2, 7, 300]), share=st.floats(0.01, 0.95))
def test_it_reaches_the_plane_with_the_least_move(name: str, seed: int, features: int, share: float) -> None:
    move, measure = MOVES[name]
    w, gap, low, high = _problem(seed, features, share)
    delta = move(w, gap, low, high)
    assert ((delta >= low) & (delta <= high)).all()
    assert torch.allclose((w * delta)[:3].sum(1), gap[:3], rtol=1e-6)
    assert torch.allclose(measure(delta)[:3], _bisected(name, w, gap, low, high)[:3], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", MOVES)
def test_out_of_reach_it_goes_as_far_as_the_box_allows(name: str) -> None:
    w, gap, low, high = _problem(0, 6, 2.0)
    delta = MOVES[name][0](w, gap, low, high)
    furthest = torch.where(w > 0, high, low)
    assert torch.allclose(delta[:3], furthest[:3])
    assert not delta[3:].any()  # no slope, and no room


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_without_slope_beside_others_is_no_nan(name: str, dtype: torch.dtype) -> None:
    """Seen in the wild: the division by no slope at all spoilt the row where the rows beside it took more than one round."""
    w, gap, low, high = (value.to(dtype) for value in _problem(3, 50, 0.9))
    gap[3] = 5.0
    delta = MOVES[name][0](w, gap, low, high)
    assert torch.isfinite(delta).all()
    assert not delta[3].any()


@pytest.mark.parametrize("name", MOVES)
def test_the_other_side_is_the_mirror_image(name: str) -> None:
    w, gap, low, high = _problem(1, 9, 0.5)
    there, back = MOVES[name][0](w, gap, low, high), MOVES[name][0](w, -gap, -high, -low)
    assert torch.allclose(there, -back)
