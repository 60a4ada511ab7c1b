"""Sign Flip, the tangent attack, the pointwise attack and the refinement for binarising models: what would be false if they were wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.decision.binarization_refinement import BinarizationRefinement
from brittle.attacks.decision.hop_skip_jump import HopSkipJump, _touching
from brittle.attacks.decision.pointwise import Pointwise, _salt_and_pepper
from brittle.attacks.decision.signflip import SignFlip, _enlarged, _flip, _inwards, _Walk
from brittle.attacks.parts.asker import Asker
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.testing import linear, network
from brittle.testing.victims import inputs

ROWS = torch.arange(7)


def _run(attack: Any, victim: Victim, x: Tensor, threat: brittle.Threat, **more: Any) -> Trial:
    goal = more.pop("goal", None) or Classify(victim(x).argmax(1))
    return attempt(attack, victim, threat, x, goal, torch.arange(len(x)), 3, **more)


def _problem(victim: Victim, x: Tensor, threat: brittle.Threat) -> Problem:
    region = threat.around(x, victim.lower, victim.upper)
    door = Oracle(victim, Ledger.empty(len(x), x.device), Access.LABELS)
    return Problem(region, Classify(victim(x).argmax(1)), door, Streams.seeded(0, torch.arange(len(x))))


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (SignFlip(queries=37), "linf"),
        (brittle.tangent(queries=37), "l2"),
        (Pointwise(queries=37), "l0"),
        (BinarizationRefinement(starts=34), "l2"),
    ],
)
def test_no_sample_is_charged_more_than_its_queries(attack: Any, norm: str) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    for goal in (None, Classify(victim(x).argmax(1), victim(x).argmin(1))):
        trial = _run(attack, victim, x, getattr(brittle, norm)(math.inf), goal=goal)
        assert int(trial.forwards.max()) <= 37


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("name", "norm", "most"), [("signflip", "linf", 1.1), ("tangent", "l2", 1.02)])
def test_they_find_the_nearest_point_of_a_plane(name: str, norm: str, most: float, targeted: bool) -> None:
    model, x = linear((3, 4), 2, seed=4), inputs((3, 4), seed=4)
    labels = model.victim(x).argmax(1)
    goal = Classify(labels, 1 - labels if targeted else None)
    trial = _run(
        brittle.parse_attack(f"{name}:queries=2000"), model.victim, x, getattr(brittle, norm)(math.inf), goal=goal
    )
    ratio = trial.verdict.size / model.distance(x, labels, norm, goal.targets)
    assert trial.verdict.success.all()
    assert 1 <= float(ratio.min()) <= float(ratio.max()) < most


# -- tangent ------------------------------------------------------------------------------------------------------------------------------


def _geometry(shape: tuple[int, ...] = (3, 4)) -> tuple[Any, Tensor, Tensor, Tensor]:
    x = inputs(shape, bounds=(0.4, 0.6))
    ball = brittle.l2(math.inf).around(x, -5.0, 5.0)
    point = x + torch.nn.functional.normalize(inputs(shape, seed=2).flatten(1)).view_as(x) * 0.3
    return ball, x, point, inputs(shape, seed=3)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_jump_touches_the_ball_where_the_way_to_x_is_a_tangent(share: float) -> None:
    ball, x, point, normal = _geometry()
    radius = torch.full((7,), 0.3 * share, dtype=x.dtype)
    there = _touching(ball, point, normal, radius)
    arm, way = (there - point).flatten(1), (there - x).flatten(1)
    assert torch.allclose(arm.norm(dim=1), radius)
    assert float((arm * way).sum(1).abs().max()) < 1e-12  # a right angle at the point of touch
    plane = torch.stack(
        [(x - point).flatten(1), normal.flatten(1)], 2
    )  # and it lies in the plane of x, point and normal
    assert float((plane @ torch.linalg.lstsq(plane, arm[..., None]).solution - arm[..., None]).abs().max()) < 1e-12
    assert ((arm * normal.flatten(1)).sum(1) > (arm * (x - point).flatten(1)).sum(1) * 0 - 1).all()


def test_no_point_of_the_half_ball_leads_nearer_to_x_on_a_plane() -> None:
    """Theorem 1: of all points of the hemisphere, the way back from the tangent's meets the boundary nearest to x."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(1, 4, dtype=torch.float64)
    normal = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)  # the boundary: the last coordinate is 1
    point = torch.tensor([[0.8, -0.5, 0.3, 1.0]], dtype=torch.float64)
    ball = brittle.l2(math.inf).around(x, -5.0, 5.0)
    radius = 0.4 * point.norm(dim=1)

    def lands(there: Tensor) -> Tensor:
        """How far from x the way back meets the boundary."""
        return (there / there[:, 3:]).norm(dim=1)

    best = lands(_touching(ball, point, normal, radius))
    away = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    away[:, 3].abs_()
    others = lands(point + radius * away / away.norm(dim=1, keepdim=True))
    assert float(best) < float(others.min()) < float(best) * 1.01
    straight = lands(point + radius * normal)
    assert float(best) < 0.99 * float(straight)  # HopSkipJump's jump


