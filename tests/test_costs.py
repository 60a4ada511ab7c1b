"""What the list says an attack costs is what the ledger says, on victims that nothing wins and on all others."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from brittle.attacks import ATTACKS
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.testing import network
from brittle.testing.victims import inputs
from brittle.threats import THREATS
from registry import OPTIONS, each, quick, takes

SIZES = {"linf": 0.1, "l2": 0.3, "l1": 0.5, "l0": 2}
X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))


def stated(name: str) -> tuple[bool, float, float]:
    """(whether samples may leave early, forwards, backwards) that the list states, for the quick options."""
    entry, options = ATTACKS[name], {}
    for parameter in inspect.signature(entry.recipe).parameters.values():
        options[parameter.name] = parameter.default
    few = {"steps": 6} if "steps" in options else {}
    options |= OPTIONS.get(name, few)
    text, early = entry.cost.removeprefix("at most "), entry.cost.startswith("at most ")
    formula = text.replace(" x ", " * ")
    numbers = {k: v for k, v in options.items() if isinstance(v, int | float)} | {"classes": 4}

    def value(**passes: int) -> float:
        return float(eval(formula, {"__builtins__": {}, "max": max, "min": min}, numbers | passes))  # our own text

    return early, value(F=1, B=0), value(F=0, B=1)


def _trials(name: str) -> list[Trial]:
    """On a hopeless goal, where nothing leaves early, and on an easy one."""
    labels = VICTIM(X).argmax(1)
    hopeless = Classify(labels, (labels + 1) % 4, confidence=1 - 1e-12)
    trials = []
    for norm in (norm for norm in SIZES if takes(name, norm)):
        for eps, goal in ((SIZES[norm], hopeless), (SIZES[norm], Classify(labels)), (math.inf, Classify(labels))):
            trials.append(attempt(quick(name), VICTIM, THREATS[norm](eps), X, goal, torch.arange(7), 0))
    return trials


@pytest.mark.parametrize("name", each(SIZES))
def test_the_cost_is_what_the_list_says(name: str) -> None:
    early, forwards, backwards = stated(name)
    for trial in _trials(name):
        if early:
            assert int(trial.forwards.max()) <= forwards
            assert int(trial.backwards.max()) <= backwards
        else:
            assert (trial.forwards == forwards).all()
            assert (trial.backwards == backwards).all()


@pytest.mark.parametrize("name", each(SIZES))
@pytest.mark.parametrize("budget", [1, 7, 30])
def test_a_budget_is_hard_for_every_attack(name: str, budget: int) -> None:
    goal = Classify(VICTIM(X).argmax(1))
    for norm in (norm for norm in SIZES if takes(name, norm)):
        attack: Any = quick(name)
        trial = attempt(attack, VICTIM, THREATS[norm](SIZES[norm]), X, goal, torch.arange(7), 0, budget=budget)
        assert int((trial.forwards + trial.backwards).max()) <= budget
        assert trial.verdict.feasible.all()
