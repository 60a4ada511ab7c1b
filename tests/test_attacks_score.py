"""Score-based attacks: what would be false if their code were wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.parts.furthest import furthest
from brittle.attacks.score.estimated_ascent import EstimatedAscent
from brittle.attacks.score.estimators import Bandits, Sampled
from brittle.attacks.score.sign_hunter import SignHunter
from brittle.attacks.score.simba import SimBA
from brittle.attacks.score.square import SPAN, Square
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.kernels.squares import bumps, places, planes, sides
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS

NAMES = ["square", "sign_hunter", "simba", "nes", "spsa", "finite_differences", "bandits"]
SHAPE = (2, 9, 11)


def _problem(x: Tensor, victim: Victim, threat: brittle.Threat, goal: Classify | None = None) -> Problem:
    region = threat.around(x, victim.lower, victim.upper)
    door = Oracle(victim, Ledger.empty(len(x), x.device), Access.SCORES)
    return Problem(region, goal or Classify(victim(x).argmax(1)), door, Streams.seeded(0, torch.arange(len(x))))


def _attempt(attack: Any, victim: Victim, threat: brittle.Threat, x: Tensor, goal: Classify, **more: Any) -> Trial:
    return attempt(attack, victim, threat, x, goal, torch.arange(len(x)), 0, **more)


def _recorded(victim: Victim) -> tuple[Victim, list[Tensor]]:
    """The victim, and the list into which it writes what it was asked."""
    asked: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        asked.append(x.clone())
        return victim(x)

    return brittle.as_victim(forward, (victim.lower, victim.upper)), asked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("queries", [1, 2, 17])
def test_no_sample_is_charged_more_than_its_queries_and_none_after_it_is_won(name: str, queries: int) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    goal = Classify(victim(x).argmax(1))
    for eps in (0.01, 0.4):
        recorded, asked = _recorded(victim)
        attack = brittle.parse_attack(f"{name}:queries={queries}")
        ledger = Ledger.empty(len(x), x.device)
        for row in range(len(x)):  # one at a time, so that what was asked is known to be of this sample
            asked.clear()
            one = torch.tensor([row])
            trial = attempt(attack, recorded, brittle.linf(eps), x[one], goal.select(one), one, 0)
            attacked = asked[: int(trial.forwards)]
            assert len(attacked) <= queries
            wins = [bool(goal.select(one).margin(victim(point)) > 0) for point in attacked]
            assert not any(wins[:-1])
            assert trial.verdict.success.item() == any(wins)
        assert ledger.forwards.sum() == 0


@pytest.mark.parametrize("name", [name.replace("simba", "simba:basis=pixel") for name in NAMES])
@pytest.mark.parametrize("targeted", [False, True])
def test_a_linear_victim_is_won_well_above_its_distance(name: str, targeted: bool) -> None:
    model, x = linear((4, 5), 3), inputs((4, 5))
    labels = model.victim(x).argmax(1)
    goal = Classify(labels, (labels + 1) % 3 if targeted else None)
    attack = brittle.parse_attack(f"{name}{',' if ':' in name else ':'}queries=1500")
    for norm in ("linf", "l2"):
        distance = model.distance(x, labels, norm, goal.targets)
        for row in range(2):
            one = torch.tensor([row])
            threat = THREATS[norm](1.6 * float(distance[row]))
            assert attempt(attack, model.victim, threat, x[one], goal.select(one), one, 0).verdict.success.all()


@pytest.mark.parametrize("name", NAMES)
def test_constant_outputs_nan_and_no_room_end_where_they_should(name: str) -> None:
    x = inputs((2, 4, 5), bounds=(0.0, 1.0))
    labels = torch.zeros(7, dtype=torch.int64)
    attack = brittle.parse_attack(f"{name}:queries=40")
    for elsewhere in (0.0, math.nan):

        def flat(point: Tensor, elsewhere: float = elsewhere) -> Tensor:
            moved = (point != x).flatten(1).any(1)[:, None]
            return torch.tensor([[1e4, 0.0, 0.0]]).to(x) + torch.where(moved, elsewhere, 0.0)

        trial = _attempt(attack, brittle.as_victim(flat), brittle.l2(0.5), x, Classify(labels))
        assert trial.verdict.feasible.all()
        assert not trial.verdict.success.any()
        assert trial.x_adv.isfinite().all()
        assert (trial.forwards <= 40).all()


@pytest.mark.parametrize("name", NAMES)
def test_starts_are_where_it_begins(name: str) -> None:
    """A start that wins is all that is asked about, in Linf at a corner as the attacks' own points are."""
    model, x = linear((3, 4), 2), inputs((3, 4))
    goal, threat = Classify(model.victim(x).argmax(1)), brittle.linf(5.0)
    won = _attempt(brittle.fgsm(), model.victim, threat, x, goal).x_adv
    trial = _attempt(brittle.parse_attack(f"{name}:queries=9"), model.victim, threat, x, goal, starts=won)
    assert trial.verdict.success.all()
    assert (trial.forwards <= 2).all()


