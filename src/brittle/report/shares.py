"""A share of a sample with its exact binomial interval."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from scipy.stats import beta

from ..errors import InputError

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


def clopper_pearson(count: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a binomial share: it covers the truth in at least `confidence` of all samples.

    Clopper and Pearson, 1934: the beta quantiles at (1 - confidence) / 2 on either side.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return low, high


def samples_needed(share: float, width: float, confidence: float = CONFIDENCE) -> int:
    """The least sample of which such a share, rounded to a whole count, has a Clopper-Pearson interval no wider than `width`.

    share in [0, 1], width in (0, 1), both as parts of one: `samples_needed(0.5, 0.06)` for plus and minus three points.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share:g} is no share; give a number from 0 to 1, such as 0.5 where nothing is known")
    if not 0 < width < 1:
        raise InputError(f"width={width:g} is no width of an interval; give a number between 0 and 1, such as 0.06")

    def spread(count: float, n: int) -> float:
        low, high = clopper_pearson(count, n, confidence)
        return high - low

    def best(n: int) -> bool:  # no rounding of share * n gives a narrower interval, and this falls with n
        return spread(max(min(share, 1 - share) * n - 0.5, 0.0), n) <= width

    most = 1
    while not best(most):
        most *= 2
    n = most // 2 + 1 + bisect_left(range(most // 2 + 1, most), True, key=best)
    while spread(round(share * n), n) > width:
        n += 1
    return n
