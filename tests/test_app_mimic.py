"""Inputs that answer as a guide does: against the optimum of a linear map, on a network trained here, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor, nn

import brittle
import published
from brittle.core.goal import Match
from brittle.core.victim import Victim, as_victim
from brittle.data.open import open_data
from brittle.victims.layers import cut
from brittle.victims.networks import parse_network
from brittle.victims.train import train

EPS = 0.15
ASCENT = brittle.pgd(steps=30, loss="margin")


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, GUIDE = _draw(7, 3, 4), _draw(7, 3, 4, seed=1)
WEIGHT = _draw(5, 12, seed=2) - 0.5


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ WEIGHT.T


class Net(nn.Module):
    """Two layers, and a tail that no question about them must run."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv1d(3, 2, 2), nn.Tanh())
        self.spare = nn.Linear(2, 2)
        self.tail = nn.Linear(6, 4)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.body(x).flatten(1))  # type: ignore[no-any-return]


def _optimum(row: int, eps: float) -> float:
    """min |W z - W g| over the ball around x cut by the box, by SciPy's active sets."""
    x, wanted = X[row].flatten().numpy(), linear(GUIDE[row : row + 1])[0].numpy()
    bounds = (np.maximum(x - eps, 0), np.minimum(x + eps, 1))
    found = lsq_linear(WEIGHT.numpy(), wanted, bounds, method="bvls", tol=1e-14)
    return float(np.linalg.norm(WEIGHT.numpy() @ found.x - wanted))


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (brittle.lbfgsb(steps=60), 1 + 1e-4),
        (brittle.apgd(steps=100, loss="margin"), 1.01),
        (brittle.pgd(steps=300, step_size=0.002, loss="margin"), 1.02),
    ],
)
def test_the_nearest_image_of_a_linear_map_is_found(attack: brittle.Attack, most: float) -> None:
    made = brittle.mimic(linear, X, GUIDE, brittle.linf(EPS), attack=attack)
    best = torch.tensor([_optimum(row, EPS) for row in range(7)])
    assert (best > 0.05).sum() >= 4  # the ball is too small for most guides
    assert (made.distance >= best * (1 - 1e-6) - 1e-12).all()
    assert (made.distance <= best * most + 1e-3).all()
    assert (made.share < 0.9).all()
    torch.testing.assert_close(made.before, (linear(X) - linear(GUIDE)).norm(dim=1))
    torch.testing.assert_close(made.distance, (linear(made.x_adv) - linear(GUIDE)).norm(dim=1))


@pytest.mark.parametrize("threat", [brittle.linf(EPS), brittle.l2(0.4), brittle.l1(1.0), brittle.l0(3)])
def test_it_never_leaves_the_threat_or_the_bounds(threat: brittle.threats.Ball) -> None:
    made = brittle.mimic(Net(), X, GUIDE, threat, layer="body")
    assert made.feasible.all()
    assert (made.size <= threat.eps * (1 + 1e-9)).all()
    assert made.x_adv.min() >= 0
    assert made.x_adv.max() <= 1
    assert (made.distance < made.before).all()


@pytest.mark.parametrize("attack", [ASCENT, brittle.lbfgsb(steps=20)])
def test_a_ball_without_room_leaves_x(attack: brittle.Attack) -> None:
    made = brittle.mimic(linear, X, GUIDE, brittle.linf(0), attack=attack)
    assert torch.equal(made.x_adv, X)
    assert torch.equal(made.share, torch.ones_like(made.share))


@pytest.mark.parametrize("attack", [ASCENT, brittle.lbfgsb(steps=30), brittle.apgd(steps=30, loss="margin")])
def test_a_sample_is_alone(attack: brittle.Attack) -> None:
    def made(rows: list[int], size: int | None = None) -> brittle.Mimicry:
        return brittle.mimic(
            Net(), X[rows], GUIDE[rows], brittle.linf(EPS), layer="body", attack=attack, within=0.6,
            among=X, ids=torch.tensor(rows), batch_size=size,
        )  # fmt: skip

    whole, chosen = made(list(range(7))), [5, 0, 3]
    for part in (made(chosen), made(chosen, 2)):
        assert part.rank is not None
        assert whole.rank is not None
        torch.testing.assert_close(part.x_adv, whole.x_adv[chosen], rtol=0, atol=1e-9)
        assert torch.equal(part.forwards, whole.forwards[chosen])
        assert torch.equal(part.rank, whole.rank[chosen])