def test_square_in_linf_moves_each_feature_by_the_whole_radius() -> None:
    model, x = linear(SHAPE, 3), inputs(SHAPE)
    eps = 0.3 * float(model.distance(x, model.victim(x).argmax(1), "linf").min())  # nobody can be won
    victim, asked = _recorded(model.victim)
    Square(queries=60)(_problem(x, victim, brittle.linf(eps)))
    assert len(asked) == 61
    for point in asked[1:]:
        torch.testing.assert_close((point - x).abs(), torch.full_like(point, eps))


def test_square_changes_one_window_of_the_scheduled_size_and_never_nothing() -> None:
    """With an outcome that never improves, each question differs from the best beginning by a window of one sign a channel."""
    victim = brittle.as_victim(lambda x: torch.stack([torch.ones(len(x)), torch.zeros(len(x))], 1), (-1.0, 1.0))
    recorded, asked = _recorded(victim)
    x = inputs((1, 9, 11), count=2)
    attack = Square(queries=300, share=0.5, draws=1)
    attack(_problem(x, recorded, brittle.linf(0.05)))
    first, *others = asked[1:]
    assert len(others) == 299
    for turn, point in enumerate(others):
        rows, columns = sides(attack._share(turn), (1, 9, 11))
        for before, after in zip(first, point, strict=True):
            changed = (before != after)[0].nonzero()
            assert len(changed) > 0
            assert ((changed.amax(0) - changed.amin(0)) < torch.tensor([rows, columns])).all()


def test_the_squares_halve_as_the_paper_says() -> None:
    """Section 4.1 of arXiv:1912.00049: p at iterations 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 of 10,000."""
    attack = Square(queries=10_000, share=0.8)
    for taken, halved in (
        (0, 0),
        (10, 0),
        (11, 1),
        (50, 1),
        (51, 2),
        (201, 3),
        (1001, 5),
        (2001, 6),
        (6001, 8),
        (8001, 9),
    ):
        assert attack._share(taken) == 0.8 / 2**halved
    assert Square(queries=5000, share=0.8)._share(6) == 0.4
    assert all(
        Square(queries=100, share=0.8)._share(k) == Square(queries=SPAN, share=0.8)._share(k) for k in range(100)
    )


def test_square_in_l2_uses_the_whole_radius_even_beside_the_box() -> None:
    """Where clipping takes away half of the length, the rest of the features get it."""
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64).round()  # all at a limit
    victim, asked = _recorded(linear(SHAPE, 3, bounds=(0.0, 1.0)).victim)
    Square(queries=50)(_problem(x, victim, brittle.l2(1.0)))
    for point in asked[1:]:
        length = (point - x).flatten(1).norm(dim=1) if len(point) == 3 else None
        assert length is None or (length > 1 - 1e-6).all()


