"""Random noise of the same size: the baseline that every attack must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ..parts.furthest import furthest
from ..parts.options import at_least, one_of


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add random noise inside the threat; of several draws keep the one with the best goal margin.

    uniform: uniform in the ball, then projected onto the input box. gaussian: normal noise scaled so that its size is the radius. The box
    then cuts off some of the size; with `fill` the noise is scaled until its size is the radius after that (Rauber and Bethge 2020,
    arXiv:2007.07677), in Linf until it is a random corner of the ball. Several draws are Foolbox's repeated noise.
    Cost: none for one draw, otherwise 1 forward a draw.
    """

    kind: Literal["uniform", "gaussian"] = "uniform"
    draws: int = 1
    fill: bool = False  # norm balls other than l0

    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "baseline"

    @property
    def access(self) -> Access:
        """One draw asks nothing; of several the scores choose."""
        return Access.LABELS if self.draws == 1 else Access.SCORES

    def __post_init__(self) -> None:
        one_of(self, "kind", "uniform", "gaussian")
        at_least(self, draws=1)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        if self.draws == 1:
            return self._draw(problem)
        best = Incumbent.at(problem.region.origin)
        for _ in range(self.draws):
            point = self._draw(problem)
            with torch.no_grad():
                best.offer(point, problem.goal.margin(problem.oracle(point)))
        return best.point

    def _draw(self, problem: Problem) -> Tensor:
        region = problem.region
        point = region.random(problem.streams) if self.kind == "uniform" else region.gaussian(problem.streams)
        return furthest(problem.ball("noise with fill", "linf", "l2", "l1"), point - region.x) if self.fill else point
