"""VFGA: one feature a step, the step's length drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.incumbent import Incumbent
from ...core.losses import cross_entropy, find_slope
from ...core.problem import NormBall, Problem
from ..parts.options import at_least
from ..parts.together import outputs_together


@dataclass(frozen=True, kw_only=True)
class VFGA:
    """Repeat: try `draws` random changes of the feature that promises most upwards, and of the one downwards; keep the best.

    Hajri et al., Stochastic sparse adversarial attacks, ICTAI 2022, arXiv:2011.12423, algorithm 2 (voting folded Gaussian attack). A
    feature promises its room to the limit times the derivative of the class probability; its change is a folded Gaussian whose standard
    deviation is that room, cut at the limit. No feature changes twice. Ends with the first win.

    Deviations: the derivative is that of the logarithm of the probability, which ranks the features alike and does not vanish where the
    probability rounds to zero or one.
    Cost: at most 1 + 2 x draws forwards and 1 backward a step. Norm: l0.
    """

    steps: int | None = None  # None: as many as there are features
    draws: int = 10  # paper: N_S

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Hajri et al. 2022, arXiv:2011.12423"

    def __post_init__(self) -> None:
        at_least(self, steps=1, draws=1)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball, slope = problem.ball("vfga", "l0"), find_slope("cross_entropy")
        best, point = Incumbent.at(ball.origin), ball.origin.clone()
        if problem.starts is not None:
            point = torch.clamp(problem.starts, ball.lower, ball.upper)
        rows, shape = torch.arange(len(point), device=point.device), point.shape[1:]
        unused = ((ball.lower < ball.upper) & (point == ball.x)).flatten(1)
        for taken in range(math.prod(shape) if self.steps is None else self.steps):
            asked = point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            (grad,) = torch.autograd.grad(outputs, asked, slope(outputs.detach(), problem.goal))
            place, value = self._candidates(problem, ball, point, torch.nan_to_num(grad, nan=0.0), unused)
            stay = unused.any(1)
            if taken == 0:  # later on, what wins has left
                won = problem.goal.margin(outputs.detach()) > 0
                best.offer_smaller(point, ball.norm.size(point - ball.x), won, rows)
                stay &= ~won
            if not bool(stay.all()):
                left = stay.nonzero().squeeze(1)
                problem, ball, rows, point = problem.select(left), ball.select(left), rows[left], point[left]
                unused, place, value = unused[left], place[left], value[left]
            if not len(rows):
                break
            tried = (
                point.flatten(1)[:, None].repeat(1, 2 * self.draws, 1).scatter_(2, place[..., None], value[..., None])
            )
            chosen, won = _choice(problem, tried.view(*tried.shape[:2], *shape))
            each = torch.arange(len(rows), device=rows.device)
            point = tried[each, chosen].view(-1, *shape)
            unused[each, place[each, chosen]] = False
            best.offer_smaller(point, ball.norm.size(point - ball.x), won, rows)
            if bool(won.any()):
                left = (~won).nonzero().squeeze(1)
                problem, ball, rows = problem.select(left), ball.select(left), rows[left]
                point, unused = point[left], unused[left]
        return best.point

    def _candidates(
        self, problem: Problem, ball: NormBall, point: Tensor, grad: Tensor, unused: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Places (B, 2 x draws) of features, and what to set them to."""
        grad, here = grad.flatten(1), point.flatten(1)
        noise = problem.streams.normal((2, self.draws)).abs_().to(point.dtype)
        places, values = [], []
        for way, limit in enumerate((ball.upper, ball.lower)):
            edge = limit.expand_as(point).flatten(1)
            place = torch.where(unused, grad * (edge - here), -math.inf).argmax(1, keepdim=True)
            there, end = here.gather(1, place), edge.gather(1, place)
            places.append(place.expand(-1, self.draws))
            values.append(torch.lerp(there, end, noise[:, way].clamp_max_(1)))
        return torch.cat(places, dim=1), torch.cat(values, dim=1)


def _choice(problem: Problem, points: Tensor) -> tuple[Tensor, Tensor]:
    """Of points (B, M, *S): the likeliest to win (B,) int64, one that wins before all others, and whether it wins (B,) bool."""
    outputs = outputs_together(problem, points)
    goal = problem.goal.select(torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1]))
    height, won = (
        of.view(points.shape[:2])
        for of in (cross_entropy(outputs.flatten(0, 1), goal), goal.margin(outputs.flatten(0, 1)) > 0)
    )
    any_won = won.any(1)
    among = torch.where(won | ~any_won[:, None], height.nan_to_num(nan=-math.inf, neginf=-1e30), -math.inf)
    return among.argmax(1), any_won