def test_queries_are_charged_and_a_budget_is_hard() -> None:
    made = brittle.mimic(linear, X, GUIDE, brittle.linf(EPS), attack=ASCENT, among=X)
    assert made.forwards.tolist() == [31] * 7
    assert made.backwards.tolist() == [30] * 7
    short = brittle.mimic(linear, X, GUIDE, brittle.linf(EPS), attack=ASCENT, budget=21)
    assert (short.forwards + short.backwards).max() <= 21
    assert (short.distance < short.before).all()


def test_it_stops_where_it_is_near_enough() -> None:
    far = brittle.mimic(linear, X, GUIDE, brittle.linf(0.5), attack=ASCENT, within=0.5)
    assert far.reached.all()
    assert (far.share < 0.5).all()
    assert (far.forwards < 31).any()


def test_the_smallest_ball_that_lets_it_near_enough_is_bisected() -> None:
    search = brittle.Bisect(brittle.lbfgsb(steps=40), rounds=12)
    small = brittle.mimic(linear, X, GUIDE, brittle.linf(1), attack=search, within=0.5)
    assert small.reached.all()
    for row in range(7):
        wanted, low, high = 0.5 * float(small.before[row]), 0.0, 1.0
        for _ in range(25):
            middle = (low + high) / 2
            low, high = (low, middle) if _optimum(row, middle) <= wanted else (middle, high)
        assert high * (1 - 1e-6) <= float(small.size[row]) <= 1.02 * high


def test_one_guide_serves_all() -> None:
    alone, many = GUIDE[2], GUIDE[2].expand(7, 3, 4)
    wanted = brittle.mimic(linear, X, many, brittle.linf(EPS), attack=ASCENT)
    for guide in (alone, alone[None]):
        assert torch.equal(brittle.mimic(linear, X, guide, brittle.linf(EPS), attack=ASCENT).x_adv, wanted.x_adv)


def test_the_rank_counts_who_is_nearer_than_the_guide() -> None:
    x, guide = torch.full((2, 1), 0.5), torch.tensor([[0.9], [0.6]])
    pool = torch.tensor([[0.55], [0.3], [0.95], [0.9], [0.6]])
    made = brittle.mimic(lambda x: x.repeat(1, 2), x, guide, brittle.linf(0), among=pool, attack=ASCENT)
    assert made.rank is not None
    assert made.rank.tolist() == [4, 2]  # the guides are in the pool themselves, and do not count
    near = brittle.mimic(lambda x: x.repeat(1, 2), x, guide, brittle.linf(0.4), among=pool, attack=ASCENT)
    assert near.rank is not None
    assert near.rank.tolist() == [1, 1]


def test_a_cut_victim_answers_as_its_layer_and_runs_nothing_behind_it() -> None:
    net = Net()
    wanted = net.body(X).flatten(1)
    whole = cut(as_victim(net), None)(X)
    torch.testing.assert_close(whole, net(X))
    net.tail.weight.data.fill_(torch.nan)
    net.tail.register_forward_hook(lambda *_: pytest.fail("the tail was run"))
    torch.testing.assert_close(cut(as_victim(net), "body")(X), wanted)
    assert not net.body._forward_hooks


