"""AutoAttack is its authors' composition: which attacks, with which settings, in which order, on which samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.combine.by_norm import ByNorm
from brittle.attacks.combine.cascade import Cascade
from brittle.attacks.combine.each_target import EachTarget
from brittle.attacks.combine.restarts import Restarts
from brittle.attacks.combine.within_radius import WithinRadius
from brittle.attacks.fixed.apgd import APGD
from brittle.attacks.fixed.apgd_l1 import SparseAPGD
from brittle.attacks.minimum.fab import FAB
from brittle.attacks.score.square import Square
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.problem import Attack, Problem
from brittle.core.trial import attempt
from brittle.core.victim import as_victim
from brittle.testing import network
from brittle.testing.victims import inputs
from brittle.threats import l1, l2, linf

DLR = "dlr_or_margin"
_FAB = FAB(steps=100, back_first=0.9, back_last=0.9, search=0)
FABT = EachTarget(WithinRadius(_FAB), 9)
SQUARE = Square(queries=5000, share=0.8, draws=1, span=10_000)
HALF = as_victim(lambda x: torch.cat([torch.full_like(x, 0.5), x, x - 0.1], dim=1))  # class 0 below 0.5, class 1 above


def _parts(version: str, norm: str) -> tuple[Attack, ...]:
    attack: Any = brittle.autoattack(version)
    assert isinstance(attack, ByNorm)
    cascade: Any = attack.l1 if norm == "l1" else attack.attack
    assert isinstance(cascade, Cascade)
    assert not cascade.warm
    return cascade.attacks


def test_standard_is_that_of_the_paper() -> None:
    """Table of autoattack.py: linf and l2 one run and 9 targets, l1 five runs and 5 targets, in larger balls first."""
    assert _parts("standard", "linf") == (APGD(), EachTarget(APGD(loss=DLR), 9), FABT, SQUARE)
    sparse = (Restarts(SparseAPGD(), 5), EachTarget(SparseAPGD(loss=DLR), 5))
    assert _parts("standard", "l1") == (*sparse, FABT, SQUARE)
    assert APGD().steps == SparseAPGD().steps == 100
    assert APGD().rho == 0.75


def test_plus_is_that_of_the_paper() -> None:
    fab = WithinRadius(FAB(steps=100, restarts=5, back_first=0.9, back_last=0.9, search=0))
    for norm, dense in (("l2", APGD), ("l1", SparseAPGD)):
        narrow: dict[str, Any] = {"wide": False} if norm == "l1" else {}
        assert _parts("plus", norm) == (
            Restarts(dense(**narrow), 5),
            Restarts(dense(loss=DLR, **narrow), 5),
            fab,
            SQUARE,
            EachTarget(dense(loss=DLR, **narrow), 9),
            FABT,
        )


def test_rand_averages_twenty_draws() -> None:
    assert _parts("rand", "linf") == (APGD(draws=20), APGD(draws=20, loss=DLR))
    assert _parts("rand", "l1") == tuple(SparseAPGD(draws=20, loss=loss, wide=False) for loss in ("cross_entropy", DLR))


def test_a_wrong_version_gets_a_sentence() -> None:
    with pytest.raises(brittle.InputError, match="version of autoattack"):
        brittle.autoattack("standart")
    assert brittle.parse_attack("autoattack:version=rand") == brittle.autoattack("rand")


def test_squares_halve_as_in_ten_thousand_queries() -> None:
    """Of 5000 queries the original spends the first part of the schedule: 7 halvings, where a schedule of its own would have 9."""
    share = SQUARE._share
    assert [share(taken) / 0.8 for taken in (0, 10, 11, 50, 51, 1000, 1001, 4000, 4001, 4999)] == [
        2.0**-k for k in (0, 0, 1, 1, 2, 4, 5, 6, 7, 7)
    ]
    assert Square(queries=5000, share=0.8)._share(4999) / 0.8 == 2.0**-9


@dataclass(frozen=True)
class _Fixed:
    """Answers with a point that was made beforehand, and says how many samples it was asked about."""

    shift: float
    seen: list[int] = field(default_factory=list, hash=False, compare=False)
    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "none"

    def __call__(self, problem: Problem) -> Tensor:
        self.seen.append(len(problem.x))
        return problem.x + self.shift


def test_within_radius_wins_only_what_lies_inside() -> None:
    """x sits 0.3 below the boundary at 0.5: a shift of 0.4 wins at radius 0.4 and loses at 0.2."""
    x, goal = torch.full((3, 1), 0.2), Classify(torch.zeros(3, dtype=torch.long))
    attack: Any = WithinRadius(_Fixed(0.4))
    wide = attempt(attack, HALF, linf(0.4), x, goal, torch.arange(3), 0)
    narrow = attempt(attack, HALF, linf(0.2), x, goal, torch.arange(3), 0)
    assert wide.verdict.success.all()
    assert not narrow.verdict.success.any()
    assert narrow.verdict.feasible.all()
    with pytest.raises(brittle.InputError, match="minimise"):
        WithinRadius(APGD())  # type: ignore[arg-type]


def test_a_won_sample_sees_no_further_target() -> None:
    """What WithinRadius is for: EachTarget of an attack that minimises runs every target, at a radius only until won."""
    asked = _Fixed(0.4)
    x, goal = torch.tensor([[0.2], [0.2]]), Classify(torch.zeros(2, dtype=torch.long))
    attack: Any = EachTarget(WithinRadius(asked), 2)
    assert attempt(attack, HALF, linf(0.4), x, goal, torch.arange(2), 0).verdict.success.all()
    assert asked.seen == [2]


@pytest.mark.slow
@pytest.mark.parametrize("threat", [linf(0.1), l2(0.3), l1(0.5)], ids=["linf", "l2", "l1"])
@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
def test_it_runs_in_every_norm_and_what_it_wins_is_inside(version: str, threat: Any) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    labels = victim(x).argmax(1)
    attack: Any = brittle.autoattack(version, steps=5, queries=20)
    trial = attempt(attack, victim, threat, x, Classify(labels), torch.arange(len(x)), 0)
    assert trial.verdict.feasible.all()
    assert trial.verdict.success.any()
