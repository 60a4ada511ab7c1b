"""EAD: the elastic net's own optimum, its rules, and what must not matter."""

from __future__ import annotations

import math

import pytest
import torch

import brittle
from brittle.attacks.minimum.ead import EAD
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.testing import linear
from brittle.testing.victims import inputs

SHAPE = (2, 5, 6)


def _attack(attack: EAD, victim: Victim, x: torch.Tensor, targeted: bool = False) -> Trial:
    labels = victim(x).argmax(1)
    goal = Classify(labels, 1 - labels if targeted else None)
    return attempt(attack, victim, brittle.l1(math.inf), x, goal, torch.arange(len(x)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
def test_a_high_price_of_l1_gives_the_nearest_point_in_l1(targeted: bool) -> None:
    model, x = linear(SHAPE, 2), inputs(SHAPE)
    trial = _attack(EAD(steps=200, beta=0.001, step_size=0.001), model.victim, x, targeted)
    ratio = trial.verdict.size / model.distance(x, model.victim(x).argmax(1), "l1")
    assert bool(trial.verdict.success.all())
    assert bool((ratio >= 1 - 1e-9).all())
    assert float(ratio.max()) <= 1.02


def test_without_a_price_of_l1_it_goes_along_the_gradient_and_that_is_the_nearest_point_in_l2() -> None:
    model, x = linear(SHAPE, 2), inputs(SHAPE)
    trial = _attack(EAD(steps=100, beta=1e-9, rule="en", weight=1e5, search=0, rounds=14), model.victim, x)
    size = (trial.x_adv - x).flatten(1).norm(dim=1)
    ratio = size / model.distance(x, model.victim(x).argmax(1), "l2")
    assert bool(trial.verdict.success.all())
    assert float(ratio.max()) <= 1.05


@pytest.mark.slow
def test_each_rule_keeps_what_is_smallest_by_it() -> None:
    model, x = linear(SHAPE, 2), inputs(SHAPE)
    one, net = (_attack(EAD(rule=rule, search=0), model.victim, x) for rule in ("l1", "en"))

    def elastic(trial: Trial) -> torch.Tensor:
        delta = (trial.x_adv - x).flatten(1) / 20
        return 0.01 * delta.abs().sum(1) + delta.square().sum(1)

    assert bool((one.verdict.size <= net.verdict.size).all())
    assert bool((elastic(net) <= elastic(one)).all())
    assert bool((one.verdict.size < net.verdict.size).any())


def test_neither_the_units_of_the_input_nor_those_of_the_outputs_matter() -> None:
    model, x = linear(SHAPE, 3), inputs(SHAPE)

    def forward(z: torch.Tensor) -> torch.Tensor:
        return 1024 * model.victim.forward(z / 8)

    scaled = brittle.as_victim(forward, (-80.0, 80.0))
    plain, other = _attack(EAD(steps=20), model.victim, x), _attack(EAD(steps=20), scaled, 8 * x)
    torch.testing.assert_close(other.verdict.size, 8 * plain.verdict.size, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"rounds": 0}, {"step_size": 0.0}, {"beta": -1.0}, {"weight": 0.0}, {"search": -1}, {"rule": "l2"}],
)
def test_refuses_what_makes_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(brittle.InputError, match=next(iter(options))):
        EAD(**options)  # type: ignore[arg-type]
