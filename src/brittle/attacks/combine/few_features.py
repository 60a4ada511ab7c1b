"""Give up the features that matter least, and attack again with the others: L0 by means of L2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.norms import L2
from ...core.problem import Attack, Problem
from ...errors import InputError
from ..parts.options import at_least, between
from ..parts.query import query


@dataclass(frozen=True)
class FewFeatures:
    """Run an attack that minimises L2; take away the least useful of the features that it changed; repeat until it fails with what is left.

    Carlini and Wagner, Towards evaluating the robustness of neural networks, S&P 2017, arXiv:1608.04644, section VI-B: the use of a
    feature is its change times the derivative of the objective there. Each run begins where the last one won.

    Deviations: `share` of the features goes at a time and, each time the attack fails, half as many as before, until not one can go; the
    paper takes one, its code up to 0.3 sqrt(features), and both end with the first failure.
    Cost: at most `rounds` times that of the attack and 1 forward and 1 backward, and 1 forward. Norm: l0.
    """

    attack: Attack
    rounds: int = 20
    share: float = 0.5

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __post_init__(self) -> None:
        at_least(self, rounds=1)
        between(self, 0, 1, "share")
        if not self.attack.minimises:
            raise InputError("FewFeatures needs an attack that minimises its L2 size, such as cw or ddn")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("FewFeatures", "l0")
        best = Incumbent.at(ball.origin)
        clean = problem.goal.margin(problem.oracle(ball.origin)) > 0
        best.offer_smaller(ball.origin, torch.zeros_like(ball.radius), clean)
        rows = (~clean).nonzero().squeeze(1)
        tried = (ball.lower < ball.upper).expand_as(ball.x)[rows]
        use = torch.zeros_like(ball.x[rows]).flatten(1)  # of each feature of the best point
        share = torch.full_like(ball.radius[rows], self.share)
        for run in range(self.rounds):
            if not len(rows):
                break
            part = _restricted(problem.select(rows), tried).forked(run)
            if run:
                part = part.starting(torch.where(tried, best.point[rows], part.x))
            point = self.attack(part)
            answer = query(part, point, "margin")
            size, before = ball.norm.size(point - part.x), best.size[rows]
            best.offer_smaller(point, size, answer.margin > 0, rows)
            better = best.size[rows] < before
            gain = (answer.grad * (point - part.x)).flatten(1)
            gain = torch.where(point.flatten(1) != part.x.flatten(1), gain, -torch.inf)  # what is unchanged goes first
            use = torch.where(better[:, None], gain, use)
            count = best.size[rows].to(share.dtype)
            gone = torch.where(better, 0, count - tried.flatten(1).sum(1))  # how many were too many
            share = torch.where(better, share, share / 2)
            keep = torch.minimum((count * (1 - share)).ceil(), count - 1)
            stay = (best.found[rows] & (keep >= 1) & ~(gone == 1)).nonzero().squeeze(1)
            rows, use, share, keep = rows[stay], use[stay], share[stay], keep[stay]
            rank = use.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
            tried = (rank < keep[:, None]).view(len(rows), *ball.x.shape[1:])
        return best.point


def _restricted(problem: Problem, free: Tensor) -> Problem:
    """The problem in L2, where only these features (B, *S) may change."""
    ball = problem.ball("FewFeatures")
    record = None if problem.record is None else replace(problem.record, norm=ball.norm)
    return replace(problem, region=ball.only(free, L2), record=record)
