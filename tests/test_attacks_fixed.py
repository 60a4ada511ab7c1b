"""CR, cycle detection, SLIDE and PGD in L0: what is special about each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import brittle
import published
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.data.open import open_data
from brittle.testing import linear, network
from brittle.testing.victims import inputs

X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))
GOAL = Classify(VICTIM(X).argmax(1))
IDS = torch.arange(7)


@pytest.mark.parametrize("eps", [0.02, 0.1, 0.2])
def test_cycle_detection_gives_what_all_the_steps_give(eps: float) -> None:
    quick = brittle.parse_attack("pgd_cd:steps=400")
    slow = brittle.GradientAscent(steps=400, reach=100, start="random", keep="best", stop=True)
    one, other = (attempt(attack, VICTIM, brittle.linf(eps), X, GOAL, IDS, 0) for attack in (quick, slow))
    assert torch.equal(one.x_adv, other.x_adv)
    if not bool(other.verdict.success.all()):
        assert one.backwards.sum() < 0.5 * other.backwards.sum()


def test_cycle_detection_needs_a_loop_without_memory() -> None:
    for options in ({"momentum": 1.0}, {"draws": 2}):
        with pytest.raises(brittle.InputError, match="comes back"):
            brittle.GradientAscent(steps=9, cycles=True, **options)


def test_relaxation_looks_only_inside_the_region() -> None:
    """It walks outside, but what it keeps is inside, and it wins what lies between the box's corners and the ball."""
    asked: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(x.detach())
            return VICTIM(x)

    attack: Any = brittle.parse_attack("cr:restarts=1,cycle=9,cycles=2")
    victim = brittle.as_victim(Watching().eval())
    trial = attempt(attack, victim, brittle.linf(0.01), X, GOAL, IDS, 0)
    assert trial.verdict.feasible.all()
    far = max(float((x[:7] - X).abs().max()) for x in asked if len(x) == 7)
    assert 0.0149 < far < 0.0151  # half a radius outside


def test_a_steered_class_is_what_relaxation_walks_to() -> None:
    """With a target it is the only class tried; a model of two classes has but one."""
    goal = Classify(GOAL.labels, (GOAL.labels + 1) % 4)
    attack: Any = brittle.parse_attack("cr:restarts=1,cycle=9,cycles=2")
    trial = attempt(attack, VICTIM, brittle.linf(0.5), X, goal, IDS, 0)
    assert torch.equal(trial.verdict.predicted[trial.verdict.success], goal.targets[trial.verdict.success])  # type: ignore[index]
    assert trial.verdict.success.any()
    two = linear((5,), 2)
    x = inputs((5,))
    assert attempt(
        attack, two.victim, brittle.l2(3.0), x, Classify(two.victim(x).argmax(1)), IDS, 0
    ).verdict.success.all()


def test_slide_spreads_its_step_over_the_share_of_features() -> None:
    points: list[Tensor] = []
    model = linear((40,), 2)
    x = inputs((40,))

    attack: Any = brittle.parse_attack("slide:steps=1,share=0.1,step_size=0.01")
    goal = Classify(model.victim(x).argmax(1))

    def forward(z: Tensor) -> Tensor:
        points.append(z.detach().clone())
        return model.victim(z)

    victim = brittle.as_victim(forward, (-10.0, 10.0))
    attempt(attack, victim, brittle.l1(1.0), x, goal, IDS, 0)
    move = points[1] - points[0]
    assert ((move != 0).sum(1) == 4).all()
    assert torch.allclose(move.abs().sum(1), torch.full((7,), 0.01, dtype=x.dtype))


@pytest.mark.parametrize(("name", "norm"), [("slide", "l1"), ("pgd0", "l0")])
def test_enough_of_the_norm_wins_linear_victims(name: str, norm: str) -> None:
    model, x = linear((3, 4), 2, bounds=(-2.0, 2.0)), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    distance = model.distance(x, labels, norm)
    for row in range(7):
        one = torch.tensor([row])
        eps = float(distance[row]) + 1 if norm == "l0" else 1.5 * float(distance[row])
        threat = brittle.parse_threat(f"{norm}:{eps}")
        assert attempt(
            brittle.parse_attack(name), model.victim, threat, x[one], Classify(labels[one]), one, 0
        ).verdict.success


@pytest.mark.slow
@pytest.mark.data
def test_relaxation_is_stronger_than_pgd_at_half_the_cost() -> None:
    """A network trained against Linf 0.3, 100 digits: PGD of 2 x 100 steps against CR."""
    module = published.network("mnist_madry_tiny")
    x, labels = open_data("mnist").batch(range(100))
    right = module(x).argmax(1) == labels
    outcomes = [
        brittle.attack(brittle.parse_attack(text), module, x[right], labels[right], brittle.linf(0.3))
        for text in ("pgd:steps=100,restarts=2", "cr")
    ]
    assert outcomes[1].success.sum() >= outcomes[0].success.sum()
    assert outcomes[1].backwards.sum() < 0.5 * outcomes[0].backwards.sum()
