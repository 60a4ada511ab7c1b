"""Questions to a victim that answers with a class alone: who may still ask, what is the smallest point that won, searches along a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.incumbent import Incumbent
from ...core.problem import NormBall, Problem
from ...kernels.circles import across, on_circle, unit
from ...kernels.shapes import wide
from .boundary import adversarial_start, won, won_together


@dataclass(eq=False)
class Asker:
    """Asks whether points of B samples win, and keeps the smallest that does.

    A sample that has no questions `left` is not asked any more, nor one that has a point of size `enough` or less. `rows` says which
    samples of `best` these are (None: all of them).
    """

    problem: Problem
    ball: NormBall
    best: Incumbent
    left: Tensor  # (B,) int64
    enough: Tensor  # (B,)
    rows: Tensor | None = None
    _asked: tuple[Tensor, Problem] | None = None  # who was asked last: mostly they are asked again

    @classmethod
    def of(cls, problem: Problem, ball: NormBall, queries: int, stop: bool) -> Asker:
        """`queries`, 3 or more: the most that is asked, of which `finish` has one and `begin` needs two.

        `stop`: a point inside the radius is enough, if the radius is any limit, which it is not where it is as large as the box.
        """
        left = torch.full((len(problem.x),), queries - 1, dtype=torch.int64, device=problem.x.device)
        widest = ball.norm.size((ball.upper - ball.lower).expand_as(ball.x)) * (1 - 1e-6)
        enough = torch.where(ball.radius < widest, ball.radius, 0) if stop else torch.zeros_like(ball.radius)
        return cls(problem, ball, Incumbent.at(ball.origin), left, enough)

    @property
    def count(self) -> int:
        return len(self.left)

    @property
    def open(self) -> Tensor:
        """(B,) bool: who may still ask."""
        return self.left > 0

    @property
    def size(self) -> Tensor:
        """(B,) the smallest size that won, infinity where nothing did."""
        best = self.best.size if self.rows is None else self.best.size[self.rows]
        return best.to(self.ball.x.dtype)

    @property
    def point(self) -> Tensor:
        """(B, *S) the smallest point that won."""
        return self.best.point if self.rows is None else self.best.point[self.rows]

    def begin(self, draws: int) -> Tensor:
        """Ask about x, then the problem's starts, then random inputs; (B,) bool: found. Who is won by x itself is done."""
        before = self.problem.door.ledger.forwards
        most = int(self.left.max()) if len(self.left) else 0
        point, found = adversarial_start(self.problem, max(min(draws, most - 2), 0))
        spent = self.problem.door.ledger.forwards - before
        self.left -= spent if self.problem.door.rows is None else spent[self.problem.door.rows]
        self._keep(point, found, slice(None))
        return found

    def wins(self, point: Tensor, wanted: Tensor) -> Tensor:
        """Which of the points (B, *S) win (B,) bool; False where not `wanted` or where no question is left, which is not asked."""
        rows = (wanted & (self.left > 0)).nonzero().squeeze(1)
        if len(rows) == len(wanted):
            here = won(self.problem, point)
            self.left -= 1
            self._keep(point, here, slice(None))
            return here
        answer = torch.zeros_like(wanted)
        if len(rows):
            if self._asked is None or not torch.equal(self._asked[0], rows):
                self._asked = (rows, self.problem.select(rows))
            asked = point[rows]
            here = won(self._asked[1], asked)
            self.left[rows] -= 1
            self._keep(asked, here, rows)
            answer[rows] = here
        return answer

    def together(self, points: Tensor, wanted: Tensor) -> Tensor:
        """Which of M points of each sample (B, M, *S) win (B, M) bool.

        Asked are those `wanted`, (B,) or (B, M), and of them the first that there are questions for.
        """
        each = wanted if wanted.ndim == 2 else wanted[:, None].expand(*points.shape[:2])
        each = each & (each.cumsum(1) <= self.left[:, None])
        answer = won_together(self.problem, points, None if bool(each.all()) else each)
        self.left -= each.sum(1)
        return answer

    def finish(self) -> Tensor:
        """(B, *S) the smallest points that won, each a ten-thousandth farther from x if it wins there too; the origin where none did.

        So close to the boundary as a bisection ends, rounding that depends on the size of a batch decides who wins. 1 forward.
        """
        point = self.best.point
        rows = (self.best.found & (self.best.size > 0)).nonzero().squeeze(1)
        if len(rows):
            part, x = self.problem.select(rows), self.ball.x[rows]
            ball = self.ball.select(rows)
            firm = torch.clamp(torch.lerp(x, point[rows], 1 + _FIRM), ball.lower, ball.upper)
            here = won(part, firm)
            point[rows[here]] = firm[here]
        return point

    def select(self, rows: Tensor) -> Asker:
        """Go on with some rows; what they find is kept with the rest."""
        problem = self.problem.select(rows)
        ball = self.ball.select(rows)
        kept = rows if self.rows is None else self.rows[rows]
        return Asker(problem, ball, self.best, self.left[rows], self.enough[rows], kept)

    def _keep(self, point: Tensor, here: Tensor, rows: Tensor | slice) -> None:
        if bool(here.any()):
            size = self.ball.norm.size(point - self.ball.x[rows])
            place = rows if isinstance(rows, Tensor) else None
            if self.rows is not None:
                place = self.rows if place is None else self.rows[place]
            self.best.offer_smaller(point, size, here, place)
            self.left[rows] = torch.where(here & (size <= self.enough[rows]), 0, self.left[rows])


