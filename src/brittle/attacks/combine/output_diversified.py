"""Output-diversified starts: away from x in a random direction of the outputs, not of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Attack, Problem
from ..parts.options import at_least


@dataclass(frozen=True)
class OutputDiversified:
    """Before the attack, steps of one radius that raise <w, outputs> for a w drawn for each sample, uniform in [-1, 1]^C.

    ODI of Tashiro, Song and Ermon, NeurIPS 2020, arXiv:2003.06878, section 4.1, from a random point of the region (or from the starts that
    are given), in any norm by its own step. The attack must take a start, as the gradient attacks at a fixed budget do.
    Deviation: draws w again for each run of Restarts around it, as the paper does, but from the sample's own stream.

    Cost: 1 forward and 1 backward a step, and that of the attack.
    """

    attack: Attack
    steps: int = 2

    paper: ClassVar[str] = "Tashiro et al. 2020, arXiv:2003.06878"

    def __post_init__(self) -> None:
        at_least(self, steps=1)

    @property
    def access(self) -> Access:
        """Gradients, whatever the attack needs."""
        return Access.GRADIENT

    @property
    def minimises(self) -> bool:
        """Whether the attack does."""
        return self.attack.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        region, streams = problem.region, problem.streams
        point = region.random(streams) if problem.starts is None else region.project(problem.starts).clone()
        weight: Tensor | None = None
        for _ in range(self.steps):
            with torch.enable_grad():
                asked = point.detach().requires_grad_()
                outputs = problem.oracle(asked)
            if weight is None:
                weight = streams.uniform((outputs.shape[1],)).to(outputs.dtype).mul_(2).sub_(1)
            (grad,) = torch.autograd.grad(outputs, asked, weight)
            point = region.step_(point, torch.nan_to_num(grad, nan=0.0), region.radius)
        return self.attack(problem.starting(point).forked(0))
