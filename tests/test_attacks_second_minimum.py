"""NewtonFool, trust region, SparseFool and C&W in L0: equal to their papers, optimal where the optimum is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.combine.few_features import FewFeatures
from brittle.attacks.minimum.carlini_wagner import CW
from brittle.attacks.minimum.newtonfool import NewtonFool
from brittle.attacks.minimum.sparsefool import SparseFool
from brittle.attacks.minimum.trust_region import TrustRegion
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.kernels import planes
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS

VICTIM, X = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))


def run(attack: Any, victim: Victim, x: Tensor, norm: str, **goal: Any) -> Trial:
    with torch.no_grad():
        labels = victim(x).argmax(1)
    threat = THREATS[norm](math.inf)
    return attempt(attack, victim, threat, x, Classify(labels, **goal), torch.arange(len(x)), seed=1)


def scaled(victim: Victim, by: float) -> Victim:
    return brittle.as_victim(lambda x: by * victim(x), (victim.lower, victim.upper))


# NewtonFool


@pytest.mark.parametrize("eta", [0.01, 0.2])
def test_newtonfool_is_the_papers_iteration(eta: float) -> None:
    """d = -min(eta ||x|| ||g||, p - 1/C) g / ||g||^2, g the gradient of the label's probability, written out with softmax."""
    trial = run(NewtonFool(eta=eta, search=0), VICTIM, X, "l2")
    for row in range(7):
        point = X[row : row + 1].clone()
        label = int(VICTIM(point).argmax())
        length = eta * max(float(point.norm()), 0.1 * math.sqrt(12))
        taken = 0
        while int(VICTIM(point).argmax()) == label and taken < 100:
            taken += 1
            asked = point.clone().requires_grad_()
            p = VICTIM(asked).softmax(1)[0, label]
            (grad,) = torch.autograd.grad(p, asked)
            size = float(grad.norm())
            delta = min(length * size, float(p.detach()) - 1 / 4)
            point = (point - delta * grad / size**2).clamp(0, 1)
        if trial.verdict.success[row]:
            torch.testing.assert_close(trial.x_adv[row : row + 1], point, rtol=0, atol=1e-9)
            assert int(trial.forwards[row]) == taken + 2  # x, and each point
    assert trial.verdict.success.sum() >= 4


def test_newtonfool_moves_where_the_probability_rounds_to_one() -> None:
    model, x = linear((3, 4), 2), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    distance = model.distance(x, labels, "l2")
    for by in (1.0, 1e5):
        for dtype in (torch.float64, torch.float32):
            victim = scaled(linear((3, 4), 2, dtype=dtype).victim, by)
            ratio = run(NewtonFool(), victim, x.to(dtype), "l2").verdict.size / distance
            assert (ratio >= 1 - 1e-5).all()
            assert (ratio <= 1.001).all()


def test_newtonfool_leaves_a_black_image() -> None:
    model = linear((3, 4), 2, bounds=(0.0, 10.0))
    x = torch.zeros(1, 3, 4, dtype=torch.float64)
    trial = run(NewtonFool(), model.victim, x, "l2")
    assert (trial.x_adv != 0).any()


def test_newtonfool_reaches_targets_and_confidences() -> None:
    model, x = linear((3, 4), 3), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    aimed = run(NewtonFool(), model.victim, x, "l2", targets=(labels + 1) % 3)
    assert aimed.verdict.success.all()
    sure, plain = (run(NewtonFool(steps=300), model.victim, x, "l2", confidence=c) for c in (0.99, None))
    assert sure.verdict.success.all()
    assert (sure.verdict.size > plain.verdict.size).all()
    assert (model.victim(sure.x_adv).softmax(1).amax(1) < 0.995).all()  # and no further


