"""Directions on what a layer says, each against its formula, and what becomes of the layer and of a budget."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import brittle
import published
import vision_ops  # noqa: F401 - the network imports torchvision
from brittle.attacks.directions import DIRECTIONS, FeatureImportance, NeuronAttribution, PerturbationDecay
from brittle.core.goal import Classify
from brittle.core.record import Record
from brittle.core.trial import attempt
from brittle.core.victim import Victim, as_victim
from brittle.data.open import open_data
from brittle.testing.victims import inputs
from surrogates import back, bent, jacobian, problem, surrogate

X = inputs((6,))
POINT = X + inputs((6,), seed=3) / 4
FEW: dict[str, Any] = {
    "ilpd": PerturbationDecay(layer="a"),
    "fia": FeatureImportance(layer="a", copies=3),
    "naa": NeuronAttribution(layer="a", samples=3, negative=0.5),
}


def chain(net: Any, x: Tensor) -> Tensor:
    return net.out(net.act(net.b(net.relu(net.a(x)))))


def cut(victim: Victim) -> tuple[Any, Any]:
    """The first half of `chain`, up to what the layer a says, and the rest."""
    net: Any = victim.module
    return net.a, lambda f: net.out(net.act(net.b(F.relu(f))))


def own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).sum()


def unit(w: Tensor) -> Tensor:
    return w / w.norm(dim=1, keepdim=True)


def slope(function: Any, at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    (grad,) = torch.autograd.grad(function(at), at)
    return grad


@pytest.mark.parametrize("inplace", [False, True])
def test_a_perturbation_is_decayed_at_the_layer(inplace: bool) -> None:
    victim = surrogate(chain, inplace)
    first, rest = cut(victim)
    labels = victim(X).argmax(1)
    mixed = first(X) + 0.3 * (first(POINT) - first(X))
    expected = back(jacobian(first, POINT), 0.3 * slope(lambda f: -own(rest(f), labels), mixed))
    given = problem(victim, X)
    assert torch.allclose(bent(given, PerturbationDecay(layer="a", decay=0.3, noise=0.0))(POINT), expected)
    assert (given.door.ledger.forwards == 2).all()
    assert (given.door.ledger.backwards == 1).all()
    whole = PerturbationDecay(layer="a", decay=1.0)
    assert torch.allclose(bent(problem(victim, X), whole)(POINT), bent(problem(victim, X))(POINT))


def test_a_layer_that_is_called_twice_is_changed_once() -> None:
    victim = surrogate(lambda net, x: net.out(net.act(net.b(net.act(net.a(x))))))
    net: Any = victim.module
    labels = victim(X).argmax(1)
    f = net.act(net.a(POINT))
    mixed = net.act(net.a(X)) + 0.3 * (f - net.act(net.a(X)))
    grad = slope(lambda h: -own(net.out(net.act(net.b(h))), labels), mixed)
    expected = back(jacobian(lambda x: net.act(net.a(x)), POINT), 0.3 * grad)
    made = bent(problem(victim, X), PerturbationDecay(layer="act", decay=0.3, noise=0.0))(POINT)
    assert torch.allclose(made, expected)


def test_the_clean_input_gets_noise_of_its_size_drawn_anew() -> None:
    seen: list[Tensor] = []

    def noting(net: Any, x: Tensor) -> Tensor:
        seen.append(x.detach())
        return chain(net, x)

    climb = bent(problem(surrogate(noting), X), PerturbationDecay(layer="a", noise=0.05))
    seen.clear()
    for _ in range(50):
        climb(POINT)
    assert torch.equal(seen[1], POINT)
    noise = torch.stack(seen[::2]) - X
    assert abs(float(noise.std()) - 0.05 * 18) < 0.03  # the bounds are 18 apart
    assert noise.flatten().unique().numel() == noise.numel()


@pytest.mark.parametrize("inplace", [False, True])
def test_features_that_matter_are_pushed_down(inplace: bool) -> None:
    """The weights by hand, from the masked inputs that the surrogate was shown."""
    seen: list[Tensor] = []

    def noting(net: Any, x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return chain(net, x)

    victim = surrogate(noting, inplace)
    first, rest = cut(victim)
    given = problem(victim, X)
    labels = given.classes.labels
    seen.clear()
    climb = bent(given, FeatureImportance(layer="a", copies=20, drop=0.3))
    assert len(seen) == 20
    assert (given.door.ledger.forwards == 20).all()
    assert (given.door.ledger.backwards == 20).all()
    masked = torch.stack(seen)
    assert torch.equal(masked, X * (masked != 0))
    assert abs(float((masked == 0).double().mean()) - 0.3) < 0.05
    assert bool((masked == 0).any(0).any(0).all())
    weights = sum(slope(lambda f: own(rest(f), labels), first(x)) for x in masked)
    expected = -back(jacobian(first, POINT), unit(weights))
    assert torch.allclose(climb(POINT), expected)
    assert (given.door.ledger.forwards == 21).all()
    assert (given.door.ledger.backwards == 21).all()
    targets = (labels + 1) % 3
    aimed = problem(victim, X, Classify(labels, targets))
    weights = slope(lambda f: own(rest(f), targets), first(X))
    expected = back(jacobian(first, POINT), unit(weights))
    assert torch.allclose(bent(aimed, FeatureImportance(layer="a", copies=1, drop=0.0))(POINT), expected)


def test_attributions_are_pushed_down_and_those_below_zero_count_less() -> None:
    victim = surrogate(chain)
    first, rest = cut(victim)
    given = problem(victim, X)
    labels = given.classes.labels
    path = [X * i / 4 for i in (1, 2, 3, 4)]
    weights = unit(sum(slope(lambda f: own(rest(f).softmax(1), labels), first(x)) for x in path))
    attribution = weights * (first(POINT) - first(torch.zeros_like(X)))
    assert bool((attribution < 0).any())
    kept = torch.where(attribution < 0, 0.4 * weights, weights)
    made = bent(given, NeuronAttribution(layer="a", samples=4, negative=0.4))(POINT)
    assert torch.allclose(made, -back(jacobian(first, POINT), kept))
    assert (given.door.ledger.forwards == 6).all()
    assert (given.door.ledger.backwards == 5).all()
    whole = bent(problem(victim, X), NeuronAttribution(layer="a", samples=4))(POINT)
    assert torch.allclose(whole, -back(jacobian(first, POINT), weights))


def test_a_sure_surrogate_has_attributions_too() -> None:
    victim = surrogate(lambda net, x: 1e2 * chain(net, x.double()))
    made = bent(problem(victim, X), NeuronAttribution(layer="a", samples=1))(X)
    assert float(made.norm(dim=1).min()) > 1e-3


def test_what_goes_round_the_layer_is_not_looked_at() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.out(x + net.act(net.a(x)))

    victim = surrogate(forward)
    net: Any = victim.module
    made = bent(problem(victim, X), FeatureImportance(layer="a", copies=1, drop=0.0))(X)
    labels = victim(X).argmax(1)
    weights = unit(slope(lambda f: own(net.out(X + net.act(f)), labels), net.a(X)))
    assert torch.allclose(made, -weights @ net.a.weight.detach())


def test_the_half_is_found_in_any_network_and_is_the_default() -> None:
    victim = surrogate(chain)
    for kind, options in (
        (FeatureImportance, {"copies": 2}),
        (NeuronAttribution, {"samples": 2}),
        (PerturbationDecay, {}),
    ):
        given, beside = problem(victim, X), problem(victim, X)
        default, named = bent(given, kind(**options))(POINT), bent(beside, kind(layer="relu", **options))(POINT)
        assert torch.equal(default, named), kind
        assert (given.door.ledger.forwards == beside.door.ledger.forwards + 1).all()
        assert (given.door.ledger.backwards == beside.door.ledger.backwards).all()


def test_they_compose_in_any_order_with_a_surrogate_run_another_way() -> None:
    victim = surrogate(lambda net, x: net.out(net.act(x + net.b(net.act(net.a(x))))))
    goal = Classify(victim(X).argmax(1))
    made = {
        text: attempt(
            brittle.parse_attack(f"mifgsm:steps=3+{text}"), victim, brittle.l2(0.5), X, goal, torch.arange(7), 0
        ).x_adv
        for text in (
            "sgm+fia:layer=b,copies=2",
            "fia:layer=b,copies=2+sgm",
            "fia:layer=b,copies=2",
            "fia:layer=act,copies=2+sgm",
        )
    }
    one, other, alone, _ = made.values()
    assert torch.allclose(one, other)
    assert torch.allclose(one, alone)  # the branch ends at the layer b: nothing before it is decayed
    named = brittle.parse_attack("mifgsm+sgm+fia:layer=net.layer3+di")
    assert isinstance(named, brittle.attacks.GradientAscent)
    assert named.directions[1] == FeatureImportance(layer="net.layer3")


@pytest.mark.parametrize("name", FEW)
def test_a_sample_is_treated_the_same_whoever_is_beside_it(name: str) -> None:
    victim = surrogate(chain)
    attack, goal = (
        brittle.compose(brittle.mifgsm(4), FEW[name], DIRECTIONS["vt"](neighbours=2)),
        Classify(victim(X).argmax(1)),
    )

    def run(rows: Tensor) -> Tensor:
        return attempt(attack, victim, brittle.linf(0.1), X[rows], goal.select(rows), rows, 0).x_adv

    whole = run(torch.arange(7))
    for rows in ([4], [6, 0, 3]):
        assert float((run(torch.tensor(rows)) - whole[rows]).abs().max()) < 1e-9
    assert len(run(torch.arange(0))) == 0


@pytest.mark.parametrize("name", [*FEW, "ghost"])
@pytest.mark.parametrize("spent", [17, 20])
def test_a_sample_without_budget_takes_nothing_from_the_others(name: str, spent: int) -> None:
    """Two of seven have spent most of the budget before: the rest ends where it ends without them."""
    victim = surrogate(lambda net, x: net.out(net.act(x + net.b(net.relu(net.a(x))))))
    attack = brittle.compose(brittle.mifgsm(3), FEW.get(name) or DIRECTIONS[name]())

    def run(poor: list[int]) -> Tensor:
        given = problem(victim, X)
        given.door.ledger.forward.charge(torch.tensor(poor, dtype=torch.int64).repeat_interleave(spent))
        door = replace(given.door, budget=20)
        return attack(replace(given, door=door, record=Record.at(X, False)))

    rich = [0, 2, 3, 5, 6]
    assert torch.allclose(run([1, 4])[rich], run([])[rich])


class Stubborn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused, self.calls = nn.Linear(6, 6), nn.Linear(6, 3), nn.Linear(6, 6), 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.b(torch.tanh(self.a(x)))
        self.calls += 1
        if self.calls == 6:
            raise RuntimeError("out of memory")
        return logits


@pytest.mark.parametrize(
    "text", ["ilpd:layer=a", "fia:layer=a,copies=3", "naa:layer=a,samples=2", "fia:layer=a,copies=9"]
)
def test_no_hook_stays_behind_whatever_happens(text: str) -> None:
    module = Stubborn().eval()
    x = X.float()
    with pytest.raises(RuntimeError, match="out of memory"):
        attempt(
            brittle.parse_attack(f"mifgsm+{text}"),
            as_victim(module, (-9, 9)),
            brittle.linf(0.1),
            x,
            Classify(torch.zeros(7).long()),
            torch.arange(7),
            0,
        )
    assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_layers_that_will_not_do_are_refused_in_a_sentence() -> None:
    def refused(direction: Any, victim: Victim, sentence: str) -> None:
        with pytest.raises(brittle.InputError, match=sentence):
            bent(problem(victim, X), direction)(X)

    stubborn = as_victim(Stubborn().double().eval(), (-9, 9), name="mine")
    refused(FeatureImportance(layer="c"), stubborn, "layer 'c'")
    refused(PerturbationDecay(layer="unused"), stubborn, "the layer 'unused' is not run when the surrogate is called")
    bare = Victim(stubborn.forward.forward, -9, 9, "mine")  # type: ignore[attr-defined]
    refused(NeuronAttribution(), bare, "naa needs a layer of the surrogate, and mine is a function without layers")
    beside = surrogate(lambda net, x: net.out(x) + 0 * net.a(x).detach()[:, :3])
    refused(FeatureImportance(layer="a"), beside, "nothing goes from the layer 'a' to the outputs")
    flat = surrogate(lambda net, x: net.out(net.act(x.reshape(-1, 3)).reshape(-1, 6)))
    refused(FeatureImportance(layer="act"), flat, "the layer 'act' gives 14 rows for 7 inputs")
    parallel = surrogate(lambda net, x: net.a(x)[:, :3] + net.b(x)[:, :3])
    refused(FeatureImportance(), parallel, "fia finds no layer of mine through which everything goes")
    for text in ("ilpd:decay=0", "ilpd:noise=-1", "fia:drop=1", "fia:copies=0", "naa:samples=0", "naa:negative=-1"):
        with pytest.raises(brittle.InputError, match=text.split(":")[1]):
            brittle.parse_attack(f"mifgsm+{text}")


def test_features_are_about_classes() -> None:
    victim = surrogate(chain)
    goal = brittle.core.goal.Match(torch.zeros(7, 3).double(), torch.ones(7).double())
    with pytest.raises(brittle.InputError, match="about classes"):
        bent(problem(victim, X, goal), FEW["fia"], loss="margin")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("text", ["sgm", "linbp", "ghost", "ilpd", "fia:copies=3", "naa:samples=3"])
def test_a_real_network_is_still_fooled(text: str) -> None:
    pytest.importorskip("timm")
    module = published.network("resnet18_pqf_large")
    data = open_data(f"images:{os.environ['BRITTLE_DATA']}/data/imagenet_1000?size=224")
    x, labels = data.batch(range(3))
    right = module(x).argmax(1) == labels
    attack = brittle.parse_attack(f"mifgsm:steps=3+di+{text}")
    outcome = brittle.attack(attack, module, x[right], labels[right], brittle.linf(16 / 255))
    assert int(right.sum()) >= 2
    assert float(outcome.success.double().mean()) == 1.0