def test_the_tangent_attack_is_hop_skip_jump_but_for_the_jump_and_refuses_linf() -> None:
    assert brittle.tangent(queries=50) == HopSkipJump(queries=50, jump="tangent")
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    with pytest.raises(brittle.InputError, match="tangent works under l2"):
        _run(brittle.tangent(queries=50), victim, x, brittle.linf(0.1))


# -- Sign Flip ----------------------------------------------------------------------------------------------------------------------------


def _everything_wins(shape: tuple[int, ...]) -> tuple[Asker, Tensor]:
    """A victim that x itself is not asked about, and that calls everything another class."""
    x = torch.full((7, *shape), 0.5, dtype=torch.float64)

    def forward(point: Tensor) -> Tensor:
        same = (point == 0.5).flatten(1).all(1).double()
        return torch.stack([same, 1 - same], 1)

    problem = _problem(brittle.as_victim(forward), x, brittle.linf(1.0))
    return Asker.of(problem, problem.ball(""), 1000, stop=False), x


def test_each_step_inwards_makes_the_perturbation_smaller_by_its_length() -> None:
    asker, x = _everything_wins((3, 4))
    delta = 0.4 * inputs((3, 4), seed=5)
    delta[:, 0, 0] = 0.4
    none = torch.zeros(7, dtype=x.dtype)
    walk = _Walk(delta.clone(), torch.full((7,), 0.03, dtype=x.dtype), torch.full_like(delta, 0.01), none, none.clone())
    _inwards(asker, walk, torch.rand(7, 3, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(walk.delta.flatten(1).abs().amax(1), torch.tensor(0.37, dtype=x.dtype))
    assert float((walk.delta - delta).abs().max()) < 0.03 + 1e-12
    assert (walk.inwards == 1).all()


def test_a_flip_turns_those_signs_and_teaches_their_chances() -> None:
    asker, x = _everything_wins((3, 4))
    delta = 0.1 + 0.2 * torch.rand(7, 3, 4, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    none = torch.zeros(7, dtype=x.dtype)
    walk = _Walk(delta.clone(), none + 0.03, torch.full_like(delta, 5e-3), none.clone(), none.clone())
    u = torch.full((7, 3, 4), 0.5, dtype=x.dtype)
    u[:, 1, 2] = u[:6, 0, 0] = 1e-3
    u[6, 1, 2] = 0.4  # no chance comes true in the last: its likeliest is flipped all the same
    _flip(asker, walk, u)
    turned = walk.delta < 0
    assert torch.equal(walk.delta.abs(), delta)
    assert turned[:, 1, 2].all()
    assert turned[:6, 0, 0].all()
    assert int(turned.sum()) == 13
    assert torch.allclose(walk.chance[turned], torch.tensor(4.9e-3, dtype=x.dtype))
    assert torch.allclose(walk.chance[~turned], torch.tensor(5.1e-3, dtype=x.dtype))


@pytest.mark.parametrize(("wins", "step", "chance"), [(10, 1.5, 1e-3), (5, 1.0, 0.0), (0, 1 / 1.5, -1e-3)])
def test_lengths_and_chances_follow_how_often_they_win(wins: int, step: float, chance: float) -> None:
    count = torch.full((7,), float(wins))
    walk = _Walk(torch.zeros(7, 5), torch.full((7,), 0.1), torch.full((7, 5), 5e-3), count, count.clone())
    walk.adapt()
    assert torch.allclose(walk.step, torch.tensor(0.1 * step))
    assert torch.allclose(walk.chance, torch.tensor(5e-3 + chance))
    assert float(walk.inwards.sum() + walk.flipped.sum()) == 0


def test_on_a_coarser_grid_blocks_of_features_go_together() -> None:
    small = torch.arange(2.0 * 3 * 2).view(1, 2, 3, 2)
    large = _enlarged(small, torch.zeros(1, 2, 9, 5))
    assert large.shape == (1, 2, 9, 5)
    assert torch.equal(large[:, :, ::3, ::3], small)
    victim, x = network((1, 16, 16)), torch.full((2, 1, 16, 16), 0.5, dtype=torch.float64)
    assert SignFlip(reduction=2)._grid(x) == (2, 1, 8, 8)
    trial = _run(SignFlip(queries=200, reduction=2), victim, x, brittle.linf(math.inf))
    assert trial.verdict.feasible.all()


# -- pointwise ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 5, 6)])
def test_no_single_feature_of_what_it_finds_can_be_given_back(shape: tuple[int, ...]) -> None:
    victim, x = linear(shape, 3, bounds=(-1.0, 1.0)).victim, inputs(shape)
    labels = victim(x).argmax(1)
    trial = _run(Pointwise(), victim, x, brittle.l0(math.inf))
    assert trial.verdict.success.all()
    for row in trial.verdict.success.nonzero().flatten().tolist():
        point, clean = trial.x_adv[row].flatten(), x[row].flatten()
        for place in (point != clean).nonzero().flatten().tolist():
            back = point.clone()
            back[place] = clean[place]
            assert int(victim(back.view(1, *shape)).argmax()) == int(labels[row])


def test_on_a_plane_with_room_for_it_few_searches_find_the_least_number_of_features() -> None:
    """Where one feature is enough, chunks find it; and a search more never makes the result larger."""
    x = torch.full((4, 30), 0.5, dtype=torch.float64)

    def forward(point: Tensor) -> Tensor:
        high = (point[:, 17] - 0.5) * 10
        return torch.stack([torch.ones_like(high), high], 1)

    trial = _run(Pointwise(queries=200, searches=1), brittle.as_victim(forward), x, brittle.l0(30))
    assert trial.verdict.success.all()
    assert (trial.verdict.size == 1).all()
    assert (trial.x_adv != x).nonzero()[:, 1].tolist() == [17] * 4
    assert (
        int(trial.forwards.max()) < 60
    )  # of dense noise, single features would be as many questions as there are changes
    victim, x = linear((2, 5, 6), 3, bounds=(-1.0, 1.0)).victim, inputs((2, 5, 6))
    one, five = (_run(Pointwise(searches=many), victim, x, brittle.l0(60)).verdict for many in (1, 5))
    assert one.success.all()
    assert (five.size <= one.size).all()
    assert five.size.sum() < one.size.sum()


def test_what_could_not_be_given_back_at_first_is_tried_again() -> None:
    """The second feature only once the first is back: half of the samples come to it too soon."""

    def forward(point: Tensor) -> Tensor:
        first, second, third = (point[:, place] > 0.5 for place in range(3))
        wins = third & (second | ~first)
        return torch.stack([~wins, wins], 1).to(point.dtype)

    x = torch.zeros(20, 3)
    trial = _run(Pointwise(searches=1), brittle.as_victim(forward), x, brittle.l0(3), starts=torch.ones(20, 3))
    assert (trial.verdict.size == 1).all()


def test_it_begins_where_it_is_told_and_changes_nothing_else() -> None:
    victim, x = linear((3, 4), 3, bounds=(-1.0, 1.0)).victim, inputs((3, 4))
    labels = victim(x).argmax(1)
    starts = torch.where(inputs((3, 4), seed=9) > 0, x.roll(1, 0), x)
    wins = victim(starts).argmax(1) != labels
    assert wins.any()
    trial = _run(Pointwise(searches=1), victim, x, brittle.l0(math.inf), starts=starts)
    assert trial.verdict.success[wins].all()
    changed = trial.x_adv != x
    expected = x + (starts - x) * (1 + 1e-4)  # the answer is made firm by a ten-thousandth
    assert torch.allclose(trial.x_adv[wins][changed[wins]], expected[wins][changed[wins]], atol=1e-3)


def test_salt_and_pepper_are_as_many_as_they_should_be() -> None:
    x = torch.full((50, 30, 30), 0.3)
    ball = brittle.l0(10).around(x, 0.0, 1.0)
    noise = _salt_and_pepper(ball, Streams.seeded(0, torch.arange(50)), 0.1)
    assert set(noise.unique().tolist()) == {0.0, float(torch.tensor(0.3)), 1.0}
    for value in (0.0, 1.0):
        assert float((noise == value).float().mean()) == pytest.approx(0.05, abs=0.004)


# -- binarization -------------------------------------------------------------------------------------------------------------------------


def _binarising(
    threshold: float, shape: tuple[int, ...], included: str, bounds: tuple[float, float], dtype: Any
) -> Victim:
    inner = linear(shape, 3, dtype=torch.float64).victim

    def forward(point: Tensor) -> Tensor:
        over = point >= threshold if included == "upper" else point > threshold
        return inner(over.double() * 2 - 1).to(point.dtype)

    return brittle.as_victim(forward, bounds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("included", ["upper", "lower"])
@pytest.mark.parametrize(("threshold", "bounds"), [(None, (0.0, 1.0)), (0.3, (0.0, 1.0)), (0.0, (-1.0, 1.0))])
def test_the_refined_point_has_the_start_s_binary_image_and_is_the_nearest_that_has(
    threshold: float | None, bounds: tuple[float, float], included: Any, dtype: Any
) -> None:
    at = sum(bounds) / 2 if threshold is None else threshold
    victim = _binarising(at, (3, 4), included, bounds, dtype)
    x, starts = (inputs((3, 4), seed=seed, bounds=bounds).to(dtype) for seed in (0, 1))
    x[0, 0, 0], starts[0, 0, 1] = at, at
    labels = victim(x).argmax(1)
    wins = victim(starts).argmax(1) != labels
    assert wins.any()
    attack = BinarizationRefinement(threshold=threshold, included=included, starts=0)
    trial = _run(attack, victim, x, brittle.l2(math.inf), starts=starts)
    assert torch.equal(trial.verdict.success, wins)
    assert int(trial.forwards.max()) <= 3
    same = (starts >= at) == (x >= at) if included == "upper" else (starts > at) == (x > at)
    assert torch.equal(trial.x_adv[wins][same[wins]], x[wins][same[wins]])
    far = (trial.x_adv - at).abs()[wins][~same[wins]].double()
    assert float(far.max()) <= 4 * torch.finfo(dtype).eps * max(abs(at), 1e-30)


def test_on_a_model_that_does_not_binarise_the_start_is_kept() -> None:
    """One that looks at how grey a pixel is, where Foolbox raises an error for all of the batch."""
    x = torch.full((2, 4), 0.4, dtype=torch.float64)

    def forward(point: Tensor) -> Tensor:
        return torch.stack([torch.full_like(point[:, 0], 0.9), point[:, 0]], 1)

    starts = torch.tensor([[0.95, 0.4, 0.4, 0.4], [0.8, 0.4, 0.4, 0.4]], dtype=torch.float64)
    trial = _run(BinarizationRefinement(starts=0), brittle.as_victim(forward), x, brittle.l2(math.inf), starts=starts)
    assert trial.verdict.success.tolist() == [True, False]
    assert torch.equal(trial.x_adv, torch.stack([starts[0], x[1]]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SignFlip(queries=2), "queries=2"),
        (lambda: SignFlip(step=1.0), "step=1"),
        (lambda: SignFlip(flips=0.0), "flips=0"),
        (lambda: SignFlip(reduction=0.5), "reduction=0.5"),
        (lambda: SignFlip(starts=0), "starts=0"),
        (lambda: HopSkipJump(jump="far"), "jump='far'"),  # type: ignore[arg-type]
        (lambda: Pointwise(queries=2), "queries=2"),
        (lambda: Pointwise(starts=0), "starts=0"),
        (lambda: Pointwise(searches=0), "searches=0"),
        (lambda: BinarizationRefinement(included="both"), "included='both'"),  # type: ignore[arg-type]
        (lambda: BinarizationRefinement(starts=-1), "starts=-1"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        make()
