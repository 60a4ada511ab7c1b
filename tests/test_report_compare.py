"""Pairs of shares against SciPy, closed forms and the likelihood itself."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import beta, binomtest, norm

from brittle.errors import InputError
from brittle.report.compare import difference_interval, mcnemar, paired
from brittle.report.shares import clopper_pearson, samples_needed


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 0), (3, 9), (9, 3), (7, 7), (40, 61), (0, 200)])
def test_mcnemar_is_the_binomial_test_of_the_discordant(first: int, second: int) -> None:
    wanted = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(wanted, rel=1e-9)


def test_mcnemar_of_one_side_alone_is_two_coins() -> None:
    assert mcnemar(6, 0) == mcnemar(0, 6) == pytest.approx(2 * 0.5**6)


def test_paired_counts_the_four_kinds() -> None:
    one, other = [1, 1, 1, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1, 0, 1]
    seen = paired(one, other)
    assert (seen.n, seen.both, seen.first, seen.second) == (8, 3, 3, 1)
    assert seen.difference == pytest.approx(np.mean(one) - np.mean(other))
    assert seen.low < seen.difference < seen.high
    assert seen.p == pytest.approx(binomtest(1, 4, 0.5).pvalue)
    turned = paired(other, one)
    assert (turned.low, turned.high) == pytest.approx((-seen.high, -seen.low))
    assert math.isnan(paired([], []).difference)
    with pytest.raises(InputError, match="same samples"):
        paired([1, 0], [1])


def _score(first: int, second: int, n: int, difference: float) -> float:
    """(seen - difference) in standard errors under the likeliest probabilities with this difference, found by search."""

    def loss(
        share: float,
    ) -> float:  # share: of `second`; `first` has share + difference, the rest 1 - 2 share - difference
        parts = ((first, share + difference), (second, share), (n - first - second, 1 - 2 * share - difference))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    share = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * share + difference - difference**2) / n
    return ((first - second) / n - difference) / math.sqrt(variance)


@pytest.mark.parametrize(("first", "second", "n"), [(12, 2, 50), (3, 3, 20), (1, 0, 1000), (30, 55, 400), (5, 0, 10)])
def test_the_ends_of_the_interval_are_where_the_score_test_rejects(first: int, second: int, n: int) -> None:
    low, high = difference_interval(first, second, n)
    z = norm.ppf(0.975)
    assert _score(first, second, n, low) == pytest.approx(z, abs=1e-3)
    assert _score(first, second, n, high) == pytest.approx(-z, abs=1e-3)


def test_without_discordant_samples_the_interval_is_that_of_wilson() -> None:
    """Tango's interval of nothing in n: z^2 / (n + z^2) to both sides."""
    z = norm.ppf(0.975)
    for n in (1, 10, 1000):
        end = z * z / (n + z * z)
        assert difference_interval(0, 0, n) == pytest.approx((-end, end), abs=1e-9)
    assert difference_interval(0, 0, 0) == (-1.0, 1.0)
    assert difference_interval(5, 0, 5)[1] == 1.0


def test_the_interval_covers_the_truth() -> None:
    rng, hits, rounds = np.random.default_rng(0), 0, 2000
    for first, second, _ in rng.multinomial(200, [0.06, 0.02, 0.92], size=rounds).tolist():
        low, high = difference_interval(first, second, 200)
        hits += low <= 0.04 <= high
    assert 0.93 < hits / rounds < 0.975


def _wide(count: int, n: int) -> float:
    low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(high - low)


@pytest.mark.parametrize("share", [0.0, 0.013, 0.3, 0.5, 0.72, 0.97, 1.0])
@pytest.mark.parametrize("width", [0.6, 0.2, 0.1, 0.04])
def test_samples_needed_is_the_first_that_suffices(share: float, width: float) -> None:
    n = samples_needed(share, width)
    assert _wide(round(share * n), n) <= width
    assert all(_wide(round(share * fewer), fewer) > width for fewer in range(1, n))


def test_samples_needed_for_no_error_has_a_closed_form() -> None:
    """Nothing in n: the interval is [0, 1 - 0.025^(1/n)]."""
    for width in (0.1, 0.01, 0.001):
        assert samples_needed(0.0, width) == math.ceil(math.log(0.025) / math.log(1 - width))


def test_samples_needed_falls_with_the_width_and_refuses_nonsense() -> None:
    needed = [samples_needed(0.4, width) for width in (0.3, 0.1, 0.03, 0.01)]
    assert all(a < b for a, b in pairwise(needed))
    low, high = clopper_pearson(round(0.4 * needed[-1]), needed[-1])
    assert high - low <= 0.01
    for share, width in ((-0.1, 0.1), (1.1, 0.1), (0.5, 0.0), (0.5, 1.0)):
        with pytest.raises(InputError, match="give a number"):
            samples_needed(share, width)
