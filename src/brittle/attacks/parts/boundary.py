"""What attacks that see only the predicted class ask: whether points win, many at once, and a first point that does."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.problem import NormBall, Problem
from ...core.streams import Streams

_WHO = "an attack that sees only the predicted class"
_TOGETHER = 256  # rows sent to the victim at a time where one sample asks many questions
_COARSE = (0, 4, 2)  # blocks a side of the random inputs, in turn; 0: every feature for itself
_FORK = 0x57A7  # random inputs come from streams of their own, so that how many are needed moves no other draw


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
        if not len(chosen):
            return torch.zeros_like(wanted)
    answered = []
    for rows, part in zip(torch.split(owner, _TOGETHER), torch.split(asked, _TOGETHER), strict=True):
        answered.append(
            problem.goal.select(rows).margin(problem.door.select(rows)(problem.region.made(rows, part))) > 0
        )
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
