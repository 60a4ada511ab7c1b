"""What minimum-norm attacks with gradients share: leave out what is won untouched, keep the smallest point that wins, pull it in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.norms import NORMS
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from .linearise import move_onto, nearest_plane
from .shrink import shrunk


@dataclass(eq=False)
class Hunt:
    """A search for the smallest perturbation of the B' samples of a batch that are not won untouched: `rows` of it, `problem` and `region`.

    slope (B',): of the margin at x, in the dual norm (of L1 in L0): with it, -clean / slope is how far away a linear victim would be lost.
    beyond (B', *S): the nearest point of the box where the margin, taken as linear, is won; in L0 by as few features as that takes.
    best, margin (B',): the smallest winning point asked about, and the goal's margin there; before one is found x and `clean`.
    """

    answer: Tensor  # (B, *S)
    rows: Tensor
    problem: Problem
    region: NormBall
    clean: Tensor  # (B',) the goal's margin at x
    slope: Tensor
    beyond: Tensor
    best: Incumbent
    margin: Tensor

    @classmethod
    def begin(cls, problem: Problem, attack: str, *norms: str, candidates: int) -> Hunt:
        """Ask about x and about the point beyond, which on a linear victim is the answer.

        Cost: 2 forwards, and a backward for each of the `candidates` likeliest other classes, whose boundaries are looked at.
        """
        region = problem.ball(attack, *norms)
        norm = region.norm if region.norm.dual is not None else NORMS["l1"]
        outputs, value, normal = nearest_plane(problem, region.origin, norm, candidates)
        clean = problem.goal.margin(outputs)
        rows = (~(clean > 0)).nonzero().squeeze(1)
        part = problem if len(rows) == len(clean) else problem.select(rows)
        region = part.ball(attack)
        normal = finite(normal[rows], region.free)
        assert norm.dual is not None
        slope, clean = norm.dual(normal), clean[rows]
        if not len(rows):
            beyond = region.origin
        elif region.norm is norm:
            gap = (outputs[rows].abs().amax(1).mul_(1e-6) - value[rows]).clamp_min_(0)
            beyond = region.origin + move_onto(region, region.origin, normal, gap)
            torch.clamp(beyond, region.lower, region.upper, out=beyond)
        else:
            span = (region.upper - region.lower).amax()
            beyond = region.ascend(region.origin, normal, (value[rows].abs() / (slope * span).clamp_min(1e-30)).ceil())
            beyond = torch.clamp(beyond, region.lower, region.upper)
        beyond = torch.where(beyond.isfinite(), beyond, region.x)
        best, answer = Incumbent.at(region.origin), problem.x.clone()
        hunt = cls(answer, rows, part, region, clean, slope, beyond, best, clean.clone())
        if len(rows):
            margin = part.goal.margin(part.oracle(beyond))
            hunt.keep(beyond, region.norm.size(beyond - region.x), margin)
        return hunt

    def __len__(self) -> int:
        return len(self.rows)

    def start(self, step: Tensor) -> Tensor:
        """Where to begin (B', *S): the problem's starts or x, and a random `step` (B',) away from it where its gradient is zero."""
        region, point = self.region, self.region.origin.clone()
        if self.problem.starts is not None:
            point = torch.clamp(self.problem.starts.to(point.dtype), region.lower, region.upper)
        dead = self.slope == 0
        if bool(dead.any()):
            noise = self.problem.streams.normal(tuple(point.shape[1:])).to(point.dtype)
            away = torch.clamp(point + noise * wide(step, point), region.lower, region.upper)
            point = torch.where(wide(dead, point), away, point)
        return point

    @property
    def scale(self) -> Tensor:
        """(B',) the slope, or 1 where it is zero."""
        return torch.where(self.slope > 0, self.slope, 1.0)

    @property
    def span(self) -> Tensor:
        """(B',) width of the input range."""
        return (self.region.upper - self.region.lower).flatten(1).amax(1).expand(len(self.rows))

    def keep(self, point: Tensor, size: Tensor, margin: Tensor, rows: Tensor | None = None) -> Tensor:
        """Offer points (B'', *S) of these of the hunt's rows (None: all) with what is known of them; returns which of them win."""
        won = margin > 0
        if rows is None:
            self.margin = torch.where(won & (size < self.best.size), margin, self.margin)
        else:
            better = won & (size < self.best.size[rows])
            self.margin[rows[better]] = margin[better]
        self.best.offer_smaller(point, size, won, rows)
        return won

    def finish(self, search: int) -> Tensor:
        """The answer (B, *S): the best points, pulled in by at most `search` forwards; x where nothing was found."""
        if len(self.rows):
            self.answer[self.rows] = shrunk(self.problem, self.best.point, self.margin, self.clean, search)
        return self.answer


def finite(grad: Tensor, free: Tensor | None) -> Tensor:
    """Zero where the gradient is not a number, or the mask forbids a change."""
    grad = torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)
    return grad if free is None else grad.mul_(free)
