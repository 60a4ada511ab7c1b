"""The steepest step: no move of the same length raises a linear function more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brittle.kernels import ascent, sizes
from brittle.testing import references

NORMS = ["linf", "l2", "l1", "l0"]


@pytest.mark.parametrize("norm", NORMS)
@given(seed=st.integers(0, 10_000), step=st.sampled_from([0.25, 1.0, 2.0, 3.5]), count=st.integers(1, 6))
def test_rises_as_much_as_the_reference(norm: str, seed: int, step: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    point, grad = rng.uniform(-1, 1, count), rng.normal(size=count).round(1)  # rounded: ties and zeros
    low, high = np.where(rng.random(count) < 0.3, point, -1.0), np.where(rng.random(count) < 0.3, point, 1.0)
    rows = (torch.tensor(value)[None] for value in (point, grad))
    limits = (torch.tensor(value)[None] for value in (low, high))
    moved = getattr(ascent, norm)(*rows, torch.tensor([step], dtype=torch.float64), *limits)[0].numpy()
    rise = float((moved - point) @ grad)
    assert rise == pytest.approx(references.steepest(point, grad, step, low, high, norm), rel=1e-6, abs=1e-9)
    assert references.size(moved - point, norm) <= (np.ceil(step) if norm == "l0" else step * (1 + 1e-9))
    if norm in ("l1", "l0"):
        assert (moved >= low - 1e-12).all()
        assert (moved <= high + 1e-12).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_gradient_moves_nothing(norm: str) -> None:
    point = torch.rand(7, 2, 5)
    low, high = torch.zeros(1, 2, 5), torch.ones(1, 2, 5)
    assert torch.equal(getattr(ascent, norm)(point, torch.zeros_like(point), torch.ones(7), low, high), point)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e35])
def test_the_l2_step_is_full_whatever_the_gradient_s_scale(scale: float) -> None:
    point = torch.zeros(7, 3, 4)
    grad = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0)) * scale
    moved = ascent.l2(point, grad, torch.full((7,), 0.5), torch.tensor(-1.0), torch.tensor(1.0))
    torch.testing.assert_close(sizes.l2(moved), torch.full((7,), 0.5))


def test_the_l1_step_passes_over_features_at_their_limit() -> None:
    point, grad = torch.tensor([[1.0, 0.75, 0.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    moved = ascent.l1(point, grad, torch.tensor([0.5]), torch.zeros(1, 3), torch.ones(1, 3))
    torch.testing.assert_close(moved, torch.tensor([[1.0, 1.0, 0.25]]))


def test_the_l1_step_is_exact_over_many_features_in_float32() -> None:
    torch.manual_seed(0)
    point, grad = torch.rand(7, 3000), torch.randn(7, 3000)
    moved = ascent.l1(point, grad, torch.full((7,), 500.0), torch.zeros(1, 3000), torch.ones(1, 3000))
    torch.testing.assert_close(sizes.l1((moved - point).double()), torch.full((7,), 500.0).double(), rtol=1e-6, atol=0)
