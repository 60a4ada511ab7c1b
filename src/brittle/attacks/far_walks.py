"""What breaks models whose gradients lead nowhere, at a fixed radius, and costs little where they do not."""

from __future__ import annotations

from ..core.problem import Attack
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.far_walks import FarWalks
from .combine.if_near import IfNear
from .combine.if_stuck import IfStuck
from .combine.restarts import restarted
from .combine.start_from import StartFrom
from .fixed.constraint_relaxation import ConstraintRelaxation
from .fixed.recipes import apgd, apgdt
from .minimum.brendel_bethge import BrendelBethge
from .score.square import Square


def far_walks(starts: int = 3, steps: int = 10, climb: int = 8, near: bool = True) -> Attack:
    """Short walks along the decision boundary, from x and from `starts` places far away, each finished by a short APGD in the region.

    Walks of `steps` as Brendel et al., NeurIPS 2019, arXiv:1907.01003; `climb` steps as Croce and Hein, ICML 2020, arXiv:2003.01690, on
    the margin. `near`: also from x. Cost: at most 1 forward and 1 backward a step, and 10 of both and 27 forwards a place.
    """
    return FarWalks(
        walk=BrendelBethge(steps=steps, starts=2, halvings=5),
        climb=apgd(steps=climb, loss="margin"),
        starts=starts,
        near=near,
    )


def walk_if_stuck(steps: int = 10, walk: int = 6, stuck: float = 0.88) -> IfStuck:
    """APGD of `steps` steps on the margin of the probabilities, and where that stood still a walk along the boundary of `walk` steps.

    That loss is the better one on most models, and is flat where outputs are large; there a walk, which asks for no loss, begins at x and
    an APGD on the margin, of `walk` steps too, finishes it. Still is a margin below -`stuck` times that of x. Xie et al., CVPR 2025,
    arXiv:2411.15210; Brendel et al., NeurIPS 2019, arXiv:1907.01003. Cost: at most (steps + 2 x walk + 10) x (F + B) + 32 x F.
    """
    first = apgd(steps=steps, loss="probability_margin")
    return IfStuck(first, far_walks(starts=0, steps=walk, climb=walk), stuck)


def relaxation_if_near(cycles: int = 3, climb: int = 20, queries: int = 100, reach: float = 0.3) -> IfNear:
    """Constraint relaxation, `cycles` short cycles to each of 3 classes; where it came near, `climb` steps and `queries` from there, twice.

    An ascent and a random search take turns, each from the best point so far: begun there, a hundred random squares and an ascent broke
    three times as many samples as begun at x (under L0 one ascent, no squares). Near is a margin above -`reach` times that of x. Efficient
    Robustness Evaluation via Constraint Relaxation, AAAI 2025; Andriushchenko et al. 2020, arXiv:1912.00049. Cost: at most
    (45 x cycles + 2 x climb + 5) x (F + B) + (18 x cycles + 2 x queries + 12) x F.
    """
    relaxed = ConstraintRelaxation(targets=3, restarts=1, cycles=cycles, cycle=15)
    ascent = apgd(steps=climb, loss="margin")
    turns = Cascade((ascent, Square(queries=queries)) * 2, warm=True)
    return IfNear(relaxed, ByNorm(turns, l0=ascent), reach)


def square_if_near(queries: int = 2000, probe: int = 100, climb: int = 20, reach: float = 0.04) -> IfNear:
    """Twice Square Attack for `probe` queries and a short APGD from there; `queries` more where, bit by bit, these come near.

    The search gets away from where gradients lead, the ascent of `climb` steps finishes what it began. Where the better of the two ends at
    a margin above -2.5 x `reach` times that of x, 7 x `probe` queries go on from it; where these reach -`reach` times it, `queries` do.
    Andriushchenko et al., ECCV 2020, arXiv:1912.00049; Croce and Hein, ICML 2020, arXiv:2003.01690. Cost: at most
    queries + 9 x probe + 2 x climb + 10 forwards and 2 x climb backwards.
    """
    search = StartFrom(Square(queries=probe), apgd(steps=climb, loss="margin"))
    begun = IfNear(restarted(search, 2), Square(queries=7 * probe), 2.5 * reach)
    return IfNear(begun, Square(queries=queries), reach)


def targets_if_near(steps: int = 10, targets: int = 3, more: int = 50, reach: float = 0.2) -> IfNear:
    """APGD of `steps` steps to each of the likeliest classes, then `more` steps on the margin where it came near.

    Near is a margin above -`reach` times that of x. Croce and Hein, ICML 2020, arXiv:2003.01690. Cost: at most
    (steps x targets + more) x (F + B), and 2 x targets + 6 forwards.
    """
    first = apgdt(steps=steps, targets=targets, loss="margin")
    return IfNear(first, apgd(steps=more, loss="margin"), reach)
