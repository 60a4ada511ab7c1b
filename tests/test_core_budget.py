"""A budget is hard, and what was found before it was spent is not lost; half precision; steering without being bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import brittle
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.losses import LOSSES, find_slope
from brittle.core.problem import Problem
from brittle.core.trial import attempt
from brittle.testing import network
from brittle.testing.victims import inputs

X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))
GOAL = Classify(VICTIM(X).argmax(1))
IDS = torch.arange(7)


@dataclass(frozen=True)
class Walk:
    """Asks about ever larger steps against the label, looking at the gradient each time; returns x."""

    minimises: ClassVar[bool] = True
    access: ClassVar[Access] = Access.GRADIENT
    paper: ClassVar[str] = "test"

    def __call__(self, problem: Problem) -> Tensor:
        for k in range(1, 100):
            asked = problem.x.clone().requires_grad_()
            with torch.enable_grad():
                problem.goal.margin(problem.oracle(asked)).sum().backward()
            assert asked.grad is not None
            problem.oracle(problem.region.project(problem.x + 0.05 * k * asked.grad.sign()))
        return problem.x


@pytest.mark.parametrize("budget", [1, 2, 5, 29, 30, 31])
@pytest.mark.parametrize("attack", [brittle.pgd(100), Walk(), brittle.pgd(20, restarts=9), brittle.uniform_noise(100)])
def test_no_sample_is_charged_more_than_its_budget(attack: brittle.Attack, budget: int) -> None:
    trial = attempt(attack, VICTIM, brittle.linf(0.02), X, GOAL, IDS, 0, budget=budget)
    assert int((trial.forwards + trial.backwards).max()) <= budget
    assert bool(trial.verdict.feasible.all())


def test_what_was_seen_before_the_end_counts() -> None:
    free = attempt(brittle.pgd(15), VICTIM, brittle.linf(0.3), X, GOAL, IDS, 0)
    cut = attempt(brittle.pgd(100, step_size=2.5 * 0.3 / 15), VICTIM, brittle.linf(0.3), X, GOAL, IDS, 0, budget=32)
    assert torch.allclose(free.x_adv, cut.x_adv, atol=1e-12)
    assert bool(free.verdict.success.any())
    smallest = attempt(Walk(), VICTIM, brittle.linf(math.inf), X, GOAL, IDS, 0, budget=90)
    assert bool(smallest.verdict.success.any())


def test_a_spent_budget_does_not_depend_on_the_neighbours() -> None:
    whole = attempt(brittle.pgd(50, restarts=4), VICTIM, brittle.linf(0.1), X, GOAL, IDS, 0, budget=77)
    for row in range(7):
        one = torch.tensor([row])
        part = attempt(
            brittle.pgd(50, restarts=4), VICTIM, brittle.linf(0.1), X[one], GOAL.select(one), one, 0, budget=77
        )
        assert torch.allclose(part.x_adv, whole.x_adv[one], atol=1e-12)
        assert part.forwards == whole.forwards[row]
        assert part.backwards == whole.backwards[row]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_attacked_in_single_and_judged_as_it_is(dtype: torch.dtype) -> None:
    victim = network((3, 4), dtype=dtype)
    x = X.to(dtype)
    goal = Classify(victim(x).argmax(1))
    trial = attempt(brittle.pgd(20), victim, brittle.linf(0.3), x, goal, IDS, 0)
    assert trial.x_adv.dtype == dtype
    assert bool(trial.verdict.feasible.all())
    assert bool(trial.verdict.success.any())
    assert torch.equal(trial.verdict.predicted, victim(trial.x_adv).argmax(1))


@pytest.mark.parametrize("name", LOSSES)
def test_a_steered_loss_rises_with_the_class_it_aims_at_and_any_class_still_wins(name: str) -> None:
    outputs = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels, towards = torch.zeros(5, dtype=torch.long), torch.full((5,), 3)
    goal = Classify(labels, towards=towards)
    slope = find_slope(name)(outputs, goal)
    if "dlr" not in name:  # whose scale falls along with it
        assert bool((slope[:, 3] > slope[:, 0]).all())
    asked = outputs.clone().requires_grad_()
    (reference,) = torch.autograd.grad(LOSSES[name](asked, goal).sum(), asked)
    assert torch.allclose(slope, reference)
    assert torch.equal(goal.margin(outputs), Classify(labels).margin(outputs))
    assert goal.select(torch.tensor([2])).towards == 3


def test_no_limit_is_an_infinite_eps() -> None:
    x = inputs((5,))
    region = brittle.l2(math.inf).around(x, -10, 10)
    assert bool(region.contains(torch.full_like(x, -10)).all())
    assert brittle.parse_threat("l2:inf") == brittle.l2(math.inf)


def test_what_just_wins_by_rounding_is_not_yet_won_for_the_attack_and_is_for_the_judge() -> None:
    outputs = torch.tensor([[1.0, 1.0 + 2e-7, 0.0], [1.0, 1.001, 0.0], [1000.0, 1000.001, 0.0]])
    labels = torch.zeros(3, dtype=torch.long)
    assert (Classify(labels).margin(outputs) > 0).all()
    attacker = Classify(labels, slack=64 * torch.finfo(torch.float32).eps)
    assert (attacker.margin(outputs) > 0).tolist() == [False, True, False]
    assert (attacker.select(torch.tensor([1, 0])).margin(outputs[[1, 0]]) > 0).tolist() == [True, False]
