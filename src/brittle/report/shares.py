"""A share of a sample with its exact binomial interval."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import beta

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with the Clopper-Pearson interval [low, high] at 95 %; `n` = 0 knows nothing: [0, 1]."""

    count: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """In [0, 1]; NaN where nothing was measured."""
        return self.count / self.n if self.n else float("nan")


@dataclass(frozen=True)
class Bracketed:
    """A share over the samples that were measured, and what it would be if all errors were robust, or all broken."""

    robust: Share
    errors: int = 0
    if_errors_robust: float = float("nan")
    if_errors_broken: float = float("nan")


def share(count: int, n: int) -> Share:
    """A share with its interval, see `clopper_pearson`."""
    return Share(int(count), int(n), *clopper_pearson(int(count), int(n)))


def clopper_pearson(count: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a binomial share: it covers the truth in at least `confidence` of all samples.

    Clopper and Pearson, 1934: the beta quantiles at (1 - confidence) / 2 on either side.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return low, high
