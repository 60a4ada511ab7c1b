"""Certificates against closed forms, exact minima, independent solvers and the rounding of float32; what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import brittle
import published
from brittle.certify import CERTIFIERS, Crown, Interval, InTurn, parse_certifier, prove
from brittle.certify import bounds as bounds_module
from brittle.certify.bends import MaxPool, Relu, windows_of
from brittle.certify.bounds import intervals
from brittle.certify.methods import unit_roundoff
from brittle.certify.neighbourhood import Neighbourhood, neighbourhood
from brittle.certify.network import trace
from brittle.core.victim import as_victim
from brittle.data.open import open_data
from brittle.errors import InputError
from brittle.threats.ball import Ball

BALLS = (brittle.linf(0.2), brittle.l2(0.7), brittle.l1(1.1))


def _dense(*sizes: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def _inputs(count: int, features: int) -> Tensor:
    return torch.rand(count, features, generator=torch.Generator().manual_seed(4)).mul(1.4).sub(0.2).clamp(0, 1)


@pytest.mark.parametrize("method", [Interval(), Crown(refined=0), Crown()])
def test_a_linear_network_gets_its_exact_minimum(method: Any) -> None:
    """a . x - eps |a|_dual where the box is far, and in Linf the corner of ball and box wherever it is."""
    model = nn.Linear(9, 3).eval()
    victim, x = as_victim(model), _inputs(5, 9)
    labels = model(x).argmax(1)
    slopes = (model.weight[labels][:, None] - model.weight[None]).detach().double()  # (5, 3, 9)
    rise = (model.bias[labels][:, None] - model.bias[None]).detach().double()
    own = torch.nn.functional.one_hot(labels, 3).bool()
    corner = torch.where(slopes > 0, (x - 0.2).clamp(min=0)[:, None].double(), (x + 0.2).clamp(max=1)[:, None].double())
    exact = ((slopes * corner).sum(2) + rise).masked_fill(own, torch.inf).amin(1)
    bound = method(victim, brittle.linf(0.2), x, labels)
    assert bool(((exact - bound < 1e-4) & (bound <= exact)).all())
    middle = torch.full_like(x, 0.5)
    for threat, dual in ((brittle.l2(0.4), 2.0), (brittle.l1(0.4), torch.inf)):
        least = slopes.sum(2) / 2 - 0.4 * torch.linalg.vector_norm(slopes, dual, dim=2) + rise
        exact = least.masked_fill(own, torch.inf).amin(1)
        bound = method(victim, threat, middle, labels)
        assert bool(((exact - bound < 1e-4) & (bound <= exact)).all())


def test_the_exact_minimum_over_every_piece_of_a_small_network() -> None:
    """On a fine grid of a network with two inputs: interval <= CROWN <= the minimum; that minimum where no ReLU can switch."""
    victim = as_victim(_dense(2, 6, 5, 3))
    x = torch.tensor([[0.3, 0.4], [0.8, 0.9], [0.05, 0.5]])
    labels = victim(x).argmax(1)
    for eps in (0.25, 0.002):
        ticks = torch.linspace(-eps, eps, 401)
        grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).view(-1, 2)
        least = []
        for one, label in zip(x, labels, strict=True):
            outputs = victim((one + grid).clamp(0, 1)).detach().double()
            others = outputs.clone()
            others[:, label] = -torch.inf
            least.append((outputs[:, label] - others.amax(1)).min())
        exact = torch.stack(least)
        interval, crown, alpha = (
            m(victim, brittle.linf(eps), x, labels) for m in (Interval(), Crown(), Crown(steps=30))
        )
        assert bool((interval <= crown).all())
        assert bool((crown <= alpha).all())
        assert bool((alpha <= exact).all())
        if eps < 0.01:
            assert bool((exact - crown < 1e-5).all())


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_the_ball_and_the_box_together_are_less_than_either(name: str) -> None:
    """Near the corner of the box a ball is mostly outside: the bound must know it, and agree with a general solver."""
    from scipy.optimize import linprog, minimize

    generator = np.random.default_rng(0)
    x, a, eps = torch.full((1, 6), 0.1, dtype=torch.float64), generator.normal(size=6), 0.5
    region = neighbourhood(Ball(name, eps), x, 0.0, 1.0)
    ours = float(region.least(torch.from_numpy(a)[None], slice(0, 1)))
    if name == "l1":  # delta = up - down
        limits = [(0, 0.9)] * 6 + [(0, 0.1)] * 6
        exact = linprog([*a, *-a], A_ub=[[1.0] * 12], b_ub=[eps], bounds=limits).fun + a.sum() * 0.1
    else:
        ball = {"type": "ineq", "fun": lambda d: eps**2 - d @ d, "jac": lambda d: -2 * d}
        solved = minimize(lambda d: a @ d, np.zeros(6), jac=lambda d: a, bounds=[(-0.1, 0.9)] * 6, constraints=[ball])
        exact = solved.fun + a.sum() * 0.1
    assert exact - 1e-5 < ours <= exact + 1e-6
    dual = np.abs(a).max() if name == "l1" else np.linalg.norm(a)
    assert ours > a.sum() * 0.1 - eps * dual + 0.01


def test_lines_enclose_what_bends() -> None:
    """For random limits and points between them, the lower line is below and the upper one above, for every output."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 5, 4)
    for bend in (Relu(), MaxPool(windows_of(shape, (3, 2), (2, 1), (1, 0)), shape, (2, 3, 3))):
        low = torch.randn(50, *shape, generator=generator, dtype=torch.float64)
        high = low + torch.rand(50, *shape, generator=generator, dtype=torch.float64).mul(2)
        lines = bend.lines(low, high)
        for draw in range(20):
            share = torch.rand(50, *shape, generator=generator, dtype=torch.float64)
            x = low + (high - low) * (share if draw < 10 else share.round())
            y = torch.relu(x) if isinstance(bend, Relu) else nn.functional.max_pool2d(x, (3, 2), (2, 1), (1, 0))
            size = y[0].numel()
            for sign in (1.0, -1.0):
                for number in range(0, size, 3):
                    row = torch.zeros(50, size, dtype=torch.float64)
                    row[:, number] = sign
                    back, constant = lines.pull(row.view_as(y), slice(None))
                    assert bool(
                        ((back * x).flatten(1).sum(1) + constant <= sign * y.flatten(1)[:, number] + 1e-12).all()
                    )