def test_bumps_are_the_pyramids_of_equation_2() -> None:
    """Written out again as the authors do: rings of ever larger windows, added up."""

    def rings(height: int, width: int) -> Tensor:
        total = torch.zeros(height, width, dtype=torch.float64)
        row, column = height // 2, width // 2
        for k in range(max(height // 2 + 1, width // 2 + 1)):
            total[max(row, 0) : row + 2 * k + 1, max(column, 0) : column + 2 * k + 1] += 1 / (k + 1) ** 2
            row, column = row - 1, column - 1
        return total / total.norm()

    for side in (3, 5, 8, 11):
        upper, lower = rings(side // 2, side), rings(side - side // 2, side)
        wanted = torch.cat([upper, -lower]) / 2**0.5
        upright, across = bumps((side, side), 2, 2, torch.device("cpu"), torch.float64).view(2, side, side)
        torch.testing.assert_close(upright, wanted)
        torch.testing.assert_close(across, wanted.T)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 5, 6), (2, 3, 4, 5)])
def test_windows_lie_inside_the_image_and_can_lie_everywhere(shape: tuple[int, ...]) -> None:
    x = torch.zeros(500, *shape)
    whole = planes(x)
    assert math.prod(whole) == math.prod(shape)
    for share in (0.001, 0.1, 0.5, 1.0):
        window = sides(share, whole)
        assert window[0] <= whole[1]
        assert window[1] <= whole[2]
        place = places(Streams.seeded(0, torch.arange(500)).uniform((2,)), window, whole)
        assert place.shape == (500, whole[0], window[0] * window[1])
        assert set(place.unique().tolist()) == set(range(math.prod(shape)))
    assert sides(1.0, (3, 1, 7)) == (1, 7)
    assert sides(0.25, (3, 28, 28)) == (14, 14)
    assert sides(0.1, (1, 28, 28), odd=True) == (9, 9)
    assert sides(0.5, (1, 4, 100)) == (4, 50)


