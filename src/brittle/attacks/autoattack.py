"""`autoattack`: the composition that published robust accuracies are measured with, part by part as its authors run it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from ..core.problem import Attack
from ..errors import unknown
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.each_target import each_target
from .combine.restarts import Restarts
from .combine.within_radius import WithinRadius
from .fixed.apgd import APGD
from .fixed.apgd_l1 import SparseAPGD
from .minimum.fab import FAB
from .score.square import Square

DLR = "dlr_or_margin"
Parts = tuple[Attack, ...]


def autoattack(
    version: Literal["standard", "plus", "rand"] = "standard", steps: int = 100, queries: int = 5000
) -> Attack:
    """AutoAttack: four attacks without a parameter to choose, each on what those before it have left over.

    Croce and Hein, ICML 2020, arXiv:2003.01690, section 6, and for l1 ICML 2021, arXiv:2103.01208, section 5; losses, steps, restarts,
    targets and queries are those of the authors' code. `version`: `standard` is APGD-CE, APGD-T, FAB-T and Square; `plus` is APGD-CE and
    APGD-DLR with 5 restarts, FAB with 5, Square, APGD-T and FAB-T; `rand`, for victims that answer at random, APGD-CE and APGD-DLR on
    gradients averaged over 20 draws. 9 targets; under l1 `standard` has 5 targets for APGD-T, and 5 restarts for APGD-CE.

    Deviations: those that APGD, SparseAPGD, FAB and Square state, of which the starts of APGD and the squares are random
    numbers drawn otherwise; with fewer than 4 classes the targeted DLR loss is the margin, with 2 the untargeted too; untargeted FAB looks
    at the 9 likeliest classes rather than all. Fewer `steps` and `queries` make another attack, for trying things out.

    Cost: at most 19 x steps x (F + B), `queries` forwards and 53 more for `standard`; a sample that is won leaves.
    """
    if version not in _VERSIONS:
        raise unknown("version of autoattack", version, _VERSIONS)
    dense, sparse = _VERSIONS[version](steps, queries)
    return ByNorm(Cascade(dense), l1=Cascade(sparse))


def _standard(steps: int, queries: int) -> tuple[Parts, Parts]:
    last = (_fabt(steps), _square(queries))
    dense = (APGD(steps=steps), each_target(APGD(steps=steps, loss=DLR), 9))
    sparse = (Restarts(SparseAPGD(steps=steps), 5), each_target(SparseAPGD(steps=steps, loss=DLR), 5))
    return (*dense, *last), (*sparse, *last)


def _plus(steps: int, queries: int) -> tuple[Parts, Parts]:
    fab = WithinRadius(FAB(steps=steps, restarts=5, back_first=0.9, back_last=0.9, search=0))

    def parts(ascent: Callable[..., Attack]) -> Parts:
        first = (Restarts(ascent(steps=steps), 5), Restarts(ascent(steps=steps, loss=DLR), 5))
        targeted = each_target(ascent(steps=steps, loss=DLR), 9)
        return (*first, fab, _square(queries), targeted, _fabt(steps))

    return parts(APGD), parts(partial(SparseAPGD, wide=False))


def _rand(steps: int, queries: int) -> tuple[Parts, Parts]:
    losses = ("cross_entropy", DLR)
    dense = tuple(APGD(steps=steps, loss=loss, draws=20) for loss in losses)
    sparse = tuple(SparseAPGD(steps=steps, loss=loss, draws=20, wide=False) for loss in losses)
    return dense, sparse


def _fabt(steps: int) -> Attack:
    """With the paper's constant step back, and no search at the end."""
    fab = FAB(steps=steps, back_first=0.9, back_last=0.9, search=0)
    return each_target(WithinRadius(fab), 9)


def _square(queries: int) -> Attack:
    """From 80 % of the pixels and one random beginning, on the schedule of 10,000 queries of which only the first part is spent."""
    return Square(queries=queries, share=0.8, draws=1, span=10_000)


_VERSIONS = {"standard": _standard, "plus": _plus, "rand": _rand}
