"""What attacks that see only the predicted class share: a point that wins, the way from it to the boundary, and many questions at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .oracle import Ledger
from .problem import NormBall, Problem
from .streams import Streams

_WHO = "an attack that sees only the predicted class"
_TOGETHER = 256  # rows sent to the victim at a time where one sample asks many questions
_COARSE = (0, 4, 2)  # blocks a side of the random inputs, in turn; 0: every feature for itself
_FORK = 0x57A7  # random inputs come from streams of their own, so that how many are needed moves no other draw


@dataclass(frozen=True, eq=False)
class Allowance:
    """How many more forwards each sample may be charged: `queries` from the moment it is made, read off the ledger."""

    ledger: Ledger
    last: Tensor  # (rows of the ledger,) int64

    @classmethod
    def of(cls, problem: Problem, queries: int) -> Allowance:
        return cls(problem.door.ledger, problem.door.ledger.forwards + queries)

    def left(self, problem: Problem) -> Tensor:
        """(B',) int64 for the problem's rows, never below zero where the attack kept to it."""
        left = self.last - self.ledger.forwards
        return left if problem.door.rows is None else left[problem.door.rows]


def won(problem: Problem, point: Tensor) -> Tensor:
    """(B,) bool: whether the points (B, *S) win. 1 forward a sample."""
    return problem.goal.margin(problem.oracle(point)) > 0


def won_together(problem: Problem, points: Tensor, wanted: Tensor | None = None) -> Tensor:
    """(B, M) bool: which of M points of each sample (B, M, *S) win; False where not `wanted` (B, M), which is not asked nor charged.

    The points must be inputs, as those of a ball are.
    """
    count, many = points.shape[:2]
    if problem.record is not None:  # under a budget somebody keeps account of each single question
        answers = torch.zeros(count, many, dtype=torch.bool, device=points.device)
        for place in range(many):
            rows = (
                torch.arange(count, device=points.device) if wanted is None else wanted[:, place].nonzero().squeeze(1)
            )
            if len(rows):
                answers[rows, place] = won(problem.select(rows), points[rows, place])
        return answers
    owner = torch.arange(count, device=points.device).repeat_interleave(many)
    asked = points.flatten(0, 1)
    if wanted is not None:
        chosen = wanted.flatten().nonzero().squeeze(1)
        owner, asked = owner[chosen], asked[chosen]
    answered = []
    for rows, part in zip(torch.split(owner, _TOGETHER), torch.split(asked, _TOGETHER), strict=True):
        answered.append(problem.goal.select(rows).margin(problem.door.select(rows)(part)) > 0)
    if wanted is None:
        return torch.cat(answered).view(count, many)
    answers = torch.zeros(count * many, dtype=torch.bool, device=points.device)
    answers[chosen] = torch.cat(answered)
    return answers.view(count, many)


def adversarial_start(problem: Problem, draws: int = 100) -> tuple[Tensor, Tensor]:
    """A point (B, *S) that wins, and whether one was found (B,) bool; x itself where it wins already or where nothing was found.

    Asks, until a sample is won: x, then the problem's starts if given, then up to `draws` random inputs of the box. These are uniform
    noise, and noise in 4x4 and in 2x2 blocks, in turn: plain noise alone is one and the same class to many networks. At most 2 + draws
    forwards a sample.
    """
    region = problem.ball(_WHO)
    point = region.origin.clone()
    found = won(problem, point)
    if problem.starts is not None:
        _try(problem, problem.starts.to(point.dtype), point, found)
    streams = problem.streams.fork(_FORK)
    for draw in range(draws):
        if bool(found.all()):
            break
        _try(problem, noise_input(region, streams, draw), point, found)
    return point, found


def bisected(problem: Problem, inside: Tensor, outside: Tensor, rounds: int | Tensor) -> Tensor:
    """The last winning point (B, *S) of a bisection between `inside`, taken not to win, and `outside`, known to win.

    On the segment between them; where the ball is a box (Linf), on the path of `outside` clipped to ever smaller boxes around `inside`.
    Each round halves the way and is 1 forward; `rounds` may be one number or one a sample (B,), whose neighbours do not wait for it.
    """
    region = problem.ball(_WHO)
    wide = (-1, *(1,) * (inside.ndim - 1))
    reach = region.norm.size(outside - inside) if region.norm.nearest is None else None

    def path(share: Tensor, rows: Tensor | slice) -> Tensor:
        if reach is None:
            return torch.lerp(inside[rows], outside[rows], share.view(wide))
        centre, radius = inside[rows], (share * reach[rows]).view(wide)
        clipped = torch.clamp(outside[rows], centre - radius, centre + radius)
        return torch.where((share < 1).view(wide), clipped, outside[rows])

    low, high = inside.new_zeros(len(inside)), inside.new_ones(len(inside))
    each = None if isinstance(rounds, int) else rounds
    for taken in range(rounds if isinstance(rounds, int) else int(rounds.max()) if len(rounds) else 0):
        rows: Tensor | slice = slice(None)
        part = problem
        if each is not None and not bool((each > taken).all()):
            rows = (each > taken).nonzero().squeeze(1)
            part = problem.select(rows)
        middle = (low[rows] + high[rows]) / 2
        here = won(part, path(middle, rows))
        high[rows] = torch.where(here, middle, high[rows])
        low[rows] = torch.where(here, low[rows], middle)
    return path(high, slice(None))


def _try(problem: Problem, points: Tensor, point: Tensor, found: Tensor) -> None:
    """Ask about points (B, *S), put into the box and the mask, for samples not yet found; write what wins into `point` and `found`."""
    left = (~found).nonzero().squeeze(1)
    if len(left):
        part = problem.select(left)
        ball = part.ball(_WHO)
        asked = torch.clamp(points[left], ball.lower, ball.upper)
        here = won(part, asked)
        point[left[here]] = asked[here]
        found[left] = here


def noise_input(ball: NormBall, streams: Streams, draw: int) -> Tensor:
    """A random input (B, *S) of the box and the mask: noise everywhere new, or constant in 4x4 or 2x2 blocks, in turn with `draw`."""
    shape, blocks = tuple(ball.x.shape[1:]), _COARSE[draw % len(_COARSE)]
    spatial = min(len(shape), 2)
    noise = streams.uniform(shape[:-spatial] + (blocks,) * spatial if blocks else shape).to(ball.x.dtype)
    if blocks:
        for dim, size in enumerate(shape[-spatial:], start=len(shape) - spatial + 1):
            noise = noise.index_select(dim, torch.arange(size, device=noise.device) * blocks // size)
    return torch.clamp(ball.lower + noise * (ball.upper - ball.lower), ball.lower, ball.upper)
