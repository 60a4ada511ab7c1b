"""Robust accuracy by true class: a mean over all of them hides the class that always falls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cube import Cube
from .shares import Share, share


@dataclass(frozen=True)
class ClassShares:
    """Of the samples of one true class that were measured throughout: those right untouched, and those that withstand everything tried."""

    label: int
    clean: Share
    robust: Share


def by_class(cube: Cube, eps: float) -> tuple[ClassShares, ...]:
    """The classes that have samples, the least robust first; empty where there is only one, of which the headline speaks already.

    Over the samples of the worst case, so that the counts add up to the headline's. Each interval is for its class alone.
    """
    robust = cube.correct & ~cube.broken_by(cube.names, eps)
    found = []
    for label in np.unique(cube.labels[cube.whole]).tolist():
        mine = cube.whole & (cube.labels == label)
        n = int(mine.sum())
        found.append(
            ClassShares(label, share(int((cube.correct & mine).sum()), n), share(int((robust & mine).sum()), n))
        )
    return tuple(sorted(found, key=lambda one: (one.robust.value, one.label))) if len(found) > 1 else ()
