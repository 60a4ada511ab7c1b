"""When a count is more than chance explains."""

from __future__ import annotations

from scipy.stats import binomtest

LEVEL = 0.05  # of the tests on which findings rest


def more_than(share: float, found: int, count: int) -> bool:
    """Whether `found` of `count` would come with a probability below LEVEL if the true share were at most `share` (exact, one-sided).

    Of 8 samples 3 are more than 5 %, of 16 samples 3, of 32 samples 5.
    """
    return count > 0 and float(binomtest(found, count, share, alternative="greater").pvalue) < LEVEL


def oftener(better: int, worse: int) -> bool:
    """Whether, of two that were tried on the same samples, the first is better so much oftener than worse (sign test at LEVEL)."""
    return better > worse and float(binomtest(better, better + worse, 0.5, alternative="greater").pvalue) < LEVEL