def test_the_model_comes_back_as_it_was() -> None:
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    brittle.mimic(net, X, GUIDE, brittle.linf(EPS), layer="body.0", attack=ASCENT)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layer": "bodi"}, r"unknown layer 'bodi'; did you mean body"),
        ({"layer": "spare"}, r"the layer 'spare' is not run"),
        ({"model": linear, "layer": "body"}, r"a callable has no layers; give an nn.Module"),
        ({"guide": GUIDE[:, :2]}, r"guide has shape \(7, 2, 4\), the inputs \(7, 3, 4\)"),
        ({"guide": GUIDE[:3]}, r"3 guides for 7 inputs; give one for each, or one for all"),
        ({"guide": GUIDE + 1}, r"guide: the inputs span .* outside bounds"),
        ({"among": GUIDE[:, :2]}, r"among has shape"),
        ({"within": 1.0}, r"within=1 is not a share"),
        ({"budget": 0}, r"budget=0 is too few"),
        ({"batch_size": 0}, r"batch_size=0 is too few"),
        ({"attack": brittle.apgd()}, r"loss cross_entropy is about classes, the goal is a Match; .*loss='margin'"),
        ({"attack": brittle.square(queries=5)}, r"this attack is about classes"),
        ({"attack": brittle.deepfool(), "threat": brittle.l2(1.0)}, r"this attack is about classes"),
        ({"attack": brittle.rays(queries=50)}, r"RayS sees labels alone"),
        ({"attack": brittle.pgd}, r"did you forget to call it"),
        ({"threat": brittle.l2(1.0), "attack": brittle.lbfgsb()}, r"lbfgsb works under linf"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change: dict[str, object], sentence: str) -> None:
    given = {"model": Net(), "x": X, "guide": GUIDE, "threat": brittle.linf(EPS), "layer": None, **change}
    with pytest.raises(brittle.InputError, match=sentence):
        brittle.mimic(**given)  # type: ignore[arg-type]


def test_a_match_is_won_within_its_distance_and_its_slope_is_a_derivative() -> None:
    outputs, goal = _draw(7, 5), Match(_draw(7, 5, seed=1), torch.full((7,), 0.6, dtype=torch.float64))
    distance = (outputs - goal.features).norm(dim=1)
    assert torch.equal(goal.margin(outputs) > 0, distance < 0.6)
    assert 0 < int((distance < 0.6).sum()) < 7
    assert (goal.harder(0.1).margin(outputs) < goal.margin(outputs)).all()
    asked = outputs.requires_grad_()
    (wanted,) = torch.autograd.grad(goal.steer(asked).sum(), asked)
    torch.testing.assert_close(goal.slope(outputs.detach()), wanted)


@pytest.fixture(scope="module")
def digits() -> Victim:
    data = open_data("digits?split=train")
    return as_victim(train(data, parse_network("mlp", data.shape, 10), epochs=10, seed=0))


@pytest.mark.parametrize("attack", [None, brittle.lbfgsb()])
def test_a_digit_mimics_another_in_a_hidden_layer(digits: Victim, attack: brittle.Attack | None) -> None:
    x, labels = open_data("digits").batch(range(100))
    layers = [name for name, part in digits.module.named_modules() if isinstance(part, nn.ReLU)]  # type: ignore[union-attr]
    pool, _ = open_data("digits?split=train").batch(range(500))
    made = brittle.mimic(digits, x, x.roll(1, 0), brittle.linf(0.4), layer=layers[-1], attack=attack, among=pool)
    noise = brittle.mimic(digits, x, x.roll(1, 0), brittle.linf(0.4), layer=layers[-1], attack=brittle.uniform_noise())
    assert made.share.median() < 0.3
    assert noise.share.median() > 0.8
    other = labels != labels.roll(1, 0)
    assert (made.predicted == made.guided)[other].double().mean() > 0.9
    assert made.rank is not None
    assert (made.rank == 1).double().mean() > 0.5


@pytest.mark.data
def test_a_mnist_digit_is_taken_for_its_guide() -> None:
    net = published.network("mnist_convsmall_nat_eran")
    x, labels = open_data("mnist").batch(range(40))
    made = brittle.mimic(net, x, x.roll(1, 0), brittle.linf(0.3), attack=brittle.apgd(steps=40, loss="margin"))
    assert made.share.mean() < 0.35
    assert (made.predicted == made.guided)[
        labels != labels.roll(1, 0)
    ].double().mean() > 0.75  # seen: 0.85; untouched 0
