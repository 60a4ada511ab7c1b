"""The public suite: every registered attack keeps the laws, and attacks that break one are found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.problem import Problem
from brittle.core.trial import attempt
from brittle.testing import assert_conforms, check_attack, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS
from registry import NAMES, RATIOS, each, quick, takes

SIZES = {"linf": 0.1, "l2": 0.3, "l1": 0.5, "l0": 2}


@pytest.mark.parametrize("name", each())
def test_every_registered_attack_conforms(name: str) -> None:
    threats = [THREATS[norm](size) for norm, size in SIZES.items() if takes(name, norm)]
    if threats:  # the others have tests of their own
        assert_conforms(quick(name), threats, RATIOS.get(name, 1.02))


@pytest.mark.parametrize("name", NAMES)
def test_it_refuses_the_norms_that_it_does_not_list(name: str) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    for norm, size in SIZES.items():
        if not takes(name, norm) and any(takes(name, other) for other in SIZES):
            with pytest.raises(brittle.InputError):
                attempt(quick(name), victim, THREATS[norm](size), x, Classify(victim(x).argmax(1)), torch.arange(7), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack",
    [
        brittle.pgd(6, restarts=2),
        brittle.Restarts(brittle.uniform_noise(), 3),
        brittle.gaussian_noise(3),
        brittle.GradientAscent(
            steps=5, step_size=0.7, start="random", draws=2, momentum=0.5, nesterov=True, keep="best"
        ),
        brittle.pgd(6, step_size=0.5, loss="margin"),
    ],
    ids=["restarts", "restarted noise", "noise", "all at once", "long steps"],
)
def test_combinations_conform(attack: Any) -> None:
    assert_conforms(attack, [brittle.linf(0.1), brittle.l1(0.4), brittle.box()])


def test_as_many_findings_as_laws_and_threats() -> None:
    one, two = (check_attack(brittle.fgsm(), threats) for threats in ([brittle.l2(0.1)], None))
    assert len(two) - 1 == 4 * (len(one) - 1)
    assert len({finding.name for finding in two}) == len(two)


def _step(problem: Problem, x: Tensor) -> Tensor:
    """A right FGSM step, from which the wrong attacks below depart."""
    asked = x.clone().requires_grad_()
    with torch.enable_grad():
        loss = problem.goal.margin(problem.oracle(asked)).sum()
    (grad,) = torch.autograd.grad(loss, asked)
    return problem.region.project(problem.region.ascend(x, grad, problem.region.radius))


def _outside(problem: Problem) -> Tensor:
    return problem.x + 1.5 * (_step(problem, problem.x) - problem.x)


def _unseeded(problem: Problem) -> Tensor:
    return problem.region.project(_step(problem, problem.x) - 0.01 * torch.rand_like(problem.x))


def _neighbours(problem: Problem) -> Tensor:
    x_adv = _step(problem, problem.x)
    return problem.region.project(x_adv - 0.01 * x_adv.mean(0))


def _smuggled(problem: Problem) -> Tensor:
    problem.door.victim(problem.x)
    return _step(problem, problem.x)


def _in_place(problem: Problem) -> Tensor:
    x_adv = _step(problem, problem.x)
    problem.x.add_(1e-3)
    return x_adv


def _writes_gradients(problem: Problem) -> Tensor:
    with torch.enable_grad():
        problem.oracle(problem.x.clone().requires_grad_()).sum().backward()
    return _step(problem, problem.x)


def _trains(problem: Problem) -> Tensor:
    if problem.door.victim.module is not None:
        problem.door.victim.module.train()
    return _step(problem, problem.x)


def _weak(problem: Problem) -> Tensor:
    return problem.x + 0.5 * (_step(problem, problem.x) - problem.x)


def _single(problem: Problem) -> Tensor:
    return _step(problem, problem.x).float()


def _jumps(problem: Problem) -> Tensor:
    return _step(problem, problem.region.project(problem.x + 1e-3)) + 1e-3


def _falls(problem: Problem) -> Tensor:
    raise ZeroDivisionError("of my own")


WRONG = {
    "outside": (_outside, "stays inside"),
    "unseeded": (_unseeded, "same bits for the same seed"),
    "unseeded, told by the state": (_unseeded, "leaves inputs, weights, gradients, mode and random numbers"),
    "neighbours": (_neighbours, "whoever is in the batch"),
    "smuggled": (_smuggled, "charged for exactly what it asks"),
    "in place": (_in_place, "leaves inputs"),
    "gradients": (_writes_gradients, "leaves inputs"),
    "mode": (_trains, "leaves inputs"),
    "weak": (_weak, "wins at 1.3 times the optimum"),
    "single precision": (_single, "keeps shape and dtype"),
    "moves at eps 0": (_jumps, "returns x where eps is 0"),
    "falls": (_falls, "works on one sample"),
}


@dataclass(frozen=True)
class Wrong:
    name: str

    access, minimises, paper = Access.GRADIENT, False, "none"

    def __call__(self, problem: Problem) -> Tensor:
        return WRONG[self.name][0](problem)


@pytest.mark.parametrize("name", WRONG)
def test_an_attack_that_breaks_a_law_is_found_out(name: str) -> None:
    failed = [finding.name for finding in check_attack(Wrong(name), [brittle.linf(0.1)]) if not finding.passed]
    assert any(WRONG[name][1] in law for law in failed)
    if name in ("weak", "smuggled", "gradients"):
        assert len(failed) == 1  # and only that law
    with pytest.raises(AssertionError, match=WRONG[name][1]):
        assert_conforms(Wrong(name), [brittle.linf(0.1)])


@dataclass(frozen=True)
class Right:
    """A stranger's attack, with no base class."""

    access, minimises, paper = Access.GRADIENT, False, "none"

    def __call__(self, problem: Problem) -> Tensor:
        return _step(problem, problem.x)


@dataclass(frozen=True)
class Nameless:
    def __call__(self, problem: Problem) -> Tensor:
        return problem.x


def test_a_stranger_s_attack_conforms_when_it_is_right() -> None:
    assert_conforms(Right())


@pytest.mark.parametrize(("value", "sentence"), [(Right, "give a dataclass value"), (Nameless(), "`access` must be")])
def test_what_is_no_attack_is_a_finding_too(value: Any, sentence: str) -> None:
    (finding,) = check_attack(value)
    assert not finding.passed
    assert sentence in finding.sentence
