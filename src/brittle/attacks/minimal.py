"""`minimal`: the one minimum-norm attack to use when you do not want to choose."""

from __future__ import annotations

from ..core.problem import Attack
from ..errors import InputError
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.far_starts import FarStarts
from .minimum.brendel_bethge import BrendelBethge
from .minimum.fab import FAB
from .minimum.fmn import FMN
from .minimum.primal_dual import PDPGD


def minimal(budget: int = 2000) -> Attack:
    """The smallest perturbation that is known to be found with about `budget` forwards and backwards a sample, in any norm.

    Linf and L2: short runs of FAB with one candidate class, from x and from places far away, and a descent from the best of them, PDPGD in
    Linf and FMN in L2; L1: short walks along the boundary from far away; L0: half PDPGD, half such walks. Which and how long was chosen
    by measurement on networks trained plainly, adversarially and provably: benchmarks/RESULTS.md. `budget`: 200 or more. Cost: at most
    `budget` forwards and backwards together.
    """
    if budget < 200:
        raise InputError(f"budget={budget} is too small for several starts; give 200 or more")
    last = int(0.15 * budget)
    linf = _from_far(50, budget - 2 * last - 16, PDPGD(steps=last, step_size=0.01))
    last = int(0.1 * budget) - 10
    l2 = _from_far(34, budget - 2 * last - 18, FMN(steps=last, candidates=1))
    half = budget // 2
    l0 = Cascade((PDPGD(steps=half // 2 - 8), _walks(half)))
    return ByNorm(linf, l2=l2, l1=_walks(budget), l0=l0)


def _from_far(steps: int, budget: int, polish: Attack) -> Attack:
    """As many runs of FAB of so many steps, each from another place far away."""
    run = FAB(steps=steps, candidates=1)
    return FarStarts(attack=run, starts=max(budget // (2 * steps + 3 + run.search) - 1, 0), polish=polish)


def _walks(budget: int) -> Attack:
    """As many short walks along the boundary, each from another place far away."""
    walk = BrendelBethge(steps=20, starts=2)
    first, other = 2 * walk.steps + 57, 2 * walk.steps + 15  # forwards and backwards
    return FarStarts(attack=walk, starts=max((budget - first) // other, 0))
