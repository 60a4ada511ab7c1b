"""Two shares on the same samples: two models or two attacks, compared sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, norm

from ..errors import InputError
from .shares import CONFIDENCE


@dataclass(frozen=True)
class Paired:
    """`n` samples of which `both` hold under the one and the other, `first` under the first alone, `second` under the second alone.

    p: McNemar's exact two-sided p-value that the two shares are the same. low, high: 95 % interval of `difference`.
    """

    n: int
    both: int
    first: int
    second: int
    p: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """The first share minus the second, in [-1, 1]; NaN where nothing was measured."""
        return (self.first - self.second) / self.n if self.n else float("nan")


def paired(first: ArrayLike, second: ArrayLike) -> Paired:
    """Compare what holds of N samples, bool (N,), under two models or attacks. InputError where the lengths differ."""
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"shapes {one.shape} and {other.shape} are not pairs; give two vectors over the same samples")
    only, rest = int((one & ~other).sum()), int((other & ~one).sum())
    return Paired(
        len(one), int((one & other).sum()), only, rest, mcnemar(only, rest), *difference_interval(only, rest, len(one))
    )


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p-value of so many samples that hold under the first alone and under the second alone, in (0, 1].

    McNemar, 1947, Psychometrika 12: were the shares the same, each discordant sample would fall on either side as a fair coin does.
    """
    return min(1.0, 2.0 * float(binom.cdf(min(first, second), first + second, 0.5)))


def difference_interval(first: int, second: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of (first - second) / n in [-1, 1]: the differences that a two-sided test at 1 - confidence does not reject.

    Tango, 1998, Statistics in Medicine 17, equations 8 to 10. It holds its confidence also for few discordant samples, and is wider than
    nothing where there are none.
    """
    if not n:
        return -1.0, 1.0
    z, seen = float(norm.ppf((1 + confidence) / 2)), (first - second) / n

    def rejected(difference: float) -> bool:
        a, c = 2 * n, -second * difference * (1 - difference)
        b = -first - second + (2 * n - first + second) * difference
        likeliest = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (
            2 * a
        )  # share of `second`, were this the difference
        variance = n * (2 * likeliest + difference * (1 - difference))
        return abs(first - second - n * difference) > z * math.sqrt(max(variance, 0.0))

    def end(outside: float) -> float:
        inside = seen
        for _ in range(60 if rejected(outside) else 0):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
        return outside

    return end(-1.0), end(1.0)
