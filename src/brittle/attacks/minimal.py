"""`minimal`: the one minimum-norm attack to use when you do not want to choose."""

from __future__ import annotations

from ..core.problem import Attack
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.far_starts import FarStarts
from .minimum.brendel_bethge import BrendelBethge
from .minimum.fab import FAB
from .minimum.primal_dual import PDPGD


def minimal(budget: int = 2000) -> Attack:
    """The smallest perturbation that is known to be found with about `budget` forwards and backwards a sample, in any norm.

    Linf and L2: short runs of FAB with one candidate class, from x and from places far away, in Linf with a walk along the boundary from
    the best of them; L1: short walks from far away; L0: half PDPGD, half such walks. Which and how long was chosen by measurement on
    networks trained plainly, adversarially and provably: benchmarks/RESULTS.md. Cost: at most `budget` forwards and backwards together.
    """
    run = FAB(steps=50, candidates=1)
    cost = 2 * run.steps + 3 + run.search  # forwards and backwards of one start
    starts = max((budget - 600) // cost - 1, 0)
    polish = max((budget - (starts + 1) * cost - 90) // 2, 1)
    linf = FarStarts(attack=run, starts=starts, polish=BrendelBethge(steps=polish, step_size=0.01))
    l2 = FarStarts(attack=FAB(steps=34, candidates=1), starts=max(budget // (2 * 34 + 6) - 1, 0))
    half = max(budget // 2, 1)
    l0 = Cascade((PDPGD(steps=max(half // 2 - 8, 1)), _walks(half)))
    return ByNorm(linf, l2=l2, l1=_walks(budget), l0=l0)


def _walks(budget: int) -> Attack:
    """As many short walks along the boundary, each from another place far away."""
    walk = BrendelBethge(steps=20, starts=2)
    first, other = 2 * walk.steps + 57, 2 * walk.steps + 15  # forwards and backwards
    return FarStarts(attack=walk, starts=max((budget - first) // other, 0))
