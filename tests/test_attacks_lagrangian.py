"""PDGD, PDPGD, ALMA and Carlini-Wagner: optimal where the optimum is known, and their parts as the papers write them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
import published
from brittle.attacks.minimum import alma
from brittle.attacks.minimum.alma import ALMA
from brittle.attacks.minimum.carlini_wagner import CW, _Curve
from brittle.attacks.minimum.primal_dual import PDGD, PDPGD
from brittle.core.goal import Classify
from brittle.core.losses import dlr
from brittle.core.trial import Trial, attempt
from brittle.data.open import open_data
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS

REACH = [
    (PDGD(steps=300), "l2"),
    (PDPGD(steps=300), "l2"),
    (PDPGD(steps=300), "linf"),
    (PDPGD(steps=300), "l1"),
    (ALMA(steps=300), "l2"),
    (ALMA(steps=300), "l1"),
    (CW(steps=60), "l2"),
    (CW(steps=60), "linf"),
]
IDS = [f"{type(attack).__name__}-{norm}" for attack, norm in REACH]
SHORT = [(replace(attack, steps=attack.steps // 3), norm) for attack, norm in REACH]  # where no distance is measured
RADIUS = 4.0


def _ball(x: Tensor) -> Tensor:
    """Class 0 inside a sphere around (0.3, ..., 0.3), class 1 outside, class 2 never."""
    square = (x.flatten(1) - 0.3).square().sum(1)
    return torch.stack([RADIUS**2 - square, torch.zeros_like(square), -square - 100], 1)


def _to_the_sphere(x: Tensor, norm: str) -> Tensor:
    """The smallest move (B,) from x onto the sphere: along the radius, along its signs, or along its largest entry."""
    way = (x.flatten(1) - 0.3).abs()
    square = way.square().sum(1)
    if norm == "l2":
        return RADIUS - square.sqrt()
    line = way.sum(1) / way.shape[1] if norm == "linf" else way.amax(1)
    rest = (RADIUS**2 - square) / (way.shape[1] if norm == "linf" else 1)
    return (line.square() + rest).sqrt() - line


def _run(attack: Any, victim: Any, norm: str, x: Tensor, goal: Classify, eps: float = math.inf) -> Trial:
    return attempt(attack, brittle.as_victim(victim, (-10, 10)), THREATS[norm](eps), x, goal, torch.arange(len(x)), 0)


@pytest.mark.parametrize(("attack", "norm"), REACH, ids=IDS)
@pytest.mark.parametrize("targeted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_nearest_point_of_a_sphere_is_found(attack: Any, norm: str, targeted: bool) -> None:
    """The boundary is curved, so that the linearised step is not the answer (it is 1.05 to 3 times as far)."""
    x = inputs((3, 4), dtype=torch.float64)
    labels = torch.zeros(7, dtype=torch.int64)
    trial = _run(attack, _ball, norm, x, Classify(labels, labels + 1 if targeted else None))
    ratio = trial.verdict.size / _to_the_sphere(x, norm)
    assert trial.verdict.success.all()
    assert float(ratio.min()) > 1
    if (
        isinstance(attack, ALMA) and norm == "l2"
    ):  # two points beside the centre, where the slope all but vanishes, end farther
        assert float(ratio.max()) < 1.5
        ratio = ratio.sort().values[:5]
    most = 1.1 if isinstance(attack, CW) else 1.1 if norm == "l1" else 1.02
    assert float(ratio.max()) < most, ratio


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "norm"), REACH, ids=IDS)
def test_linear_victims_of_many_classes(attack: Any, norm: str) -> None:
    model, x = linear((3, 4), 4, seed=5), inputs((3, 4), seed=5)
    labels = model.victim(x).argmax(1)
    goal = Classify(labels)
    trial = attempt(attack, model.victim, THREATS[norm](math.inf), x, goal, torch.arange(7), 0)
    ratio = trial.verdict.size / model.distance(x, labels, norm)
    assert float(ratio.min()) > 1 - 1e-9
    assert float(ratio.max()) < 1.02


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "norm"), REACH, ids=IDS)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_logits_hardly_matters(attack: Any, norm: str, scale: float) -> None:
    if isinstance(attack, ALMA):
        return  # its ratio does not feel the scale at all, but the multiplier's bounds do
    x = inputs((3, 4), dtype=torch.float64)
    goal = Classify(torch.zeros(7, dtype=torch.int64))
    trial = _run(attack, lambda x: scale * _ball(x), norm, x, goal)
    assert trial.verdict.success.all()
    ratio = trial.verdict.size / _to_the_sphere(x, norm)
    if (
        isinstance(attack, PDPGD) and scale < 1 and norm != "l2"
    ):  # its softplus is then a straight line, which pushes on after a win
        assert float(ratio.max()) < 2
    else:
        assert float(ratio.max()) < (1.4 if norm == "l1" else 1.1)


@pytest.mark.parametrize(("attack", "norm"), SHORT, ids=IDS)
def test_won_untouched_is_left_alone_and_asked_once(attack: Any, norm: str) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    right = victim(x).argmax(1)
    labels = torch.where(torch.arange(7) < 3, right, (right + 1) % 4)
    trial = attempt(attack, victim, THREATS[norm](math.inf), x, Classify(labels), torch.arange(7), 0)
    assert torch.equal(trial.x_adv[3:], x[3:])
    assert (trial.forwards[3:] == 1).all()
    assert (trial.verdict.size[:3] > 0).all()
    assert trial.verdict.success.all()


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "norm"), SHORT, ids=IDS)
def test_a_confidence_is_reached_and_costs_size(attack: Any, norm: str) -> None:
    model, x = linear((3, 4), 3, seed=2), inputs((3, 4), seed=2)
    labels = model.victim(x).argmax(1)
    sizes = []
    for wanted in (None, 0.9, 0.999):
        goal = Classify(labels, None, wanted)
        trial = attempt(attack, model.victim, THREATS[norm](math.inf), x, goal, torch.arange(7), 0)
        probability = model.victim(trial.x_adv).softmax(1).scatter(1, labels[:, None], 0).amax(1)
        assert (probability >= (wanted or 0.0)).all()
        sizes.append(trial.verdict.size)
    assert (torch.stack(sizes[1:]) > sizes[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "norm"), SHORT, ids=IDS)
def test_a_dead_start_is_left_at_random_and_answers_of_nan_do_no_harm(attack: Any, norm: str) -> None:
    x = inputs((3, 4), dtype=torch.float64)
    goal = Classify(torch.zeros(7, dtype=torch.int64))

    def flat(x: Tensor) -> Tensor:  # nothing changes near x
        return _ball(torch.where((x.flatten(1).abs().amax(1) < 1).view(-1, 1, 1), 0 * x, x))

    def broken(x: Tensor) -> Tensor:
        return _ball(x).where(x.flatten(1)[:, :1] < 1, math.nan)

    assert _run(attack, flat, norm, x, goal).verdict.success.float().mean() > 0.5
    with pytest.raises(brittle.InputError, match="NaN logits"):
        _run(attack, lambda x: _ball(x) * math.nan, norm, x, goal)
    for victim in (broken, lambda x: 0 * _ball(x), lambda x: 1e4 * _ball(x)):
        trial = _run(attack, victim, norm, x, goal)
        assert trial.x_adv.isfinite().all()
        assert trial.verdict.feasible.all()


def test_alma_s_ratio_and_penalty_are_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    goals = (Classify(outputs.argmax(1)), Classify(outputs.argmax(1), outputs.argmin(1)))
    for goal in goals:
        asked = outputs.clone().requires_grad_()
        reference = -dlr(asked, goal)
        if goal.targets is not None:  # the goal's margin, not the distance to the label
            gap = (dlr(asked, goal) / brittle.core.losses.logit_difference(asked, goal)).reciprocal()
            reference = -goal.margin(asked) / gap
        (slope,) = torch.autograd.grad(reference.sum(), asked)
        ratio, ours = alma._ratio(outputs, goal, torch.ones(7))
        torch.testing.assert_close(ratio, reference.detach(), rtol=1e-2, atol=1e-3)  # TOLERANCE is added
        torch.testing.assert_close(ours, slope, rtol=1e-2, atol=1e-3)
    d = torch.linspace(-3, 3, 61, dtype=torch.float64).requires_grad_()
    mu, rho = torch.tensor(0.7, dtype=torch.float64), torch.tensor(1.6, dtype=torch.float64)
    above = mu * d + mu * rho * d.square() + rho.square() * d.pow(3) / 6
    below = mu * d / (1 - rho * d.clamp_max(0))
    (slope,) = torch.autograd.grad(torch.where(d >= 0, above, below).sum(), d)
    torch.testing.assert_close(alma._rise(d.detach(), rho, mu), slope)


def test_the_curve_of_cw_begins_at_x_covers_the_box_and_bends_gradients() -> None:
    x = inputs((3, 4), bounds=(0.0, 1.0))
    x[0, 0], x[1, 1] = 0.0, 1.0
    region = THREATS["l2"](1.0).around(x, 0.0, 1.0)
    curve = _Curve.of(region)
    w = curve.back(x)
    torch.testing.assert_close(curve.point(w.tanh()), x, rtol=0, atol=1e-15)
    assert float(curve.point(torch.full_like(x, -50.0).tanh()).max()) < 2e-3
    assert float(curve.point(torch.full_like(x, 50.0).tanh()).min()) > 1 - 2e-3
    somewhere = inputs((3, 4), seed=1, bounds=(0.01, 0.99))
    torch.testing.assert_close(curve.point(curve.back(somewhere).tanh()), somewhere, rtol=0, atol=2e-3)
    asked = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad((x + (asked.tanh() - curve.bent) * curve.half).sin().sum(), asked)
    torch.testing.assert_close(curve.pull_(x.cos(), w.tanh()), slope)


@pytest.mark.parametrize("kind", [PDGD, PDPGD, ALMA, CW])
def test_bad_options_are_refused_with_a_sentence(kind: Any) -> None:
    for option in ({"steps": 0}, {"search": -1}, {"candidates": 0}):
        with pytest.raises(brittle.InputError, match="give [01] or more"):
            kind(**option)
    name = "first" if kind is ALMA else "step_size"
    with pytest.raises(brittle.InputError, match="positive"):
        kind(**{name: 0.0})


@pytest.mark.slow
@pytest.mark.data
def test_sizes_on_a_robust_network_are_those_of_the_original_implementations_or_smaller() -> None:
    """Medians over 50 images at 500 steps with adversarial-library: PDGD 1.40, PDPGD 1.43 (L2) and 3.16 (L1), ALMA 2.02, CW finds 3."""
    x, labels = open_data("mnist").batch(range(25))
    victim = brittle.as_victim(published.network("mnist_kw_eps01"), (0.0, 1.0))
    wanted = {
        (PDGD(steps=500), "l2"): 1.40,
        (PDPGD(steps=250), "l2"): 1.43,
        (PDPGD(steps=250), "l1"): 3.4,  # half the steps of the reference, and a little larger
        (ALMA(steps=250), "l2"): 2.2,
        (CW(steps=50, rounds=5), "l2"): 2.0,
        (CW(steps=50, rounds=20), "linf"): 0.18,  # 0.25 with steps of tau
    }
    for (attack, norm), most in wanted.items():
        trial = attempt(attack, victim, THREATS[norm](math.inf), x, Classify(labels), torch.arange(25), 0)
        assert trial.verdict.success.all()
        assert float(trial.verdict.size.median()) < most, (attack, norm, float(trial.verdict.size.median()))
