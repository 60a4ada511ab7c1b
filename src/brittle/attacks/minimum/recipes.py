"""Minimum-norm attacks made of others."""

from __future__ import annotations

from ...core.problem import Attack
from ..combine.each_target import each_target
from .fab import FAB


def fabt(steps: int = 100, targets: int = 9, search: int = 3) -> Attack:
    """FAB towards each of the likeliest other classes in turn: one backward a step, whatever the number of classes.

    Croce and Hein, ICML 2020, arXiv:2003.01690, section 5.1.

    Cost: a class 1 forward and 1 backward a step, and 3 + `search` forwards.
    """
    return each_target(FAB(steps=steps, search=search), targets)
