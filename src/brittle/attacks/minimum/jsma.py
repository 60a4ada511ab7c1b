"""JSMA: the one or two features that a saliency map of the model's Jacobian puts first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import without
from ...core.incumbent import Incumbent
from ...core.problem import NormBall, Problem
from ...kernels.pairs import best_pair
from ..parts.options import at_least, between, one_of


@dataclass(frozen=True, kw_only=True)
class JSMA:
    """Repeat: change the features that raise the target's output most while they lower the others', by `theta`, until the goal is reached.

    Papernot et al., The limitations of deep learning in adversarial settings, EuroS&P 2016, arXiv:1511.07528, equations 8 and 9, algorithm
    3: of all pairs (p, q) whose changes raise the target's logit and lower the sum of the others, that of the greatest product of the two
    sums; `features` 1 looks at single features, as equation 8 does.

    Deviations: without a target, the class that is closest to the label's at each point is aimed at (the likeliest other one, or the goal's
    own). Features may go up or down, whichever is better; the paper has one of them for all, which `signs` brings back. The derivatives are
    multiplied by the change that the limits leave. Where no features do both, the one that helps most is taken; the paper gives up.
    Cost: at most 1 forward and 2 backwards a step, and 1 forward. Memory is linear in the number of features. Norm: l0.
    """

    steps: int | None = None  # None: as many as it takes to change all features
    theta: float = 1.0  # of the input range
    features: int = 2
    signs: Literal["up", "down", "both"] = "both"

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Papernot et al. 2016, arXiv:1511.07528"

    def __post_init__(self) -> None:
        at_least(self, steps=1)
        between(self, 0, 1, "theta", ends="(]")
        one_of(self, "features", 1, 2)
        one_of(self, "signs", "up", "down", "both")

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        ball = problem.ball("jsma", "l0")
        best, point = Incumbent.at(ball.origin), ball.origin.clone()
        if problem.starts is not None:
            point = torch.clamp(problem.starts, ball.lower, ball.upper)
        rows = torch.arange(len(point), device=point.device)
        steps = math.ceil(point[0].numel() / self.features / self.theta) if self.steps is None else self.steps
        for taken in range(steps + 1):
            asked = point.detach().requires_grad_()
            with torch.enable_grad():
                outputs = problem.oracle(asked)
            won = problem.goal.margin(outputs.detach()) > 0
            best.offer_smaller(point, ball.norm.size(point - ball.x), won, rows)
            if taken == steps:
                break
            moved = self._moved(problem, ball, asked, outputs)
            stay = ~won & (moved != point).flatten(1).any(1)
            point = moved
            if not bool(stay.all()):
                left = stay.nonzero().squeeze(1)
                problem, ball, rows, point = problem.select(left), ball.select(left), rows[left], point[left]
                if not len(rows):
                    break
        return best.point

    def _moved(self, problem: Problem, ball: NormBall, asked: Tensor, outputs: Tensor) -> Tensor:
        """The point after a step."""
        seen, point = outputs.detach(), asked.detach()
        goal = problem.classes
        aim = goal.aim if goal.aim is not None else without(seen, goal.labels).argmax(1)
        target = torch.zeros_like(seen).scatter_(1, aim[:, None], 1)
        rises = (
            torch.autograd.grad(outputs, asked, slope, retain_graph=slope is target)[0]
            for slope in (target, 1 - target)
        )
        raised, others = (torch.nan_to_num(rise, nan=0.0).flatten(1) for rise in rises)
        here, x = point.flatten(1), ball.x.flatten(1)
        low, high = (limit.expand_as(point).flatten(1) for limit in (ball.lower, ball.upper))
        longest = self.theta * (high - low).amax(1, keepdim=True)
        up = torch.minimum(high - here, longest) * (here >= x)  # a feature does not turn back
        down = torch.maximum(low - here, -longest) * (here <= x)
        ways = {"up": [up], "down": [down], "both": [up, down]}[self.signs]
        change = torch.cat(ways, dim=1)
        room = change.abs() > 1e-6 * longest
        gain, loss = (torch.where(room, change * grad.repeat(1, len(ways)), -math.inf) for grad in (raised, -others))
        chosen = self._chosen(gain, loss)
        move = torch.zeros_like(change).scatter_(1, chosen, change.gather(1, chosen))
        helps = (gain + loss).gather(1, chosen).sum(1, keepdim=True) > 0
        move = (move * helps).view(len(here), len(ways), -1).sum(1)
        return torch.clamp((here + move).view_as(point), ball.lower, ball.upper)

    def _chosen(self, gain: Tensor, loss: Tensor) -> Tensor:
        """The columns (B, features) of the greatest saliency, equation 9; the one that helps most, where none have any."""
        if self.features == 2:
            columns, saliency = best_pair(gain, loss, twins=self.signs == "both")
        else:
            saliency, column = torch.where((gain > 0) & (loss > 0), gain * loss, -math.inf).max(1)
            columns = column[:, None]
        alone = (gain + loss).argmax(1, keepdim=True)
        return torch.where(saliency.isinf()[:, None] & (saliency < 0)[:, None], alone, columns)
