"""ZOO: Carlini and Wagner's attack without gradients, a few features at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import find_loss
from ...core.problem import NormBall, Problem
from ...errors import InputError
from ..parts.options import at_least, positive
from ..parts.shrink import shrunk
from ..parts.together import outputs_together

_DECAY, _DECAY_SQUARE = 0.9, 0.999  # Adam's
_LAST = 0.01  # the last steps are so much shorter than the first
_FACTOR = 1.05  # of the constant, after a step
_PROBE = 1e-3  # how far probes go, as a share of the input range
_TOGETHER = 32  # features measured at a time
_TOO_MUCH = 2.0  # times the constant that would do on a linear model is the first


@dataclass(frozen=True, kw_only=True)
class ZOO:
    """Repeat: measure the slope along some features by symmetric differences, and step down |delta|^2 + c * loss in them by Adam.

    Chen et al., ZOO, AISec 2017, arXiv:1708.03999, ZOO-ADAM (moments and their counts a feature) with equation 6 for slopes; the loss is
    how far the goal's margin is below zero. Features come in random order, each once in a sweep.

    Deviations: the slope of |delta|^2 is known and not measured; the constant follows the steps (5 % larger where the point does not
    win, smaller where it does, from what a linear model would need) in one run rather than nine; probes go 0.001 of the input range, not
    0.0001, which float32 does not tell apart; steps are as long as the change that a linear model needs, twice that after each sweep
    without a win, and become shorter; points are cut to the box; the best point is pulled in by `search` questions. Neither tanh space, nor
    a smaller image, nor importance sampling. Begins at `starts`, if given.
    Cost: at most `queries` forwards. L2.
    """

    queries: int = 20_000
    features: int = 128  # measured a step, two questions each
    step_size: float = 1.0  # of Adam, in a feature's mean change on a linear model (paper: 0.002 to 0.01)
    search: int = 10  # of the questions: to pull the best point towards x

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Chen et al. 2017, arXiv:1708.03999"

    def __post_init__(self) -> None:
        at_least(self, search=0, features=1)
        if self.queries < self.search + 1:
            raise InputError(f"queries={self.queries} is too few for x and the search; give {self.search + 1} or more")
        positive(self, "step_size")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        answer = problem.ball("zoo", "l2").x.clone()
        clean = _margin(problem, answer)
        rows = (clean <= 0).nonzero().squeeze(1)
        if len(rows):
            part, clean = problem.select(rows), clean[rows]
            best, above = self._descend(part, clean)
            answer[rows] = shrunk(part, best, above, clean, self.search)
        return answer

    def _descend(self, problem: Problem, clean: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest points (B, *S) that won, and the margins (B,) there, -1 where none did."""
        ball, given = problem.ball("zoo", "l2"), problem.starts
        x = ball.x.flatten(1)
        walk, margin = _Walk.at(x), clean
        best, above = Incumbent.at(ball.x), torch.full_like(clean, -1.0)
        left = self.queries - 1 - self.search - (given is not None)
        many = min(self.features, x.shape[1], max((left - 1) // 2, 0))
        if given is not None and left >= 0:
            walk.point = torch.clamp(given.to(x.dtype), ball.lower, ball.upper).flatten(1)
            margin, above = self._look(problem, walk.point, best, above)
        steps = left // (2 * many + 1) if many else 0
        order = torch.zeros(len(x), 0, dtype=torch.int64, device=x.device)
        reach = torch.ones_like(clean)  # twice as long after each sweep without a point that wins
        squares, factor = torch.zeros_like(clean), torch.full_like(clean, _TOO_MUCH)
        for step in range(steps):
            if order.shape[1] < many:
                order = torch.cat([order, problem.streams.uniform((x.shape[1],)).argsort(dim=1, stable=True)], 1)
            chosen, order = order[:, :many], order[:, many:]
            slope = _slopes(problem, walk.point, chosen)
            squares += slope.square().sum(1)
            # on a linear model delta = |margin| / |slope|^2 * slope reaches the boundary, and there 2 delta = c * slope
            linear = clean.abs() * ((step + 1) * many / x.shape[1]) / squares.clamp_min(1e-30)
            weight = torch.where(margin > 0, 0, factor * 2 * linear).nan_to_num_(0.0, 0.0, 0.0)
            length = self.step_size * reach * linear * (squares / ((step + 1) * many)).sqrt()
            grad = 2 * (walk.point - x).gather(1, chosen) - slope * weight[:, None]
            walk.descend_(chosen, grad, (1 - (1 - _LAST) * step / steps) * length.nan_to_num_(0.0, 0.0, 0.0), ball)
            margin, above = self._look(problem, walk.point, best, above)
            factor = torch.where(margin > 0, factor / _FACTOR, factor * _FACTOR)
            reach = torch.where(best.found, reach, reach * (1 + many / x.shape[1]))
        return best.point, above

    def _look(self, problem: Problem, flat: Tensor, best: Incumbent, above: Tensor) -> tuple[Tensor, Tensor]:
        """The margin at points (B, N), which are offered to `best`, and the margin there."""
        ball = problem.ball("zoo")
        point = flat.view(ball.x.shape)
        margin, size = _margin(problem, point), ball.norm.size(point - ball.x)
        better = (margin > 0) & (size < best.size)
        best.offer_smaller(point, size, margin > 0)
        return margin, torch.where(better, margin, above)


@dataclass(eq=False)
class _Walk:
    """Where B samples are, and Adam's moments of each feature with how often it was measured; (B, N) each."""

    point: Tensor
    mean: Tensor
    square: Tensor
    count: Tensor

    @classmethod
    def at(cls, x: Tensor) -> _Walk:
        return cls(x.clone(), torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x))

    def descend_(self, chosen: Tensor, grad: Tensor, length: Tensor, ball: NormBall) -> None:
        """Adam's step of that length (B,) in the chosen features (B, M), cut to the box."""
        mean = self.mean.gather(1, chosen).mul_(_DECAY).add_(grad, alpha=1 - _DECAY)
        square = self.square.gather(1, chosen).mul_(_DECAY_SQUARE).addcmul_(grad, grad, value=1 - _DECAY_SQUARE)
        count = self.count.gather(1, chosen).add_(1)
        for kept, new in ((self.mean, mean), (self.square, square), (self.count, count)):
            kept.scatter_(1, chosen, new)
        scale = (1 - _DECAY_SQUARE**count).sqrt_().div_(1 - _DECAY**count)
        low, high = (limit.flatten(1).expand_as(self.point).gather(1, chosen) for limit in (ball.lower, ball.upper))
        step = (mean / square.sqrt().clamp_min_(torch.finfo(grad.dtype).tiny)).mul_(scale)
        moved = self.point.gather(1, chosen).addcmul_(step, torch.minimum(length[:, None], (high - low) / 2), value=-1)
        self.point.scatter_(1, chosen, torch.maximum(torch.minimum(moved, high), low))


def _slopes(problem: Problem, flat: Tensor, chosen: Tensor) -> Tensor:
    """Of the goal's margin along the chosen features (B, M) at points (B, N), equation 6; zero where it has no value. 2 M forwards."""
    ball, slopes = problem.ball("zoo"), []
    low, high = (limit.flatten(1).expand_as(flat) for limit in (ball.lower, ball.upper))
    for part in torch.split(chosen, _TOGETHER, dim=1):
        here, least, most = (values.gather(1, part) for values in (flat, low, high))
        reach = (most - least) * _PROBE
        ends = torch.stack([torch.minimum(here + reach, most), torch.maximum(here - reach, least)], 2)  # (B, m, 2)
        points = flat[:, None].repeat(1, 2 * part.shape[1], 1)
        points.scatter_(2, part.repeat_interleave(2, dim=1)[..., None], ends.flatten(1)[..., None])
        outputs = outputs_together(problem, points.view(len(flat), -1, *ball.x.shape[1:])).flatten(0, 1)
        owner = torch.arange(len(flat), device=flat.device).repeat_interleave(points.shape[1])
        goal = problem.classes.select(owner)
        loss = goal.margin(outputs) if goal.towards is None else find_loss("margin")(outputs, goal)
        rise = loss.view(ends.shape).diff(dim=2).neg_().squeeze(2)
        slopes.append((rise / (ends[..., 0] - ends[..., 1])).nan_to_num_(0.0, 0.0, 0.0).to(flat.dtype))
    return torch.cat(slopes, 1)


def _margin(problem: Problem, point: Tensor) -> Tensor:
    """(B,) the goal's margin, minus infinity where the victim answers NaN; 1 forward."""
    return problem.goal.margin(problem.oracle(point)).nan_to_num(nan=-torch.inf)
