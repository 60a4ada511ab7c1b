"""The nearest point of ball and box: against slow references, and by what nearest means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

from brittle.kernels import projections, sizes
from brittle.testing import references

NORMS = ["l2", "l1", "l0"]
PROJECT = {norm: getattr(projections, norm) for norm in NORMS}
_entry = st.one_of(st.just(0.0), st.sampled_from([1.0, -1.0, 0.5]), st.floats(-20, 20, width=32))  # zeros and ties
_room = st.one_of(st.just(0.0), st.floats(0, 8, width=32))  # a zero room is a masked feature


@st.composite
def _cases(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    count = draw(st.integers(1, 7))
    delta, low, high = (
        np.array(draw(st.lists(entry, min_size=count, max_size=count))) for entry in (_entry, _room, _room)
    )
    radius = draw(st.one_of(st.just(0.0), st.floats(0.0078125, 12, width=32), st.just(1e4)))
    return delta, -low, high, radius


def _project(norm: str, delta: Any, low: Any, high: Any, radius: Any) -> Tensor:
    rows = (torch.as_tensor(value, dtype=torch.float64)[None] for value in (delta, low, high))
    return PROJECT[norm](*rows, torch.tensor([radius], dtype=torch.float64))[0]


@pytest.mark.parametrize("norm", NORMS)
@given(case=_cases())
def test_agrees_with_the_slow_reference(norm: str, case: tuple[Any, ...]) -> None:
    found, wanted = _project(norm, *case).numpy(), references.nearest(*case, norm)
    gap = np.linalg.norm(found - case[0]) - np.linalg.norm(wanted - case[0])
    assert gap <= 1e-6 * (1 + np.linalg.norm(case[0]))
    if norm != "l0":  # convex: one nearest point
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@given(case=_cases())
def test_is_feasible_and_idempotent(norm: str, case: tuple[Any, ...]) -> None:
    found = _project(norm, *case)
    assert (found >= torch.as_tensor(case[1])).all()
    assert (found <= torch.as_tensor(case[2])).all()
    assert references.size(found.numpy(), norm) <= case[3] * (1 + 1e-6)
    torch.testing.assert_close(_project(norm, found, *case[1:]), found, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_no_random_feasible_point_is_nearer(norm: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        delta, low, high = rng.normal(0, 2, 6), -rng.uniform(0, 2, 6), rng.uniform(0, 2, 6)
        found = _project(norm, delta, low, high, 2.0).numpy()
        points = rng.uniform(low, high, (400, 6)) if norm != "l0" else rng.uniform(low, high, (400, 6)) * (
            np.argsort(rng.random((400, 6)), axis=1) < 2
        )  # fmt: skip
        others = np.array([p if (s := references.size(p, norm)) <= 2 else p * 2 / s for p in points])
        others = np.concatenate([others, found + 0.9 * (others - found)] if norm != "l0" else [others])
        assert np.linalg.norm(found - delta) <= np.linalg.norm(others - delta, axis=1).min() + 1e-7


def test_l2_agrees_with_a_general_solver() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        delta, low, high = rng.normal(0, 2, 4), -rng.uniform(0, 2, 4), rng.uniform(0, 2, 4)
        sphere = {"type": "ineq", "fun": lambda d: 1.5**2 - d @ d}
        solved = optimize.minimize(
            lambda d, at: (d - at) @ (d - at), np.zeros(4), (delta,),
            bounds=list(zip(low, high, strict=True)), constraints=sphere, tol=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose(_project("l2", delta, low, high, 1.5).numpy(), solved.x, atol=2e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_many_features_in_float32(norm: str) -> None:
    torch.manual_seed(0)
    delta = torch.randn(7, 3000)
    low, high = -torch.rand(7, 3000), torch.rand(7, 3000)
    radius = torch.tensor([0.0, 1e-3, 1.0, 10.0, 25.0, 300.0, 1e6])
    found = PROJECT[norm](delta, low, high, radius)
    assert found.dtype == torch.float32
    assert (found >= low).all()
    assert (found <= high).all()
    size = getattr(sizes, norm)(found.double())
    assert (size <= radius * (1 + 1e-5)).all()
    exact = PROJECT[norm](delta.double(), low.double(), high.double(), radius.double())
    gap = (delta.double() - found).norm(dim=1) - (delta.double() - exact).norm(dim=1)
    assert (gap <= 1e-5 * delta.norm(dim=1)).all()
    whole = torch.clamp(delta, low, high)
    assert torch.equal(found[6], whole[6])  # a huge radius leaves only the box
    reached = radius.double().floor() if norm == "l0" else radius.double()
    used = reached < getattr(sizes, norm)(whole.double())
    torch.testing.assert_close(size[used], reached[used], rtol=1e-5, atol=1e-12)  # the ball is filled


def test_l0_keeps_the_better_of_two_far_points() -> None:
    far, room = 1e6, torch.tensor([[1.0, 1.0001]])
    kept = projections.l0(torch.full((1, 2), far), -room, room, torch.tensor([1.0]))
    assert kept[0, 0] == 0
    assert kept[0, 1] == room[0, 1]


@given(case=_cases())
def test_sizes_agree_with_the_reference(case: tuple[Any, ...]) -> None:
    assume(len(case[0]) > 1)
    delta = torch.as_tensor(case[0])[None]
    for norm in ("linf", *NORMS):
        assert float(getattr(sizes, norm)(delta)) == pytest.approx(references.size(case[0], norm), rel=1e-12)


def test_l2_size_survives_tiny_and_huge_entries() -> None:
    delta = torch.tensor([[3e-30, 4e-30], [3e30, 4e30]])
    torch.testing.assert_close(sizes.l2(delta), torch.tensor([5e-30, 5e30]))


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_row_does_not_wait_for_its_neighbours(norm: str) -> None:
    """To the last bit: easy rows beside hard ones, which need more rounds."""
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(200, 600, generator=generator, dtype=torch.float64)
    room = torch.rand(200, 600, generator=generator, dtype=torch.float64).pow(
        torch.linspace(0.2, 8, 200).double()[:, None]
    )
    radius = torch.linspace(0.3, 0.99, 200).double() * torch.clamp(delta, -room, room).norm(dim=1)
    kernel = PROJECT[norm]
    together = kernel(delta, -room, room, radius)
    alone = [kernel(delta[k : k + 1], -room[k : k + 1], room[k : k + 1], radius[k : k + 1]) for k in range(200)]
    assert torch.equal(together, torch.cat(alone))
