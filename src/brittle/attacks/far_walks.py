"""What breaks models whose gradients lead nowhere, at a fixed radius, and costs little where they do not."""

from __future__ import annotations

from ..core.problem import Attack
from .combine.far_walks import FarWalks
from .combine.if_near import IfNear
from .combine.restarts import restarted
from .combine.start_from import StartFrom
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