_FIRM = 1e-4

Path = Callable[[Tensor], Tensor]  # (B,) how far along -> the points (B, *S) there


def narrowed(asker: Asker, path: Path, good: Tensor, bad: Tensor, tolerance: Tensor, wanted: Tensor) -> Tensor:
    """The last place (B,) that won of a bisection between `good`, which wins, and `bad`, which does not, until they are that close."""
    while True:
        wanted = wanted & ((good - bad).abs() > tolerance) & asker.open
        if not bool(wanted.any()):
            return good
        middle = (good + bad) / 2
        here = asker.wins(path(middle), wanted)
        good = torch.where(here, middle, good)
        bad = torch.where(wanted & ~here, middle, bad)


def widened(asker: Asker, path: Path, first: Tensor, most: float, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Ask about the place `first`, and while that wins about one twice as far, `most` at the farthest.

    The last place (B,) that won, zero where none did, and the one (B,) that did not, or the same where `most` won too.
    """
    good, bad = torch.zeros_like(first), first
    while True:
        here = asker.wins(path(bad), wanted)
        good = torch.where(here, bad, good)
        wanted = wanted & here & (bad < most) & asker.open
        if not bool(wanted.any()):
            return good, bad
        bad = torch.where(wanted, (2 * bad).clamp_max(most), bad)


def segment(ball: NormBall, point: Tensor) -> Path:
    """From x, at 0, to the point (B, *S), at 1."""
    return lambda share: torch.lerp(ball.x, point, wide(share, point))


def half_circle(ball: NormBall, point: Tensor, direction: Tensor) -> Path:
    """From the point (B, *S), at 0, towards the direction (B, N) and round to x, at pi / 2, by the angle that is seen from x.

    The segment from x to the point is the diameter, so at every angle the distance to x falls by its cosine (Thales). Cut to the box.
    """
    delta = (point - ball.x).flatten(1)
    distance = delta.norm(dim=1)
    along = unit(delta)
    sideways = across(direction if ball.free is None else direction * ball.free.flatten(1), along)

    def path(angle: Tensor) -> Tensor:
        turned = on_circle(along, sideways, distance, angle).view_as(ball.x).add_(ball.x)
        return torch.clamp(turned, ball.lower, ball.upper, out=turned)

    return path
