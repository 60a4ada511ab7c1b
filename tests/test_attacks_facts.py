"""Never outside, exactly optimal where the optimum is known, equal to one another where the papers say so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import brittle
from brittle.attacks import ATTACKS
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS
from registry import NAMES, each, quick, takes

NORMS = ["linf", "l2", "l1", "l0"]
EPS = {"linf": 0.05, "l2": 0.2, "l1": 0.6, "l0": 3}
X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))
LABELS = VICTIM(X).argmax(1)


def _run(attack: Any, norm: str = "linf", eps: float | None = None, rows: Any = None, **goal: Any) -> Trial:
    rows = torch.arange(7) if rows is None else torch.tensor(rows)
    threat = THREATS[norm](EPS[norm] if eps is None else eps)
    wanted = Classify(LABELS, **goal).select(rows)
    return attempt(attack, VICTIM, threat, X[rows], wanted, rows, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", each(NORMS))
@settings(max_examples=15, deadline=None)
@given(
    pick=st.integers(0, len(NORMS) - 1),
    share=st.floats(0.0, 1.0),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-0.4, 2.1)]),
    seed=st.integers(0, 50),
    double=st.booleans(),
)
def test_never_leaves_ball_or_box(
    name: str, pick: int, share: float, bounds: tuple[float, float], seed: int, double: bool
) -> None:
    taken = [norm for norm in NORMS if takes(name, norm)]
    norm = taken[pick % len(taken)]
    dtype = torch.float64 if double else torch.float32
    wide = bounds[1] - bounds[0]
    most = {"linf": wide, "l2": wide * 12**0.5, "l1": wide * 12, "l0": 12}[norm]
    eps = float(round(share * most)) if norm == "l0" else share * most
    x = inputs((3, 4), 3, seed, dtype, bounds)
    victim = network((3, 4), dtype=dtype, bounds=bounds)
    trial = attempt(quick(name), victim, THREATS[norm](eps), x, Classify(victim(x).argmax(1)), torch.arange(3), seed)
    # written out again, with a tolerance of rounding alone: a few units in the last place of the range, a feature
    assert float(trial.x_adv.min()) >= torch.tensor(bounds[0], dtype=dtype)
    assert float(trial.x_adv.max()) <= torch.tensor(bounds[1], dtype=dtype)
    delta = (trial.x_adv.double() - x.double()).flatten(1)
    size = {
        "linf": delta.abs().amax(1),
        "l2": delta.square().sum(1).sqrt(),
        "l1": delta.abs().sum(1),
        "l0": (delta != 0).sum(1).double(),
    }[norm]
    slack = 0 if norm == "l0" else 48 * torch.finfo(dtype).eps * max(abs(bounds[0]), abs(bounds[1]), wide)
    assert float(size.max()) <= eps + slack
    assert trial.verdict.feasible.all()


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 5, 6)])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_fgsm_is_exactly_optimal_on_two_linear_classes(norm: str, targeted: bool, shape: tuple[int, ...]) -> None:
    model, x = linear(shape, 2, seed=4), inputs(shape, seed=4)
    labels = model.victim(x).argmax(1)
    goal = Classify(labels, 1 - labels if targeted else None)
    distance = model.distance(x, labels, norm, goal.targets)
    assert (distance > 0).all()
    for row in range(7):
        one, exact = torch.tensor([row]), float(distance[row])
        below, above = (exact - 1, exact) if norm == "l0" else (0.999 * exact, 1.001 * exact)
        for eps, wins in ((below, False), (above, True)):
            trial = attempt(brittle.fgsm(), model.victim, THREATS[norm](eps), x[one], goal.select(one), one, 0)
            assert bool(trial.verdict.success) == wins
            assert trial.forwards.item() == trial.backwards.item() == 1


@pytest.mark.parametrize("name", each(["linf", "l2", "l1"]))
def test_it_wins_nothing_below_the_optimum_of_many_classes(name: str) -> None:
    model, x = linear((3, 4), 5, seed=2), inputs((3, 4), seed=2)
    labels = model.victim(x).argmax(1)
    for norm in (norm for norm in ("linf", "l2", "l1") if takes(name, norm)):
        distance = model.distance(x, labels, norm)
        for nearest in distance.sort().values[[0, 3]].tolist():
            threat = THREATS[norm](0.999 * nearest)
            trial = attempt(quick(name), model.victim, threat, x, Classify(labels), torch.arange(7), 0)
            assert not (trial.verdict.success & (distance > threat.eps)).any()


def test_the_distance_of_a_linear_victim_is_where_the_nearest_boundary_is() -> None:
    """Walk to the boundary by hand: the nearest other class gets exactly level there."""
    model, x = linear((3, 4), 3, seed=1), inputs((3, 4), seed=1)
    outputs = model.victim(x).detach()
    labels = outputs.argmax(1)
    distance = model.distance(x, labels, "l2")
    for row in range(7):
        y, z = int(labels[row]), outputs[row]
        ways = {j: model.weight[j] - model.weight[y] for j in range(3) if j != y}
        nearest = min(ways, key=lambda j: float(z[y] - z[j]) / float(ways[j].norm()))
        moved = x[row].flatten() + distance[row] * ways[nearest] / ways[nearest].norm()
        logits = model.weight @ moved + model.bias
        assert float(logits[nearest] - logits[y]) == pytest.approx(0, abs=1e-9)
        assert int(logits.argmax()) in (y, nearest)


@pytest.mark.parametrize("norm", NORMS)
def test_one_step_is_fgsm_and_no_momentum_is_ifgsm(norm: str) -> None:
    for targets in (None, (LABELS + 1) % 4):
        fgsm, one = (_run(attack, norm, targets=targets) for attack in (brittle.fgsm(), brittle.ifgsm(steps=1)))
        assert torch.equal(fgsm.x_adv, one.x_adv)
        plain, still = (_run(a, norm, targets=targets) for a in (brittle.ifgsm(5), brittle.mifgsm(5, momentum=0.0)))
        assert torch.equal(plain.x_adv, still.x_adv)
        assert not torch.equal(plain.x_adv, X)


def test_ifgsm_walks_as_the_paper_says() -> None:
    """x_{t+1} = clip(x_t + alpha * sign(grad)), written out again."""
    point, alpha = X.clone(), 0.05 / 5
    for _ in range(5):
        asked = point.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(VICTIM(asked), LABELS, reduction="sum")
        (grad,) = torch.autograd.grad(loss, asked)
        point = (point + alpha * grad.sign()).clamp(X - 0.05, X + 0.05).clamp(0, 1)
    torch.testing.assert_close(_run(brittle.ifgsm(5)).x_adv, point, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_accumulates_as_the_papers_say(nesterov: bool) -> None:
    """g_{t+1} = mu g_t + grad / mean|grad|, the gradient taken ahead for Nesterov; written out again."""
    weight = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    waves = brittle.as_victim(lambda x: torch.sin(4 * x.flatten(1) @ weight))  # gradients that turn at every step
    labels = waves(X).argmax(1)
    alpha, decay, point, momentum = 0.1, 0.4, X.clone(), torch.zeros_like(X)
    low, high = (X - 0.3).clamp_min(0), (X + 0.3).clamp_max(1)
    for _ in range(6):
        ahead = (point + alpha * decay * momentum).clamp(low, high) if nesterov else point
        asked = ahead.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(waves(asked), labels, reduction="sum")
        (grad,) = torch.autograd.grad(loss, asked)
        momentum = decay * momentum + grad / grad.flatten(1).abs().mean(1).view(-1, 1, 1)
        point = (point + alpha * momentum.sign()).clamp(low, high)
    attack = (brittle.nifgsm if nesterov else brittle.mifgsm)(6, step_size=alpha, momentum=decay)
    trial = attempt(attack, waves, brittle.linf(0.3), X, Classify(labels), torch.arange(7), 0)
    torch.testing.assert_close(trial.x_adv, point, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_keeping_the_best_is_never_worse_than_the_last(norm: str) -> None:
    best, last = (
        _run(brittle.GradientAscent(steps=6, reach=6.0, start="random", keep=keep), norm).verdict.margin
        for keep in ("best", "last")
    )
    assert (best >= last).all()


def test_the_best_is_kept_where_the_last_is_worse() -> None:
    """A victim that is won only on the way: z_1 - z_0 peaks at x = 0.6, and the steps overshoot it."""

    def hill(x: Tensor) -> Tensor:
        top = 0.1 - (x.flatten(1)[:, 0] - 0.6).abs()
        return torch.stack([torch.zeros_like(top), top], 1)

    victim, x = brittle.as_victim(hill), torch.full((3, 2), 0.35)
    goal = Classify(torch.zeros(3, dtype=torch.int64))
    for keep, wins in (("best", True), ("last", False)):
        attack = brittle.GradientAscent(steps=4, step_size=0.2, keep=keep)  # 0.35 0.55 0.75 0.55 0.75
        trial = attempt(attack, victim, brittle.linf(0.5), x, goal, torch.arange(3), 0)
        assert bool(trial.verdict.success.all()) == wins


@pytest.mark.parametrize("norm", NORMS)
def test_stopping_changes_no_verdict_and_saves_queries(norm: str) -> None:
    stopped, whole = (_run(brittle.pgd(20, stop=stop), norm, 4 * EPS[norm]) for stop in (True, False))
    assert torch.equal(stopped.verdict.success, whole.verdict.success)
    won = whole.verdict.success
    assert won.any()
    assert (stopped.forwards[won] < 21).all()
    assert (stopped.forwards[~won] == 21).all()
    assert (whole.forwards == 21).all()
    assert (whole.backwards == 20).all()


def test_repeated_fgsm_goes_on_until_the_confidence_is_reached_and_no_further() -> None:
    victim, x = linear((3, 4), 4).victim, inputs((3, 4))
    labels = victim(x).argmax(1)
    targets = (labels + 1) % 4

    def attack(confidence: float | None) -> Trial:
        goal = Classify(labels, targets, confidence)
        return attempt(brittle.repeated_fgsm(200), victim, brittle.linf(5), x, goal, torch.arange(7), 0)

    plain, sure = attack(None), attack(0.95)
    probability = victim(sure.x_adv).softmax(1).gather(1, targets[:, None]).squeeze(1)
    assert plain.verdict.success.all()
    assert sure.verdict.success.all()
    assert (probability > 0.95).all()
    assert (probability < 0.9999).all()  # and no further
    assert (plain.verdict.size < sure.verdict.size).all()
    assert (plain.forwards < sure.forwards).all()


@pytest.mark.parametrize("attack", [brittle.pgd(3, stop=False), brittle.uniform_noise(2)])
def test_restarts_lower_no_margin_and_leave_alone_what_is_won(attack: Any) -> None:
    one, many = (_run(brittle.Restarts(attack, count), eps=0.12) for count in (1, 6))
    assert (many.verdict.success >= one.verdict.success).all()
    assert (many.verdict.margin >= one.verdict.margin).all()
    assert torch.equal(many.forwards[one.verdict.success], one.forwards[one.verdict.success])
    assert (many.forwards[~many.verdict.success] == 6 * one.forwards[0]).all()
    assert (many.verdict.margin > one.verdict.margin).any()  # later runs draw other numbers


def test_the_best_of_more_noise_is_no_worse() -> None:
    few, many = (_run(brittle.uniform_noise(draws), "l2", 1.0) for draws in (2, 30))
    assert (many.verdict.margin >= few.verdict.margin).all()
    assert (many.forwards == 30).all()
    assert (_run(brittle.uniform_noise()).forwards == 0).all()


def test_gradients_are_averaged_over_draws_of_a_random_victim() -> None:
    """A victim whose gradient has the wrong sign on one draw of three: the mean is right."""
    calls = []

    def fickle(x: Tensor) -> Tensor:
        calls.append(1)
        slope = -1.0 if len(calls) % 3 == 1 else 1.0
        rise = slope * x.flatten(1).sum(1)
        return torch.stack([torch.zeros_like(rise), rise], 1)

    victim, labels = brittle.as_victim(fickle), torch.zeros(7, dtype=torch.int64)
    for draws, up in ((1, False), (3, True)):
        calls.clear()
        attack = brittle.GradientAscent(steps=1, draws=draws, loss="margin")
        trial = attempt(attack, victim, brittle.linf(0.1), torch.full((7, 5), 0.5), Classify(labels), labels, 0)
        assert bool((trial.x_adv > 0.5).all()) == up
        assert (trial.backwards == draws).all()


@pytest.mark.parametrize("name", each(NORMS))
@pytest.mark.parametrize("norm", NORMS)
def test_batch_size_order_and_subset_change_nothing(name: str, norm: str) -> None:
    if not takes(name, norm):
        return
    threat, attack = THREATS[norm](EPS[norm]), quick(name)
    whole = brittle.attack(attack, VICTIM, X, LABELS, threat)
    parts = brittle.attack(attack, VICTIM, X, LABELS, threat, batch_size=3)
    torch.testing.assert_close(parts.x_adv, whole.x_adv, rtol=0, atol=1e-9)
    assert torch.equal(parts.forwards, whole.forwards)
    rows = torch.tensor([4, 6, 0])
    chosen = brittle.attack(attack, VICTIM, X[rows], LABELS[rows], threat, ids=rows)
    torch.testing.assert_close(chosen.x_adv, whole.x_adv[rows], rtol=0, atol=1e-9)
    drawing = name in ("pgd", "uniform_noise", "gaussian_noise")
    if drawing or name in ("fgsm", "ifgsm", "mifgsm", "nifgsm", "repeated_fgsm"):
        other = brittle.attack(attack, VICTIM, X, LABELS, threat, seed=1)
        assert torch.equal(other.x_adv, whole.x_adv) != drawing


def test_an_undefined_derivative_stops_only_its_own_feature() -> None:
    """At a root of zero the derivative is infinite times zero, which is NaN; the other features must still move."""

    def rooted(x: Tensor) -> Tensor:
        rise = (x.flatten(1)[:, 0] * 0).sqrt() + x.flatten(1)[:, 1:].sum(1)
        return torch.stack([torch.zeros_like(rise), rise - 2.5], 1)

    victim, labels = brittle.as_victim(rooted), torch.zeros(7, dtype=torch.int64)
    for attack in (brittle.fgsm(), brittle.pgd(5), brittle.mifgsm(5)):
        trial = attempt(attack, victim, brittle.linf(0.2), torch.full((7, 5), 0.5), Classify(labels), labels, 0)
        assert trial.verdict.feasible.all()
        assert trial.verdict.success.all()


def test_robust_accuracy_counts_what_is_right_and_not_won() -> None:
    wrong = LABELS.clone()
    wrong[:2] = (LABELS[:2] + 1) % 4
    outcome = brittle.attack(brittle.fgsm(), VICTIM, X, wrong, brittle.linf(0.0))
    assert outcome.clean_correct.tolist() == [False] * 2 + [True] * 5
    assert outcome.robust_accuracy == pytest.approx(5 / 7)
    assert "2 of 7 won, robust accuracy 71 %" in repr(outcome)


def test_strings_are_attacks() -> None:
    assert brittle.parse_attack("pgd:steps=7,loss=dlr,step_size=1/255") == brittle.pgd(7, 1 / 255, "dlr")
    assert brittle.parse_attack("pgd:restarts=3,stop=false") == brittle.pgd(restarts=3, stop=False)
    assert brittle.parse_attack("ifgsm:step_size=none") == brittle.ifgsm()
    for name in NAMES:
        assert brittle.parse_attack(name) == ATTACKS[name].recipe()
