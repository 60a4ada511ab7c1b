"""`minimal`: the one minimum-norm attack to use when you do not want to choose."""

from __future__ import annotations

from ..core.problem import Attack
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.far_starts import FarStarts
from .minimum.brendel_bethge import BrendelBethge
from .minimum.fab import FAB
from .minimum.primal_dual import PDPGD
from .minimum.sigma_zero import SigmaZero


def minimal(budget: int = 2000) -> Attack:
    """The smallest perturbation that is known to be found with about `budget` forwards and backwards a sample, in any norm.

    Linf, L2 and L1: short runs of FAB with one candidate class from x and from places far away, then a walk along the boundary from the
    best of them; L0: sigma-zero and PDPGD. Which and how long was chosen by measurement on networks trained plainly, adversarially
    and provably: benchmarks/RESULTS.md. Cost: at most `budget` forwards and backwards together.
    """
    short = FAB(steps=50, candidates=1)
    run = 2 * short.steps + 3 + short.search  # forwards and backwards of one start
    starts = max((budget - 600) // run - 1, 0)
    polish = max((budget - (starts + 1) * run - 90) // 2, 1)
    walk = BrendelBethge(steps=polish, step_size=0.01)
    many = FarStarts(attack=FAB(steps=34, candidates=1), starts=max(budget // (2 * 34 + 6) - 1, 0))
    dense = ByNorm("l2", many, FarStarts(attack=short, starts=starts, polish=walk))
    half = max(budget // 4 - 4, 1)
    sparse = Cascade((SigmaZero(steps=half), PDPGD(steps=half)))
    return ByNorm("l0", sparse, dense)
