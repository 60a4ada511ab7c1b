"""Minimum-norm attacks made of others."""

from __future__ import annotations

from ...core.problem import Attack
from ..combine.each_target import each_target
from ..combine.few_features import FewFeatures
from .carlini_wagner import CW
from .fab import FAB


def fabt(steps: int = 100, targets: int = 9, search: int = 3) -> Attack:
    """FAB towards each of the likeliest other classes in turn: one backward a step, whatever the number of classes.

    Croce and Hein, ICML 2020, arXiv:2003.01690, section 5.1.

    Cost: a class 1 forward and 1 backward a step, and 3 + `search` forwards.
    """
    return each_target(FAB(steps=steps, search=search), targets)


def cw_l0(rounds: int = 20, steps: int = 50, weights: int = 3, share: float = 0.5) -> Attack:
    """Carlini and Wagner's attack in L0: their L2 attack again and again, each time with the least useful of the features taken away.

    Carlini and Wagner, S&P 2017, arXiv:1608.04644, section VI-B. `rounds` runs of the L2 attack, of `weights` times `steps` steps each,
    begun where the last one ended.

    Cost: at most a forward and a backward a step, and 9 forwards and 4 backwards more a run.
    """
    return FewFeatures(CW(steps=steps, rounds=weights), rounds, share)
