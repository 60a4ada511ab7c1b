"""What breaks models whose gradients lead nowhere, at a fixed radius, and costs little where they do not: `far_walks`, `square_if_near`."""

from __future__ import annotations

from ..core.problem import Attack
from .combine.far_walks import FarWalks
from .combine.if_near import IfNear
from .fixed.recipes import apgd
from .minimum.brendel_bethge import BrendelBethge
from .score.square import Square


def far_walks(starts: int = 3, steps: int = 10, climb: int = 8, near: bool = True) -> Attack:
    """Short walks along the decision boundary, from x and from `starts` places far away, each finished by a short APGD in the region.

    Walks of `steps` as Brendel et al., NeurIPS 2019, arXiv:1907.01003; `climb` steps as Croce and Hein, ICML 2020, arXiv:2003.01690, on
    the margin. `near`: also from x. Cost: at most 1 forward and 1 backward a step, and 10 of both and 37 forwards a place.
    """
    return FarWalks(
        walk=BrendelBethge(steps=steps, starts=2), climb=apgd(steps=climb, loss="margin"), starts=starts, near=near
    )


def square_if_near(queries: int = 3000, probe: int = 200, reach: float = 0.3) -> IfNear:
    """Square Attack for `probe` queries, and for `queries` more where these came near: to a margin above -`reach` times that of x.

    Andriushchenko et al., ECCV 2020, arXiv:1912.00049. Cost: at most queries + probe + 3 forwards.
    """
    return IfNear(Square(queries=probe), Square(queries=queries), reach)