def test_sign_hunter_finds_the_signs_of_a_linear_gradient_in_one_pass() -> None:
    """After all chunks down to single features were tried once, which takes fewer than 2 n + log n questions, every sign is right."""
    weight = torch.randn(24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    victim = brittle.as_victim(
        lambda x: torch.stack([100 + 0 * x.flatten(1)[:, 0], x.flatten(1) @ weight], 1), (-9.0, 9.0)
    )
    x = inputs((2, 3, 4))
    trial = _attempt(
        SignHunter(queries=2 * 24 + 8), victim, brittle.linf(0.3), x, Classify(torch.zeros(7, dtype=torch.int64))
    )
    torch.testing.assert_close(trial.x_adv, x + 0.3 * weight.sign().view(2, 3, 4))


def test_the_furthest_point_meets_the_radius_after_clipping() -> None:
    x = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    way = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ball: Any = brittle.l2(0.7).around(x, 0.0, 1.0)
    delta = (furthest(ball, way) - x).flatten(1)
    torch.testing.assert_close(delta.norm(dim=1), torch.full((5,), 0.7, dtype=torch.float64))
    scale = delta / way.flatten(1)
    inner = ((x.flatten(1) + delta) > 0) & ((x.flatten(1) + delta) < 1)
    for row in range(5):
        assert float(scale[row][inner[row]].std()) < 1e-6
        assert (scale[row] <= scale[row].max() + 1e-12).all()


@pytest.mark.parametrize("basis", ["pixel", "dct"])
def test_simba_goes_through_an_orthonormal_basis_low_frequencies_first(basis: str) -> None:
    """A flat victim never takes a step, so the questions are x - s v and x + s v for each vector v in turn."""
    victim = brittle.as_victim(lambda x: torch.stack([torch.ones(len(x)), torch.zeros(len(x))], 1), (-9.0, 9.0))
    recorded, asked = _recorded(victim)
    x = inputs((2, 9, 11), count=1)
    attack = SimBA(queries=1 + 2 * 198, basis=basis, step_size=0.2)
    attack(_problem(x, recorded, brittle.l2(5.0)))
    delta = torch.cat(asked[2:]) - x
    down, up = delta[::2].flatten(1), delta[1::2].flatten(1)
    torch.testing.assert_close(down, -up)
    torch.testing.assert_close(up @ up.T, 0.04 * torch.eye(198, dtype=torch.float64))
    if basis == "dct":
        rough = up.view(-1, 2, 9, 11).diff(dim=2).square().sum((1, 2, 3)) + up.view(-1, 2, 9, 11).diff(
            dim=3
        ).square().sum((1, 2, 3))
        assert rough[:8].max() < rough[-40:].min()


@pytest.mark.parametrize("noise", ["gaussian", "signs"])
def test_estimates_point_along_the_gradient_as_the_theory_says(noise: Any) -> None:
    """The cosine of the mean of k directions with the gradient of a linear function in n dimensions is about sqrt(k / (n + k))."""
    weight = torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    estimator, streams, x = (
        Sampled(noise=noise, pairs=192),
        Streams.seeded(0, torch.arange(20)),
        torch.zeros(20, 64, dtype=torch.float64),
    )
    belief = estimator.begin(x)
    for _ in range(estimator.pairs):
        drawn = estimator.draw(belief, streams)
        first, second = estimator.probes(belief, drawn, x)
        belief = estimator.learn(belief, drawn, (first - second) @ weight)
    cosine = torch.nn.functional.cosine_similarity(estimator.gradient(belief, x), weight[None])
    assert float(cosine.mean()) == pytest.approx(math.sqrt(192 / (64 + 192)), abs=0.02)


def test_finite_differences_of_a_linear_function_are_its_gradient() -> None:
    weight, x = (
        torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.zeros(1, 5, dtype=torch.float64),
    )
    estimator, streams = Sampled(noise="feature"), Streams.seeded(0, torch.arange(1))
    for _ in range(20):
        drawn = estimator.draw(x, streams)
        first, second = estimator.probes(x, drawn, x)
        assert drawn.sum() == (drawn != 0).sum() == 1
        torch.testing.assert_close(estimator.learn(x.clone(), drawn, (first - second) @ weight / 2), drawn * weight)


def test_the_bandits_prior_turns_towards_a_gradient_that_stays() -> None:
    smooth = torch.linspace(-1, 1, 32, dtype=torch.float64).expand(3, 32, 32).contiguous()
    estimator, streams, x = (
        Bandits(side=8),
        Streams.seeded(0, torch.arange(4)),
        torch.zeros(4, 3, 32, 32, dtype=torch.float64),
    )
    belief, cosines = estimator.begin(x), []
    assert belief.shape == (4, 3, 8, 8)
    for _ in range(300):
        drawn = estimator.draw(belief, streams)
        first, second = (way.flatten(1) @ smooth.flatten() for way in estimator.probes(belief, drawn, x))
        belief = estimator.forget(estimator.learn(belief, drawn, first - second))
        cosines.append(
            float(
                torch.nn.functional.cosine_similarity(
                    estimator.gradient(belief, x).flatten(1), smooth.view(1, -1)
                ).mean()
            )
        )
    assert cosines[-1] > 0.6 > 0.2 > cosines[5]


def test_a_probe_that_wins_is_the_answer() -> None:
    model, x = linear((3, 4), 2), inputs((3, 4))
    trial = _attempt(
        brittle.parse_attack("nes:queries=2,spread=1"),
        model.victim,
        brittle.linf(9.0),
        x,
        Classify(model.victim(x).argmax(1)),
    )
    assert trial.verdict.success.any()
    assert (trial.forwards <= 2).all()


def test_bad_values_are_refused() -> None:
    for build in (Square, SignHunter, SimBA, EstimatedAscent):
        with pytest.raises(brittle.InputError, match="queries=0"):
            build(queries=0)
    for attack, option in (
        ("square", "share=0"),
        ("square", "draws=0"),
        ("simba", "basis=wavelet"),
        ("simba", "step_size=0"),
        ("nes", "pairs=0"),
        ("nes", "momentum=1"),
        ("nes", "spread=0"),
        ("bandits", "exploration=0"),
    ):
        with pytest.raises(brittle.InputError, match=option.split("=")[0]):
            brittle.parse_attack(f"{attack}:{option}")
