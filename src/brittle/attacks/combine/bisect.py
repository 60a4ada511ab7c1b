"""The smallest radius at which an attack wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.problem import Attack, Problem
from ...errors import InputError
from ...kernels.shapes import wide
from ..fixed.gradient_ascent import GradientAscent
from ..parts.options import at_least
from .answers import offer_answer

FIRST = 1 / 16  # of the largest radius of interest, where the search begins
GROWTH = 4.0  # of the radius until something is won
CLOSE = 1e-4  # of what won, nearer than which the largest that lost is near enough


@dataclass(frozen=True)
class Bisect:
    """Run an attack of a fixed budget at radius after radius, a sample at a time between the largest that was lost and the smallest win.

    The first radius is a sixteenth of the threat's, which is the diameter of the box where the threat has no limit; it grows fourfold
    until the attack wins, and from then on is halfway. What wins is drawn towards x before the next radius is chosen: `shrink` times
    the interval between what lost and what won is halved by asking about the point itself, projected onto the smaller ball, which costs
    one forward where a run costs many. With `warm`, every other run does not choose its start, but begins at x, and later at the smallest
    winning point so far: if all did, they would stay with one way out, and if none did, none would be refined.
    In L0 radii are whole numbers, and a sample leaves when no number is left between them.

    Cost: at most rounds x (that of the attack + (1 + shrink) x F) + F.
    """

    attack: Attack
    rounds: int = 10
    shrink: int = 4
    warm: bool = True

    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "combinator"

    def __post_init__(self) -> None:
        at_least(self, rounds=1, shrink=0)
        if self.attack.minimises:
            raise InputError("Bisect looks for the radius of an attack of a fixed budget; this one minimises by itself")

    @property
    def access(self) -> Access:
        """That of the attack."""
        return self.attack.access

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region = problem.region
        whole = getattr(getattr(region, "norm", None), "name", None) == "l0"
        best, last = Incumbent.at(region.origin), region.origin.clone()
        offer_answer(best, problem, region.origin, torch.arange(len(last), device=last.device), minimises=True)
        most = region.radius.floor() if whole else region.radius
        lost, radius = torch.zeros_like(most), torch.minimum((most * FIRST).clamp_min(1.0 if whole else 0.0), most)
        for run in range(self.rounds):
            rows = torch.where(best.found, _apart(lost, best.size, whole), lost < most).nonzero().squeeze(1)
            if not len(rows):
                break
            part = problem.select(rows).within(radius[rows]).forked(run)
            if self.warm and run % 2 == 0:
                found = wide(best.found[rows], last)
                part = part.starting(torch.where(found, best.point[rows], last[rows]))
            last[rows], before = self.attack(part), best.size[rows]
            offer_answer(best, part, last[rows], rows, minimises=True)
            won = best.size[rows] < before
            lost[rows[~won]] = radius[rows[~won]]
            self._shrink(problem, best, lost, rows[won], whole)
            grown = torch.minimum(radius * GROWTH, most)
            radius = torch.where(best.found, _middle(lost, best.size, whole), grown)
        return best.point

    def _shrink(self, problem: Problem, best: Incumbent, lost: Tensor, rows: Tensor, whole: bool) -> None:
        """Halve the interval between `lost` and the best size, again and again, by asking about the best point projected."""
        low = lost[rows]
        for _ in range(self.shrink):
            still = _apart(low, best.size[rows], whole)
            low, rows = low[still], rows[still]
            if not len(rows):
                break
            radius, before = _middle(low, best.size[rows], whole), best.size[rows]
            part = problem.select(rows).within(radius)
            offer_answer(best, part, part.region.project(best.point[rows]), rows, minimises=True)
            low = torch.where(best.size[rows] < before, low, radius)


def _middle(low: Tensor, high: Tensor, whole: bool) -> Tensor:
    middle = (low + high.to(low.dtype)) / 2
    return middle.floor_() if whole else middle


def _apart(low: Tensor, high: Tensor, whole: bool) -> Tensor:
    """(B,) bool: a radius between them is worth a run."""
    return high - low > (1 if whole else CLOSE * high)


def bisect_pgd(steps: int = 40, rounds: int = 10, loss: str = "margin", shrink: int = 4, warm: bool = True) -> Bisect:
    """PGD at the smallest radius where it wins: `rounds` runs of up to `steps` steps.

    Madry et al., ICLR 2018, arXiv:1706.06083, section 2.1, as an attack that minimises. Deviation: ascends the margin, whose gradient
    says which boundary is near. Cost: at most rounds x (steps x (F + B) + (2 + shrink) x F) + F.
    """
    run = GradientAscent(steps=steps, reach=2.5, start="random", loss=loss, keep="best", stop=True)
    return Bisect(run, rounds=rounds, shrink=shrink, warm=warm)
