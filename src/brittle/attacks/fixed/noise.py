"""Random noise of the same size: the baseline that every attack must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.oracle import Access
from ...core.problem import Problem
from ...errors import InputError


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add random noise inside the threat; of several draws keep the one with the best goal margin.

    uniform: uniform in the ball, then projected onto the input box. gaussian: normal noise scaled so that its size is the radius.
    Cost: none for one draw, otherwise 1 forward a draw.
    """

    kind: Literal["uniform", "gaussian"] = "uniform"
    draws: int = 1

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "baseline"

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "gaussian"):
            raise InputError(f"kind={self.kind!r} is not one of uniform, gaussian")
        if self.draws < 1:
            raise InputError(f"draws={self.draws} would try nothing; give 1 or more")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        draw = problem.region.random if self.kind == "uniform" else problem.region.gaussian
        if self.draws == 1:
            return draw(problem.streams)
        best = Incumbent.at(problem.region.origin)
        for _ in range(self.draws):
            point = draw(problem.streams)
            with torch.no_grad():
                best.offer(point, problem.goal.margin(problem.oracle(point)))
        return best.point