def test_the_charge_for_rounding_covers_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a single point there is nothing but rounding: sums in float32, in any order, lie inside the limits, and not without the charge."""
    model = _dense(300, 200, 200, 10)
    victim, x = as_victim(model), torch.rand(64, 300, generator=torch.Generator().manual_seed(1))
    network, unit = trace(victim, x), unit_roundoff(victim)
    region = Neighbourhood("linf", x.double(), x.double(), x.double(), torch.zeros(64, dtype=torch.float64))
    low, high = intervals(network, region, unit).limits(-1)
    with monkeypatch.context() as patch:
        patch.setattr(bounds_module, "_rounding", lambda *given: None)
        bare_low, bare_high = intervals(network, region, unit).limits(-1)
    outside = 0
    for _ in range(5):
        order = [torch.randperm(n) for n in (300, 200, 200)]
        y = x[:, order[0]]
        for number, layer in enumerate(model[::2]):
            assert isinstance(layer, nn.Linear)
            y = torch.stack(
                [
                    (y * row[order[number]]).cumsum(1)[:, -1] + b
                    for row, b in zip(layer.weight, layer.bias, strict=True)
                ],
                1,
            )
            y = torch.relu(y)[:, order[number + 1]] if number < 2 else y
        assert bool(((y >= low) & (y <= high)).all())
        outside += int(((y < bare_low) | (y > bare_high)).sum())
    assert outside > 1000
    assert float((high - low).max()) < 1e-2


def test_a_bound_that_rounding_could_cross_is_not_a_proof() -> None:
    """A gap of less than the sums may round in float32 is no proof; the same network in float64 is proved."""
    features = 4096
    layer = nn.Linear(features, 2).eval()
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.copy_(torch.tensor([0.1, 0.0]))
    x, labels = torch.full((1, features), 0.7), torch.zeros(1, dtype=torch.int64)
    assert not prove(Crown(), as_victim(layer), brittle.linf(0.0), x, labels)
    assert prove(Crown(), as_victim(layer.double()), brittle.linf(0.0), x.double(), labels)


def test_patches_give_what_whole_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeping only the patch of a row that is not zero is a matter of speed alone: strides, padding, groups, a sum of branches."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1, groups=2)
            self.c, self.d = nn.Conv2d(4, 4, (3, 2), (1, 2), 1), nn.Conv2d(4, 4, 1, (1, 2))
            self.norm, self.e, self.head = nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3), nn.Linear(72, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.b(self.a(x - 0.3)))
            y = torch.relu(self.norm(self.c(x) - self.d(x)))
            out: Tensor = self.head(torch.relu(self.e(y)).flatten(1))
            return out

    torch.manual_seed(0)
    victim, x = as_victim(Block().eval()), torch.rand(2, 2, 20, 18)
    labels = victim(x).argmax(1)
    pulled: list[int] = []
    pull = bounds_module._pull_patches
    monkeypatch.setattr(bounds_module, "_pull_patches", lambda *given: pulled.append(given[1]) or pull(*given))
    local = [Crown()(victim, threat, x, labels) for threat in BALLS]
    assert len(set(pulled)) > 6
    monkeypatch.setattr(bounds_module, "_stays_local", lambda rows, node: False)
    whole = [Crown()(victim, threat, x, labels) for threat in BALLS]
    for one, other in zip(local, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_sample_has_one_bound_whatever_the_batch() -> None:
    victim, x = as_victim(_dense(9, 20, 20, 4)), _inputs(7, 9)
    labels = victim(x).argmax(1)
    for threat in BALLS:
        for method in (Interval(), Crown(refined=4), Crown(steps=4), InTurn((Interval(), Crown(steps=3)))):
            together = method(victim, threat, x, labels)
            alone = torch.cat([method(victim, threat, x[i : i + 1], labels[i : i + 1]) for i in range(7)])
            torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


def test_blocks_do_not_change_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    victim, x = as_victim(_dense(9, 20, 20, 4)), _inputs(7, 9)
    labels = victim(x).argmax(1)
    whole = Crown(steps=3)(victim, brittle.linf(0.1), x, labels)
    for module in ("bounds", "methods"):
        monkeypatch.setattr(f"brittle.certify.{module}.ELEMENTS", 60)
    torch.testing.assert_close(Crown(steps=3)(victim, brittle.linf(0.1), x, labels), whole, rtol=1e-9, atol=1e-9)


def test_a_mask_keeps_features_still_and_a_box_lets_all_move() -> None:
    model = nn.Linear(4, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]))
        model.bias.zero_()
    x, labels = torch.full((1, 4), 0.5), torch.zeros(1, dtype=torch.int64)
    still = np.array([True, False, False, True])
    masked = {
        t.name: float(Crown()(as_victim(model), t, x, labels))
        for t in (brittle.linf(0.1, still), brittle.l1(0.1, still))
    }
    assert masked["linf"] == pytest.approx(5 - 0.5, abs=1e-4)
    assert masked["l1"] == pytest.approx(5 - 0.4, abs=1e-4)
    assert float(Crown()(as_victim(model), brittle.box(), x, labels)) == pytest.approx(0, abs=1e-4)


def test_in_turn_asks_only_for_what_is_open() -> None:
    victim, x = as_victim(_dense(9, 20, 20, 4)), _inputs(40, 9)
    labels, threat, asked = victim(x).argmax(1), brittle.linf(0.03), []

    def last(*given: Any) -> Tensor:
        asked.append(len(given[2]))
        return Crown()(*given)

    bound = InTurn((Interval(), last))(victim, threat, x, labels)
    proved = prove(Interval(), victim, threat, x, labels)
    assert 0 < asked[0] == int((~proved).sum()) < 40
    assert bool(((bound > 0) >= proved).all())


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)),
            r"the layer Sigmoid \(1\); known are Linear, Conv2d",
        ),
        (lambda: _Forward(lambda x: x * x.sigmoid()), "operation sigmoid"),
        (lambda: _Forward(lambda x: x * torch.relu(x)), "operation mul of two values that depend on the input"),
        (lambda: _Forward(lambda x: x if x.sum() > 0 else -x), "cannot be traced"),
        (lambda: _Forward(lambda x: x.mean(0, keepdim=True).expand(len(x), 4)), "cannot be traced"),
        (lambda: _Forward(lambda x: x - x.mean(0)), "operation mean"),
        (lambda: _Forward(lambda x: x + torch.rand(4)), "draws random numbers"),
        (lambda: _Forward(lambda x: (x, x)), "not one tensor of logits"),
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout()).train(), "training mode"),
        (nn.Linear(4, 3).half(), "float16"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(module: Any, words: str) -> None:
    made = module if isinstance(module, nn.Module) else module()
    victim = as_victim(made.eval()) if "training" not in words else brittle.core.victim.Victim(made, module=made)
    x = torch.full((2, 4), 0.5, dtype=victim.dtype)
    with pytest.raises(InputError, match=words):
        Crown()(victim, brittle.linf(0.1), x, torch.zeros(2, dtype=torch.int64))


def test_what_cannot_be_traced_is_named_and_not_what_it_stands_in() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(_Forward(lambda x: x if x.sum() > 0 else -x))).eval()
    with pytest.raises(InputError, match="the code of _Forward cannot be traced"):
        Crown()(as_victim(module), brittle.linf(0.1), torch.full((2, 4), 0.5), torch.zeros(2, dtype=torch.int64))


class _Forward(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function, self.head = function, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.function(self.head(x))


def test_other_refusals() -> None:
    x, labels = torch.full((2, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    victim = as_victim(nn.Linear(4, 3).eval())
    with pytest.raises(InputError, match="threat l0; give linf, l2, l1 or box"):
        Crown()(victim, brittle.l0(2), x, labels)
    with pytest.raises(InputError, match="is a callable; give the nn.Module"):
        Crown()(as_victim(lambda x: x), brittle.linf(0.1), x, labels)
    with pytest.raises(InputError, match="label 3 is out of range"):
        Crown()(victim, brittle.linf(0.1), x, labels + 3)
    for text, words in {
        "crwn": "did you mean",
        "alpha_crown:20": "steps=20",
        "alpha_crown:stepz=2": "did you mean steps",
        "crown:steps=2": "has no options",
        "alpha_crown:steps=-1": "whole number",
    }.items():
        with pytest.raises(InputError, match=words):
            parse_certifier(text)
    for fields in ({"refined": -1}, {"steps": -1}):
        with pytest.raises(InputError, match="is no number"):
            Crown(**fields)


def test_names_give_values_that_can_be_printed_and_compared() -> None:
    for name in CERTIFIERS:
        value = parse_certifier(name)
        assert value == parse_certifier(name)
        assert hash(value) == hash(parse_certifier(name))
    assert parse_certifier("alpha_crown:steps=7") == Crown(steps=7)
    assert parse_certifier("crown_ibp") == Crown(refined=0)


@pytest.mark.slow
@pytest.mark.data
def test_no_settled_instance_is_contradicted() -> None:
    """Of sixty instances whose verdict is known, none with a counterexample is proved, and at least one of the others is."""
    proved = {"sat": 0, "unsat": 0}
    for verdict in proved:
        for name, eps, ids in published.instances(verdict):
            x, labels = open_data("mnist").batch(ids)
            proved[verdict] += int(
                prove(Crown(), as_victim(published.network(name)), brittle.linf(eps), x, labels).sum()
            )
    assert proved["sat"] == 0
    assert proved["unsat"] > 0


@pytest.mark.slow
@pytest.mark.data
def test_published_networks_are_proved_as_far_as_published() -> None:
    """A provably trained MNIST network (5.8 % certified error) and a residual one; no attack breaks what is proved."""
    for name, eps, count, least in (("mnist_kw_eps01", 0.1, 8, 0.8), ("cifar10_resnet2b_adv2", 1 / 255, 2, 0.5)):
        victim = as_victim(published.network(name))
        x, labels = open_data("mnist" if "mnist" in name else "cifar10").batch(list(range(count)))
        proved = prove(Crown(), victim, brittle.linf(eps), x, labels)
        assert float(proved.double().mean()) >= least
        outcome = brittle.attack(brittle.apgd(steps=30), victim, x, labels, brittle.linf(eps))
        assert not bool((outcome.success & proved).any())
