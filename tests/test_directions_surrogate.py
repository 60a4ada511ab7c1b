"""Directions that run the surrogate another way, each against its formula on a network small enough to write the gradient down."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import brittle
from brittle.attacks.directions import GhostNetworks, LinearBackward, SkipGradient
from brittle.attacks.directions.graph import halfway, joins, trunk
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.core.victim import Victim, as_victim
from brittle.testing.victims import inputs
from surrogates import back, bent, jacobian, matrix, problem, surrogate

X = inputs((6,))


def outward(victim: Victim) -> Tensor:
    """The gradient of the loss `logit` at the last layer's input: minus the weights of the label's row."""
    module: Any = victim.module
    return -module.out.weight.detach()[victim(X).argmax(1)]


def plain(victim: Victim) -> Tensor:
    return bent(problem(victim, X))(X)


def residual(net: Any, x: Tensor) -> Tensor:
    h = x + net.b(net.act(net.a(x)))
    return net.out(h + net.d(net.act(net.c(h))))


def overwriting(net: Any, x: Tensor) -> Tensor:
    h = net.b(net.act(net.a(x)))
    h += x
    y = net.d(net.act(net.c(h)))
    return net.out(y.add_(h))


@pytest.mark.parametrize("forward", [residual, overwriting])
def test_every_branch_is_decayed_once(forward: Any) -> None:
    victim = surrogate(forward)
    net: Any = victim.module
    h = (X + net.b(net.act(net.a(X)))).detach()
    first = jacobian(lambda x: net.b(net.act(net.a(x))), X)
    second = jacobian(lambda x: net.d(net.act(net.c(x))), h)
    at_h = outward(victim) + 0.3 * back(second, outward(victim))
    expected = at_h + 0.3 * back(first, at_h)
    assert torch.allclose(bent(problem(victim, X), SkipGradient(decay=0.3))(X), expected)
    assert torch.allclose(bent(problem(victim, X), SkipGradient(decay=1.0))(X), plain(victim))


def test_what_is_concatenated_with_its_own_input_is_a_branch_too() -> None:
    """As in DenseNets: every pass through a layer is decayed once, whatever is concatenated with its output later."""

    def dense(net: Any, x: Tensor) -> Tensor:
        one = net.act(net.a(x))
        two = net.act(F.linear(torch.cat([x, one], 1), wide))
        return F.linear(torch.cat([x, one, two], 1), last)

    wide, last = matrix(6, 12, 20), matrix(3, 18, 21)
    victim = surrogate(dense)
    net: Any = victim.module
    one = net.act(net.a(X)).detach()
    two = jacobian(lambda row: net.act(F.linear(row, wide)), torch.cat([X, one], 1))
    first = jacobian(lambda row: net.act(net.a(row)), X)
    out = -last[victim(X).argmax(1)]
    into_two = 0.3 * back(two, out[:, 12:])
    into_one = 0.3 * (out[:, 6:12] + into_two[:, 6:])
    expected = out[:, :6] + into_two[:, :6] + back(first, into_one)
    assert torch.allclose(bent(problem(victim, X), SkipGradient(decay=0.3))(X), expected)


def projected(net: Any, x: Tensor) -> Tensor:
    return net.out(net.a(x) + net.c(net.relu(net.b(x))))


def test_beside_a_projection_nothing_is_decayed_and_that_is_said() -> None:
    with pytest.raises(brittle.InputError, match=r"sgm decays .* beside skip connections, and met none in mine"):
        bent(problem(surrogate(projected), X), SkipGradient())(X)


def chain(net: Any, x: Tensor) -> Tensor:
    return net.out(net.relu(net.b(net.relu(net.a(x)))))


@pytest.mark.parametrize("inplace", [False, True])
def test_relus_behind_the_layer_are_left_out_on_the_way_back(inplace: bool) -> None:
    victim = surrogate(chain, inplace)
    net: Any = victim.module
    a, b = net.a.weight.detach(), net.b.weight.detach()
    first = (X @ a.T > 0).double()
    late = ((outward(victim) @ b) * first) @ a
    early = (outward(victim) @ b) @ a
    assert torch.allclose(bent(problem(victim, X), LinearBackward(layer="relu"))(X), late)
    assert torch.allclose(bent(problem(victim, X), LinearBackward(layer="a"))(X), early)
    assert torch.allclose(bent(problem(victim, X), LinearBackward())(X), late)
    assert not torch.allclose(late, plain(victim))
    with pytest.raises(brittle.InputError, match=r"linbp leaves ReLUs out, and met none in what follows 'out' of mine"):
        bent(problem(victim, X), LinearBackward(layer="out"))(X)


def test_a_branch_keeps_the_length_that_it_has_with_its_relus_and_a_relu_of_a_sum_stays() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.out(net.relu(x + net.b(net.relu(net.a(x)))))

    victim = surrogate(forward)
    net: Any = victim.module
    a, b = net.a.weight.detach(), net.b.weight.detach()
    inner = (X @ a.T > 0).double()
    outer = (X + F.relu(X @ a.T) @ b.T > 0).double()
    grad = outward(victim) * outer
    straight, crooked = grad @ b @ a, (grad @ b * inner) @ a
    level = crooked.norm(dim=1, keepdim=True) / straight.norm(dim=1, keepdim=True)
    assert torch.allclose(bent(problem(victim, X), LinearBackward(layer="a"))(X), grad + level * straight)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


def test_operations_of_several_outputs_and_custom_functions_lie_on_a_branch() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        one, two = net.a(x).split(3, 1)
        return net.out(x + net.b(net.relu(torch.cat([two, Double.apply(one)], 1))))

    victim = surrogate(forward)
    net: Any = victim.module
    times, out = torch.tensor([1.0, 1, 1, 2, 2, 2]), outward(victim)
    active = (X @ net.a.weight.T).roll(3, 1) > 0
    mixed = out @ net.b.weight.detach() * times
    crooked, straight = (part.roll(3, 1) @ net.a.weight.detach() for part in (mixed * active, mixed))
    level = crooked.norm(dim=1, keepdim=True) / straight.norm(dim=1, keepdim=True)
    assert torch.allclose(plain(victim), out + crooked)
    assert torch.allclose(bent(problem(victim, X), LinearBackward(layer="a"))(X), out + level * straight)


def test_a_ghost_scales_each_channel_of_a_skip_and_every_sample_draws_for_itself() -> None:
    victim = surrogate(lambda net, x: net.out(x + net.b(net.act(net.a(x)))))
    net: Any = victim.module
    branch = back(jacobian(lambda x: net.b(net.act(net.a(x))), X), outward(victim))
    climb = bent(problem(victim, X), GhostNetworks(skips=0.22))
    factors = torch.stack([(climb(X) - branch) / outward(victim) for _ in range(40)])
    assert float(factors.min()) > 0.78
    assert float(factors.max()) < 1.22
    assert factors.flatten().unique().numel() == 40 * 7 * 6
    assert abs(float(factors.std()) - 0.44 / 12**0.5) < 0.01
    again = bent(problem(victim, X), GhostNetworks(skips=0.22))
    assert torch.equal((again(X) - branch) / outward(victim), factors[0])


@pytest.mark.parametrize("forward", [overwriting, projected])
def test_a_ghost_scales_skips_that_are_overwritten_and_projections(forward: Any) -> None:
    victim = surrogate(forward)
    made = bent(problem(victim, X), GhostNetworks())(X)
    assert float((made - plain(victim)).abs().amax(1).min()) > 1e-3
    assert torch.allclose(bent(problem(victim, X), GhostNetworks(skips=0.0))(X), plain(victim))


def test_a_ghost_drops_activations_and_scales_the_rest_up() -> None:
    victim = surrogate(lambda net, x: net.out(F.relu(x)))
    climb, given = bent(problem(victim, X), GhostNetworks(skips=0.0, dropout=0.25)), plain(victim)
    ratios = torch.stack([(climb(X) / given)[given != 0] for _ in range(100)])
    assert torch.allclose(ratios[ratios != 0], torch.tensor(4 / 3, dtype=torch.float64))
    assert abs(float((ratios == 0).double().mean()) - 0.25) < 0.02
    with pytest.raises(
        brittle.InputError, match=r"ghost scales skip connections, and met none in mine; write ghost:skips=0"
    ):
        bent(problem(victim, X), GhostNetworks())(X)


def test_a_ghost_has_other_outputs_and_its_gradient_is_its_own() -> None:
    """The value changes too: the loss's slope is taken at the ghost's outputs."""
    victim = surrogate(lambda net, x: net.out(x + net.b(net.act(net.a(x)))))
    given = problem(victim, X)
    made = bent(given, GhostNetworks(skips=0.9), loss="cross_entropy")(X)
    assert float((made - bent(given, loss="cross_entropy")(X)).abs().amax(1).min()) > 1e-4


NETS = {"sgm": residual, "linbp": chain, "ghost": residual, "ghost:skips=0,dropout=0.3": chain}


@pytest.mark.parametrize("text", NETS)
def test_a_sample_is_treated_the_same_whoever_is_beside_it(text: str) -> None:
    victim = surrogate(NETS[text])
    attack, goal = brittle.parse_attack(f"mifgsm:steps=4+{text}+vt:neighbours=2"), Classify(victim(X).argmax(1))

    def run(rows: Tensor) -> Tensor:
        return attempt(attack, victim, brittle.linf(0.1), X[rows], goal.select(rows), rows, 0).x_adv

    whole = run(torch.arange(7))
    for rows in ([4], [6, 0, 3]):
        assert float((run(torch.tensor(rows)) - whole[rows]).abs().max()) < 1e-9
    base = attempt(
        brittle.parse_attack("mifgsm:steps=4+vt:neighbours=2"), victim, brittle.linf(0.1), X, goal, torch.arange(7), 0
    )
    assert float((whole - base.x_adv).abs().amax(1).max()) > 1e-3


@pytest.mark.parametrize("text", NETS)
def test_it_costs_a_forward_and_a_backward_and_leaves_the_surrogate_as_it_was(text: str) -> None:
    victim = surrogate(NETS[text])
    module: Any = victim.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    goal = Classify(victim(X).argmax(1))
    trial = attempt(
        brittle.parse_attack(f"mifgsm:steps=3+{text}+si:copies=2"),
        victim,
        brittle.linf(0.1),
        X,
        goal,
        torch.arange(7),
        0,
    )
    assert (trial.forwards == 6).all()
    assert (trial.backwards == 6).all()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())


def test_unfrozen_weights_change_nothing() -> None:
    victim = surrogate(residual)
    module: Any = victim.module
    loose = bent(problem(victim, X), SkipGradient())(X)
    module.requires_grad_(False)
    assert torch.equal(bent(problem(victim, X), SkipGradient())(X), loose)


def test_what_is_not_needed_any_more_is_given_back() -> None:
    """Hooks on the graph that held the graph would be a circle that no collector sees."""
    victim, seen = surrogate(lambda net, x: net.out(net.relu(x + net.b(net.relu(net.a(x)))))), []
    module: Any = victim.module
    module.out.register_forward_hook(lambda _, given, output: seen.append(weakref.ref(output)))
    climb = bent(problem(victim, X), SkipGradient(), LinearBackward(layer="a"), GhostNetworks())
    climb(X)
    gc.collect()
    assert seen
    assert not any(one() is not None for one in seen)


def test_half_of_a_network_is_where_all_paths_pass() -> None:
    x = X.clone().requires_grad_()
    start = x.clone()
    one = start.exp()
    two = one.sin() + one.cos().tanh()
    three = two.exp()
    end = torch.cat([three, three.sin()], 1)
    passed = trunk(end.grad_fn)
    assert list(passed) == [node.grad_fn for node in (end, three, two, one, start)]
    assert list(passed.values()) == [8, 6, 5, 1, 0]
    assert halfway(passed) is two.grad_fn
    assert halfway(passed, [one.grad_fn, end.grad_fn]) is one.grad_fn
    found = {node.name(): paths for node, paths in joins(end.grad_fn, "AddBackward", "CatBackward")}
    assert found["AddBackward0"].start is one.grad_fn
    assert (found["AddBackward0"].skip, found["AddBackward0"].branches) == (0, frozenset())
    assert (found["CatBackward0"].skip, found["CatBackward0"].branches) == (0, frozenset({1}))


def test_sums_with_constants_and_with_themselves_are_no_joins() -> None:
    x = X.clone().requires_grad_().clone()
    y = x + 1
    assert joins(((y + y) + torch.ones(6)).grad_fn, "AddBackward") == []


class Convolutional(nn.Module):
    """A residual network of pictures as libraries write them: modules, batch norm, one ReLU for all, a projection, a pool."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.bn = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.stem(x)))
        x = self.relu(x + self.two(self.relu(self.one(x))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_pictures_and_shared_modules() -> None:
    x = inputs((3, 8, 8), 4, bounds=(0.0, 1.0))
    victim = as_victim(Convolutional().double().eval())
    labels = victim(x).argmax(1)
    base = brittle.attack(brittle.mifgsm(3), victim, x, labels, brittle.linf(0.05)).x_adv
    for text in ("sgm", "linbp", "ghost", "ghost:skips=0,dropout=0.1", "sgm+linbp+ghost+di:prob=1,growth=1.5+ti"):
        attack = brittle.parse_attack(f"mifgsm:steps=3+{text}")
        made = brittle.attack(attack, victim, x, labels, brittle.linf(0.05)).x_adv
        assert float((made - base).abs().amax((1, 2, 3)).min()) > 0, text


def test_options_out_of_range() -> None:
    for text in ("sgm:decay=1.5", "ghost:skips=2", "ghost:dropout=1", "linbp:layers=1"):
        with pytest.raises(brittle.InputError):
            brittle.parse_attack(f"mifgsm+{text}")
    with pytest.raises(brittle.InputError, match="layer 'e'"):
        bent(problem(surrogate(chain), X), LinearBackward(layer="e"))
