"""For a model that binarises its input: bring a point that wins as near to x as the threshold lets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ..parts.asker import Asker
from ..parts.options import at_least, one_of


@dataclass(frozen=True, kw_only=True)
class BinarizationRefinement:
    """Each feature goes back to x if x is on the same side of the threshold, and only just over the threshold if it is not.

    After the attack of that name in Foolbox (Rauber et al. 2017, arXiv:1707.04131), made for models that binarise their input (Schott et
    al. 2019, arXiv:1805.09190): these answer the same, and in every norm no point with the same binary image is nearer.
    Refines `starts`, where given, or else a random input.

    Deviations: on a model that does not binarise there, the point that it began at is kept, where Foolbox gives up the whole batch; just
    over the threshold is two units in the last place of the model's own type. Cost: at most starts + 3 forwards: x, the start or random
    inputs until one wins, and what came of it.
    """

    threshold: float | None = None  # None: the middle of the box
    included: Literal["upper", "lower"] = "upper"  # to which side the threshold itself belongs
    starts: int = 100  # random inputs tried for a start

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Rauber et al. 2017, arXiv:1707.04131"

    def __post_init__(self) -> None:
        one_of(self, "included", "upper", "lower")
        at_least(self, starts=0)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        problem.in_input_units("binarization refinement")
        ball = problem.ball("binarization_refinement")
        asker = Asker.of(
            problem, ball, self.starts + 4, stop=False
        )  # of its questions `finish` has one, which is not asked
        asker.begin(self.starts)
        point, x = asker.point, ball.x
        middle = (
            (ball.lower + ball.upper) / 2 if self.threshold is None else torch.full_like(ball.lower, self.threshold)
        )
        type_ = torch.finfo(problem.door.narrow or x.dtype)
        unit = 2 * type_.eps * middle.abs().clamp_min(type_.tiny / type_.eps)
        above = (middle if self.included == "upper" else middle + unit).expand_as(x)
        below = (middle if self.included == "lower" else middle - unit).expand_as(x)
        over_x, over_point = (
            (x >= middle, point >= middle) if self.included == "upper" else (x > middle, point > middle)
        )
        refined = torch.where(over_x == over_point, x, torch.where(over_point, above, below))
        refined = torch.clamp(refined, ball.lower, ball.upper)
        asker.wins(refined, asker.best.found & (asker.best.size > 0))
        return asker.best.point
