"""Random numbers that belong to a sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brittle.core.streams import Streams
from brittle.kernels import sampling
from brittle.testing import references
from brittle.threats import l1, l2, linf


@given(seed=st.integers(0, 2**64 - 1), sample=st.integers(0, 2**40), draw=st.integers(0, 1000))
def test_agrees_with_whole_numbers_in_python(seed: int, sample: int, draw: int) -> None:
    keys = sampling.keys_for(seed, torch.tensor([sample]))
    found = sampling.uniform(keys, draw, 13, torch.float64)[0].tolist()
    assert found == references.uniform(seed, sample, draw, 13)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_is_uniform_in_the_open_interval(seed: int) -> None:
    numbers = sampling.uniform(sampling.keys_for(seed, torch.arange(40)), 2, 5000)
    assert float(numbers.min()) > 0
    assert float(numbers.max()) < 1
    assert stats.kstest(numbers.flatten().double().numpy(), "uniform").pvalue > 1e-3
    first = numbers[:, 0].double().numpy()  # across samples too, not only along one
    assert stats.kstest(first, "uniform").pvalue > 1e-3


def test_the_ends_of_the_interval_are_never_reached() -> None:
    numbers = torch.cat([sampling.uniform(sampling.keys_for(7, torch.arange(7)), d, 1_000_000) for d in range(2)])
    assert 0 < float(numbers.min()) < 1e-6
    assert 1 - 1e-6 < float(numbers.max()) < 1


def test_neighbouring_seeds_samples_draws_and_entries_are_unrelated() -> None:
    ids = torch.arange(7)
    draws = [sampling.uniform(sampling.keys_for(seed, ids), draw, 4000) for seed in (0, 1) for draw in (0, 1)]
    rows = torch.cat(draws)  # (28, 4000)
    rows = torch.cat([rows, rows.roll(1, dims=1)])
    correlations = torch.corrcoef(rows) - torch.eye(len(rows))
    assert float(correlations.abs().max()) < 5 / 4000**0.5


def test_a_sample_draws_the_same_in_any_batch_and_order() -> None:
    ids, rows = torch.arange(7) + 100, torch.tensor([5, 0, 3])
    whole, part = Streams.seeded(3, ids), Streams.seeded(3, ids[rows])
    for _ in range(3):
        assert torch.equal(whole.normal((3, 4))[rows], part.normal((3, 4)))
    selected = whole.select(rows)
    assert torch.equal(whole.uniform((2,))[rows], selected.uniform((2,)))
    assert torch.equal(whole.fork(4).uniform((2,))[rows], selected.fork(4).uniform((2,)))
    assert not torch.equal(whole.fork(4).uniform((2,)), whole.fork(5).uniform((2,)))
    assert not torch.equal(whole.uniform((2,)), whole.uniform((2,)))


def test_normal_numbers_have_the_moments_of_the_normal_law() -> None:
    numbers = sampling.normal(sampling.keys_for(1, torch.arange(50)), 0, 8000).double().flatten().numpy()
    assert abs(numbers.mean()) < 5 / len(numbers) ** 0.5
    assert numbers.std() == pytest.approx(1, abs=0.006)
    assert abs(stats.skew(numbers)) < 0.02
    assert abs(stats.kurtosis(numbers)) < 0.04
    assert stats.kstest(numbers[::10], "norm").pvalue > 1e-3


@pytest.mark.parametrize(("threat", "features"), [(linf(0.5), 12), (l2(0.5), 12), (l1(0.5), 12)])
def test_starts_are_uniform_in_the_ball(threat: object, features: int) -> None:
    x = torch.zeros(3000, 3, 4)
    region = threat.around(x, -1.0, 1.0)  # type: ignore[attr-defined]
    point = region.random(Streams.seeded(0, torch.arange(3000)))
    share = region.size(point) / 0.5  # uniform in a ball of n dimensions: size^n is uniform
    assert stats.kstest((share**features).numpy(), "uniform").pvalue > 1e-3
    assert abs(float(point.mean())) < 5 * float(point.std()) / point.numel() ** 0.5
    spread = point.flatten(1).std(0)
    assert float(spread.max() / spread.min()) < 1.15  # no direction is preferred
