"""Small surrogates whose gradients can be written down, and the gradient that directions make of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.directions.role import Direction, Gradient
from brittle.core.access import Access
from brittle.core.goal import Classify, Goal
from brittle.core.losses import find_slope
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.victim import Victim, as_victim

WIDE, CLASSES = 6, 3


def matrix(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Function(nn.Module):
    """A module whose forward is given, with linear layers a, b, c and ReLUs that may write into their input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], inplace: bool = False) -> None:
        super().__init__()
        for seed, name in enumerate("abcd"):
            layer = nn.Linear(WIDE, WIDE, bias=False, dtype=torch.float64)
            layer.weight.data = matrix(WIDE, WIDE, seed) / 2
            setattr(self, name, layer)
        self.out = nn.Linear(WIDE, CLASSES, bias=False, dtype=torch.float64)
        self.out.weight.data = matrix(CLASSES, WIDE, 9)
        self.relu = nn.ReLU(inplace)
        self.act = nn.Tanh()
        self.given = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.given(self, x)


def surrogate(forward: Callable[[Any, Tensor], Tensor], inplace: bool = False) -> Victim:
    return as_victim(Function(forward, inplace).eval(), (-9.0, 9.0), name="mine")


def problem(victim: Victim, x: Tensor, goal: Goal | None = None, eps: float = 0.5) -> Problem:
    goal = Classify(victim(x).argmax(1)) if goal is None else goal
    door = Oracle(victim, Ledger.empty(len(x), x.device), Access.GRADIENT)
    region = brittle.linf(eps).around(x, victim.lower, victim.upper)
    return Problem(region, goal, door, Streams.seeded(0, torch.arange(len(x))))


def bent(given: Problem, *directions: Direction, loss: str = "logit") -> Gradient:
    """The gradient of the loss as the directions change it."""
    attack = brittle.compose(brittle.ifgsm(1, loss=loss), *directions)
    with torch.enable_grad():
        return attack._directed(given, given.region.radius, find_slope(loss))


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(B, outputs, inputs) of a function of rows, at x (B, inputs)."""
    return torch.stack([torch.autograd.functional.jacobian(lambda row: function(row[None])[0], one) for one in x])


def back(jacobian: Tensor, grad: Tensor) -> Tensor:
    """J^T g, a row at a time."""
    return torch.einsum("boi,bo->bi", jacobian, grad)
