"""The constraint relaxation attack: leave the region for a while, come back from outside and from inside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import without
from ...core.incumbent import Incumbent
from ...core.problem import Problem
from ...errors import InputError
from ..parts.options import at_least
from ..parts.query import query


@dataclass(frozen=True, kw_only=True)
class ConstraintRelaxation:
    """A short PGD finds the likeliest wrong classes; then, class by class, cycles of three phases whose step halves each time.

    Efficient Robustness Evaluation via Constraint Relaxation, AAAI 2025, algorithm 1. In a cycle of scale s (1/2, 1/4, ..., at least
    1/20 radii), of `cycle` steps of length s radii on z_t - z_y: a third in the region widened to 1 + s radii, of which the projection
    onto the region is looked at too; a third in the region; then from the region tightened to 1 - s radii plus noise of s radii, a third
    in the region. A sample leaves a class where, after the second phase, its margin is still below -s; in restarts only classes are
    tried again whose margin came within 0.05 of winning.

    Deviations: the steps and projections are the region's, so that any norm works, not Linf alone; the first phase's step halves for its
    whole second half (the published code's does so for one step); with a target, that class is the only one; a won sample leaves at once.

    Cost: at most cycle/3 x (F + B) + 2F, then at most restarts x targets x cycles x (cycle x (F + B) + (cycle/3 + 1) x F).
    """

    targets: int = 3
    restarts: int = 5
    cycles: int = 5
    cycle: int = 30  # steps, divisible by 3

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Efficient Robustness Evaluation via Constraint Relaxation, AAAI 2025"

    def __post_init__(self) -> None:
        at_least(self, targets=1, restarts=1, cycles=1)
        if self.cycle < 3 or self.cycle % 3:
            raise InputError(f"cycle={self.cycle} is not made of three phases; give a multiple of 3, such as 30")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        best = Incumbent.at(problem.region.origin)
        classes = self._explore(problem, best)
        tried = classes.shape[1]
        hopeful = torch.ones_like(classes, dtype=torch.bool)
        for run in range(self.restarts):
            for place in range(tried):
                rows = ((best.score <= 0) & hopeful[:, place]).nonzero().squeeze(1)
                if not len(rows):
                    continue
                part = problem.select(rows).forked(1 + run * tried + place)
                if part.classes.targets is None:
                    part = replace(part, goal=replace(part.classes, towards=classes[rows, place]))
                hopeful[rows, place] = self._cycles(part, rows, best)
        return best.point

    def _explore(self, problem: Problem, best: Incumbent) -> Tensor:
        """PGD on the cross-entropy of cycle / 3 steps; the classes to try (B, T), likeliest first where it ended."""
        region, steps = problem.region, self.cycle // 3
        point = region.random(problem.streams) if problem.starts is None else region.project(problem.starts)
        ended, rows = point.clone(), torch.arange(len(point), device=point.device)
        part = problem
        for step in range(steps):
            margin, _, grad = query(part, point, "cross_entropy")
            best.offer(point, margin, rows)
            left = (margin <= 0).nonzero().squeeze(1)
            if len(left) < len(rows):
                ended[rows] = point
                rows, part, point, grad = rows[left], part.select(left), point[left], grad[left]
            if not len(rows):
                break
            point = part.region.step_(point, grad, part.region.radius * (0.5 if 2 * step < steps else 0.25))
        ended[rows] = point
        goal = problem.classes
        if goal.targets is not None:
            best.offer(ended, goal.margin(problem.oracle(ended)))
            return goal.targets[:, None]
        outputs = problem.oracle(ended)
        best.offer(ended, goal.margin(outputs))
        count = min(self.targets, outputs.shape[1] - 1)
        return without(outputs, goal.labels).topk(count, dim=1).indices

    def _cycles(self, problem: Problem, rows: Tensor, best: Incumbent) -> Tensor:
        """All cycles towards one class, for the given rows of the batch; which of them came close (B',) bool."""
        close = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        here = torch.arange(len(rows), device=rows.device)  # of `close`: the samples still in
        point, third = problem.region.random(problem.streams), self.cycle // 3
        for cycle in range(self.cycles):
            share = max(0.5 ** (cycle + 1), 0.05)
            for step in range(self.cycle):
                region = problem.region
                if step == 2 * third:
                    inner = region.within(region.radius * (1 - share)).project(point)
                    noise = region.within(region.radius * share).random(problem.streams) - region.origin
                    point = region.project(inner + noise)
                margin, steered, grad = query(problem, point, "margin")
                wide = region.within(region.radius * (1 + share)) if step < third else region
                looked = point
                point = wide.step_(point.clone(), grad, region.radius * share)
                if step <= third:
                    looked = region.project(point)
                    margin = steered = problem.goal.margin(problem.oracle(looked))
                best.offer(looked, margin, rows[here])
                close[here] |= steered > -0.05
                lost = (margin <= 0) if step != 2 * third - 1 else (margin <= 0) & (steered >= -share)
                left = lost.nonzero().squeeze(1)
                if len(left) < len(here):
                    here, problem, point = here[left], problem.select(left), point[left]
                if not len(here):
                    return close
        return close