# Trust region


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("growth", [1.0, 1.2])
def test_the_region_grows_while_a_linear_victim_keeps_its_promise(norm: str, growth: float) -> None:
    """So the number of steps to a boundary one unit away is that of a geometric series, and the answer is the optimum."""
    model, x = linear((3, 4), 3), inputs((3, 4))
    trial = run(TrustRegion(growth=growth, search=0), model.victim, x, norm)
    distance = model.distance(x, model.victim(x).argmax(1), norm)
    assert (trial.verdict.size >= distance).all()
    assert (trial.verdict.size <= 1.2 * distance).all()
    radius, gone, steps = 0.3, 0.0, 0
    while gone < 1:
        gap = 1 - gone
        gone, radius, steps = gone + min(max(1.02 * gap, 0.2), radius), min(radius * growth, 1.0), steps + 1
    assert (trial.forwards == steps + 2).all()  # x twice: alone, and with the classes
    assert (trial.backwards == 2 + steps).all()  # two other classes at x, then one a point
    exact = run(TrustRegion(growth=growth), model.victim, x, norm).verdict.size / distance
    torch.testing.assert_close(exact, torch.ones(7, dtype=torch.float64), rtol=2e-3, atol=0)


def test_the_region_narrows_where_the_promise_is_broken() -> None:
    """The margin rises by 30 % of what its slope says: every step is divided by growth, down to the narrowest."""
    seen: list[float] = []

    def forward(x: Tensor) -> Tensor:
        first = x.flatten(1)[:, 0]
        seen.extend(first.tolist())
        rise = first + (0.3 * first - first).detach() - 2  # worth 0.3 of its slope
        return torch.stack([torch.zeros_like(rise), rise], 1)

    victim = brittle.as_victim(forward, (0.0, 20.0))
    labels = torch.zeros(1, dtype=torch.int64)
    attack = TrustRegion(radius=0.5, growth=1.2, search=0)
    x = torch.zeros(1, 5, dtype=torch.float64)
    attempt(attack, victim, brittle.l2(math.inf), x, Classify(labels), labels, 0)
    first, second, third, fourth = seen[1:5]
    assert (first, second) == (0.0, 1.0)  # half of the promised distance of 2
    assert third - second == pytest.approx(1.0 / 1.2)
    assert fourth - third == pytest.approx(1.0 / 1.2**2)


def test_the_nearest_class_is_followed_to_the_end() -> None:
    trial = run(TrustRegion(), VICTIM, X, "l2")
    deepfool = run(brittle.deepfool(), VICTIM, X, "l2")
    both = trial.verdict.success & deepfool.verdict.success
    assert both.sum() >= 5
    assert (trial.verdict.size[both] <= 1.2 * deepfool.verdict.size[both]).all()


# SparseFool


