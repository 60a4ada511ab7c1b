"""When a sample counts as fooled whose model answers at random. Needs no torch.

Such a model stands for the class that it names most often, as a smoothed classifier does (Cohen et al., ICML 2019, arXiv:1902.02918): a
point fools it where it names another class more often than the label. Whether it does can only be tested, and whoever tests many points is
lucky once. Three things keep the chance that luck alone fools a sample below ERROR, over all attacks, stages and radii of a run:

- each look at a proposed point has a level of its own, and there are at most LOOKS of them;
- a look hears fresh answers, one after another, and may stop at any of them. It bets, at odds that are fair if both classes come as often,
  that the next answer that names either names the challenger; if the point is harmless, such bets ever multiply their stake by 1 / LEVEL
  with a chance of at most LEVEL (Ville's inequality; Waudby-Smith and Ramdas, JRSS B 2024, arXiv:2010.09686);
- the untouched input sets the bar: where it is not clear of the boundary, the challenger must be named more often than it may be untouched.

`rivals` is among how many classes the challenger was found, after the fact; each of them gets an equal part of a level.
"""

from __future__ import annotations

import math
from functools import lru_cache

from scipy.special import betaincc, betaincinv, betaln

ERROR = 0.01  # chance that luck alone fools a sample, whatever is tried on it
LOOKS = 500  # points proposed for a sample, at most
LEVEL = ERROR / 2 / LOOKS  # of one look; the other half of ERROR is that of the bar
GIVING_UP = 0.01  # chance that a look leaves too early a point that is worth it
STAGES = (32, 128, 512)  # answers about an untouched input, until it is clear
MOST = STAGES[-1]  # answers about any point


def luck(looks: int) -> float:
    """The chance, at most, that luck alone fools a sample in so many looks."""
    return ERROR / 2 + looks * LEVEL


@lru_cache(maxsize=1 << 16)  # most looks go the same few ways
def fooled(won: int, held: int, bar: float, rivals: int = 1) -> bool | None:
    """After `won` answers for the challenger and `held` against it: whether its share of them exceeds `bar`; None while that is open."""
    if bar >= 1 or _evidence(held, won, 1 - bar) >= -math.log(GIVING_UP):
        return False
    return True if _evidence(won, held, bar) >= math.log(rivals / LEVEL) else None


def bar_of(won: int, held: int, rivals: int = 1) -> float:
    """What a look must exceed, where the challenger had `won` of the answers about the untouched input, and `held` were for the label."""
    return max(0.5, _highest(won, held, rivals))


def clear(won: int, held: int, rivals: int = 1) -> bool:
    """Whether answers about the untouched input leave no doubt which of the two classes is named more often."""
    return min(_highest(won, held, rivals), _highest(held, won, rivals)) <= 0.5


def _evidence(won: int, held: int, bar: float) -> float:
    """Logarithm of what a stake of 1 has become that was bet on a share above `bar`, spread evenly over all of these."""
    tail = float(betaincc(won + 1, held + 1, bar))
    if tail == 0:
        return -math.inf
    likely = float(betaln(won + 1, held + 1)) + math.log(tail) - math.log1p(-bar)
    return likely - won * math.log(bar) - held * math.log1p(-bar)


def _highest(won: int, held: int, rivals: int) -> float:
    """The largest share that the answers speak for (Clopper and Pearson), right for all rivals in all STAGES but for half of ERROR."""
    return 1.0 if held == 0 else float(betaincinv(won + 1, held, 1 - ERROR / 2 / len(STAGES) / rivals))
