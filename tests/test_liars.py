"""The liars lie, in the way that they are said to; the honest do not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.goal import Classify
from brittle.core.losses import find_slope
from brittle.core.victim import Victim, digest_of
from liar_layers import Detector, twin
from liar_measures import BLACK, NAIVE, SYMPTOMS, WHITE, accuracy, best_known, naive, proposals
from liar_training import fit, held_out, mlp
from liars import HONEST, LIARS, MISTAKES

REMEDIES = {"before-softmax", "rescale", "straight-through", "draws", "black-box", "rejection"}
CAUSES = {
    "probabilities",
    "log-probabilities",
    "underflow",
    "zero-gradient",
    "no-gradient",
    "random",
    "optimisation-at-inference",
    "normalisation",
    "training-mode",
    *SYMPTOMS,
}


def _expecting(kind: str) -> list[str]:
    return [name for name, liar in LIARS.items() if kind in liar.expects]


def _slopes(net: nn.Module, x: Tensor, labels: Tensor, loss: str = "margin") -> Tensor:
    """The gradient (B, N) of the loss at x."""
    asked = x.clone().requires_grad_()
    outputs = net(asked)
    (slope,) = torch.autograd.grad(outputs, asked, find_slope(loss)(outputs.detach(), Classify(labels)))
    return slope.flatten(1)


def _nearby(x: Tensor, eps: float) -> Tensor:
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + eps * (2 * noise - 1)).clamp(0, 1)


def test_there_are_enough_liars_and_each_names_what_is_wrong_and_what_mends_it() -> None:
    assert len(LIARS) >= 20
    for name, liar in LIARS.items():
        assert liar.expects, name
        assert {*liar.expects, *liar.also} <= CAUSES, name
        assert liar.remedy in REMEDIES, name
    assert {liar.remedy for liar in LIARS.values()} == REMEDIES
    assert all({*mistake.expects} <= CAUSES for mistake in MISTAKES.values())


def test_the_same_arguments_train_the_same_network_and_leave_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    one, other, another = (fit(mlp, epochs=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert digest_of(one) == digest_of(other) != digest_of(another)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIARS)
def test_a_liar_works_and_looks_ten_points_more_robust_than_it_is(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out()
    assert not any(module.training for module in liar.build().modules())
    assert accuracy(liar.build(), x, labels, [], liar.random) >= 0.8
    lost = best_known(liar, x, labels)
    assert naive(liar, x, labels) - lost >= 0.1
    assert lost <= 0.12


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_network_is_as_robust_as_it_looks(name: str) -> None:
    honest, (x, labels) = HONEST[name], held_out()
    net = honest.build()
    assert accuracy(net, x, labels, []) >= 0.95
    tries = [proposals(attack, net, honest.eps, x, labels) for attack in (NAIVE, *WHITE, *BLACK)]
    worst = accuracy(net, x, labels, [points for points in tries if points is not None])
    assert len(tries) == 4
    assert 0.2 <= worst <= 0.9
    assert naive(honest, x, labels) - worst <= 0.04


@pytest.mark.slow
@pytest.mark.parametrize("name", LIARS)
def test_only_random_liars_answer_otherwise_the_second_time(name: str) -> None:
    liar, (x, _) = LIARS[name], held_out(20)
    net = liar.build()
    with torch.no_grad(), Victim(net, module=net).undisturbed(0):
        again = torch.equal(net(x), net(x))
    assert again != liar.random
    assert liar.random == ("random" in liar.expects)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIARS)
def test_autograd_breaks_where_it_is_said_to(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out(20)
    points = proposals(NAIVE, liar.build(), liar.eps, x, labels)
    assert (points is None) == ("no-gradient" in liar.expects)


@pytest.mark.slow
@pytest.mark.parametrize("name", _expecting("zero-gradient"))
def test_the_margin_has_no_slope_at_most_points_of_the_ball(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out()
    point = _nearby(x, liar.eps)
    none = (_slopes(liar.build(), point, labels) == 0).all(1)
    assert float(none.double().mean()) >= 0.8
    if not isinstance(liar.build(), Detector):
        assert bool((_slopes(twin(liar.build()), point, labels) != 0).any(1).all())


@pytest.mark.slow
@pytest.mark.parametrize("name", _expecting("underflow"))
def test_the_cross_entropy_is_at_the_end_of_its_scale_and_the_margin_is_not(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out()
    net = liar.build()
    with torch.no_grad():
        spread = (net(x).amax(1) - net(x).amin(1)).median()
    none = (_slopes(net, x, labels, "cross_entropy") == 0).all(1)
    assert float(none.double().mean()) >= 0.3 or float(spread) <= 0.01
    assert bool((_slopes(net, x, labels) != 0).any(1).all())


@pytest.mark.slow
@pytest.mark.parametrize("name", _expecting("black-box"))
def test_scores_find_what_gradients_miss(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out()
    net = liar.build()
    (blind,) = (proposals(attack, net, liar.eps, x, labels) for attack in BLACK)
    assert blind is not None
    assert naive(liar, x, labels) - accuracy(net, x, labels, [blind]) >= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", _expecting("noisy-surface"))
def test_slopes_a_small_step_apart_have_nothing_in_common(name: str) -> None:
    liar, (x, labels) = LIARS[name], held_out()
    here, there = _nearby(x, liar.eps), _nearby(_nearby(x, liar.eps), liar.eps / 4)

    def likeness(net: nn.Module) -> float:
        slopes = (_slopes(net, point, labels) for point in (here, there))
        return float(torch.cosine_similarity(*slopes).mean())

    assert likeness(liar.build()) < 0.5 < 0.8 < likeness(HONEST["plain"].build())


def test_total_variation_differentiates_inside_the_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: calls.append(1) or real(*args, **more))
    x, _ = held_out(5)
    LIARS["total-variation"].build()(x)
    inside = len(calls)
    LIARS["quantised-8-bit"].build()(x)
    assert inside > 0
    assert len(calls) == inside


@pytest.mark.parametrize("name", ["quantised-8-bit", "quantised-4-bit", "jpeg", "lookup", "numpy", "total-variation"])
def test_a_straight_through_twin_decides_as_the_liar_does(name: str) -> None:
    net, (x, labels) = LIARS[name].build(), held_out(20)
    through = twin(net)
    with torch.no_grad():
        assert torch.equal(through(x), net(x)) or bool(((through(x) - net(x)).abs().amax() < 1e-4).all())
    assert bool((_slopes(through, x, labels) != 0).any(1).all())


@pytest.mark.slow
def test_what_is_rejected_is_neither_right_nor_won() -> None:
    net, (x, labels) = LIARS["detector"].build(), held_out()
    noisy = _nearby(x, 0.2)
    with torch.no_grad():
        outputs, clean = net(noisy), net(x)
    rejected = (outputs == 0).all(1)
    assert float(rejected.double().mean()) >= 0.8
    margin = Classify(labels).margin(outputs)
    assert bool((margin[rejected] == 0).all())
    assert float((clean == 0).all(1).double().mean()) <= 0.05
    outcome = brittle.attack(brittle.uniform_noise(), net, x, labels, brittle.linf(0.2))
    assert not bool(outcome.success[(net(outcome.x_adv) == 0).all(1)].any())


@pytest.mark.slow
def test_the_mistakes_are_mistakes() -> None:
    x, labels = held_out()
    left = MISTAKES["training-mode"].make()
    with torch.no_grad(), Victim(left, module=left).undisturbed(0):
        left[7].eval()  # the dropout, so that only the batch makes a difference
        together, alone = left(x)[:20], left(x[:20])
    assert left.training
    assert float((together - alone).abs().amax()) > 0.1
    with torch.no_grad():
        wrong = MISTAKES["not-normalised"].make()
        right = HONEST["normalised"].build()
        lost = (right(x).argmax(1) == labels).double().mean() - (wrong(x).argmax(1) == labels).double().mean()
    assert float(lost) >= 0.2