def test_the_papers_linear_solver_is_the_smallest_move_in_l1() -> None:
    """Algorithm 1, written out: the steepest feature goes as far as is needed or its room allows, then the next."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(7, 30, generator=generator, dtype=torch.float64)
    x = torch.rand(7, 30, generator=generator, dtype=torch.float64)
    gap = torch.rand(7, generator=generator, dtype=torch.float64) * 3
    ours = planes.l1(normal, gap, -x, 1 - x)
    for row in range(7):
        point, left = x[row].clone(), normal[row].clone()
        while True:
            missing = float(gap[row] - normal[row] @ (point - x[row]))
            if missing <= 1e-12 or not left.any():
                break
            d = int(left.abs().argmax())
            point[d] = (point[d] + missing / left[d].abs() * left[d].sign()).clamp(0, 1)
            left[d] = 0
        torch.testing.assert_close(ours[row], point - x[row])


def test_sparsefool_finds_the_fewest_features_where_all_have_the_same_room() -> None:
    """In the middle of the box the steepest features are the ones that help most."""
    model, lead = linear((2, 5, 6), 2, bounds=(-1.0, 1.0)), torch.tensor([9.0, 0.0], dtype=torch.float64)
    victim, x = brittle.as_victim(lambda x: model.victim(x) + lead, (-1.0, 1.0)), torch.zeros(7, 2, 5, 6).double()
    slope = (model.weight[1] - model.weight[0]).abs().sort(descending=True).values
    gap = float((victim(x[:1])[0, 0] - victim(x[:1])[0, 1]).detach())
    fewest = 1 + int((slope.cumsum(0) <= gap).sum())
    for reach in (1.0, 3.0):
        assert fewest > 2
        assert (run(SparseFool(reach=reach), victim, x, "l0").verdict.size == fewest).all()


def test_sparsefool_is_optimal_in_l1_on_linear_victims() -> None:
    for shape in ((3, 4), (2, 5, 6)):
        model, x = linear(shape, 2), inputs(shape)
        smallest = model.distance(x, model.victim(x).argmax(1), "l1")
        ratio = run(SparseFool(), model.victim, x, "l1").verdict.size / smallest
        assert (ratio >= 1).all()
        assert (ratio <= 1.02).all()


def test_a_longer_reach_is_less_sparse_before_the_search() -> None:
    short, long = (run(SparseFool(reach=reach, search=0), VICTIM, X, "l0").verdict for reach in (1.0, 4.0))
    both = short.success & long.success
    assert both.any()
    assert (short.size[both] <= long.size[both]).all()
    assert (short.size[both] < long.size[both]).any()


# C&W in L0


@pytest.mark.parametrize("attack", [brittle.cw_l0(), FewFeatures(brittle.ddn(steps=40))], ids=["cw", "ddn"])
def test_it_keeps_as_few_features_as_a_linear_victim_needs(attack: Any) -> None:
    for shape in ((3, 4), (2, 5, 6)):
        model, x = linear(shape, 2, bounds=(-1.0, 1.0)), inputs(shape)
        fewest = model.distance(x, model.victim(x).argmax(1), "l0")
        size = run(attack, model.victim, x, "l0").verdict.size
        assert (size >= fewest).all()
        assert (size <= fewest + 1).all()
        assert (size == fewest).sum() >= 5


def test_it_ends_where_no_feature_can_go() -> None:
    """On a victim that needs exactly two of twelve features, two are found, and the runs stop."""

    def forward(x: Tensor) -> Tensor:
        rise = (x.flatten(1)[:, 1] + x.flatten(1)[:, 6]).clamp_max(1.9) + 0.01 * x.flatten(1).sum(1) - 1.5
        return torch.stack([torch.zeros_like(rise), rise], 1)

    x = torch.full((7, 3, 4), 0.1, dtype=torch.float64)
    few, many = (run(brittle.cw_l0(rounds), brittle.as_victim(forward), x, "l0") for rounds in (12, 40))
    assert (few.verdict.size == 2).all()
    assert torch.equal(few.forwards, many.forwards)
    changed = (few.x_adv != x).flatten(1)
    assert changed[:, [1, 6]].all()


def test_under_a_budget_the_fewest_features_count_not_the_shortest_change() -> None:
    labels = VICTIM(X).argmax(1)

    def cut(budget: int) -> Trial:
        return attempt(
            brittle.cw_l0(), VICTIM, brittle.l0(math.inf), X, Classify(labels), torch.arange(7), 1, budget=budget
        )

    whole = run(brittle.cw_l0(), VICTIM, X, "l0")
    spent = int((whole.forwards + whole.backwards).max())
    late, early = cut(spent), cut(spent // 2)
    assert (late.verdict.size <= whole.verdict.size).all()
    assert (late.verdict.size <= early.verdict.size).all()
    assert (early.verdict.size < 12).any()


def test_wrong_options_are_refused_with_a_sentence() -> None:
    for make, words in (
        (lambda: NewtonFool(eta=0.0), "eta=0 is not positive"),
        (lambda: NewtonFool(steps=0), "steps=0"),
        (lambda: TrustRegion(radius=2.0), "at least 0.2 and at most 1"),
        (lambda: TrustRegion(growth=0.5), "narrow"),
        (lambda: TrustRegion(candidates=0), "candidates=0"),
        (lambda: SparseFool(reach=0.5), "stops short"),
        (lambda: SparseFool(inner=0), "inner=0"),
        (lambda: FewFeatures(CW(), rounds=0), "rounds=0"),
        (lambda: FewFeatures(CW(), share=1.0), "share=1 is out of range"),
        (lambda: FewFeatures(brittle.pgd(3)), "minimises"),
    ):
        with pytest.raises(brittle.InputError, match=words):
            make()
