"""NAttack, the parsimonious attack, GenAttack, Pixle and ZOO: what would be false if their code were wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.score.genattack import GenAttack
from brittle.attacks.score.nattack import NAttack, _points, _squashed
from brittle.attacks.score.parsimonious import Parsimonious, _owners
from brittle.attacks.score.pixle import Pixle
from brittle.attacks.score.zoo import ZOO, _slopes
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
    door = Oracle(victim, Ledger.empty(len(x), x.device), Access.SCORES)
    return Problem(region, Classify(victim(x).argmax(1)), door, Streams.seeded(0, torch.arange(len(x))))


def _hopeless(labels: Tensor) -> Classify:
    return Classify(labels, (labels + 1) % 2, confidence=1 - 1e-15)


# -- all of them --------------------------------------------------------------------------------------------------------------------------

FIXED = {
    "nattack": brittle.linf,
    "parsimonious": brittle.linf,
    "genattack": brittle.linf,
}


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_linear_victim_is_won_well_above_its_distance(name: str, targeted: bool) -> None:
    model, x = linear((4, 5), 3), inputs((4, 5))
    labels = model.victim(x).argmax(1)
    targets = (labels + 1) % 3 if targeted else None
    far = float(model.distance(x, labels, "linf", targets).max()) * (3 if targeted else 2)
    attack = brittle.parse_attack(f"{name}:queries=3000")
    trial = _run(attack, model.victim, x, FIXED[name](far), goal=Classify(labels, targets))
    assert trial.verdict.success.all()
    assert int(trial.forwards.max()) < 3000  # who is won leaves


@pytest.mark.parametrize("name", ["nattack", "parsimonious", "genattack"])
def test_they_begin_where_they_are_told(name: str) -> None:
    """The start wins, and is among the first points that are asked about."""
    model, x = linear((4, 5), 2), inputs((4, 5))
    labels = model.victim(x).argmax(1)
    eps = 1.05 * float(model.distance(x, labels, "linf").max())
    uphill = (model.weight[1 - labels] - model.weight[labels]).view_as(x).sign()
    trial = _run(
        brittle.parse_attack(f"{name}:queries=20"), model.victim, x, brittle.linf(eps), starts=x + eps * uphill
    )
    assert trial.verdict.success.all()
    assert int(trial.forwards.max()) <= 16


# -- NAttack ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
def test_the_mean_s_own_point_is_x_and_noise_moves_even_black_pixels(bounds: tuple[float, float]) -> None:
    x = torch.tensor([[bounds[0], bounds[1], 0.5, sum(bounds) / 2]], dtype=torch.float64)
    victim = linear((4,), 2, bounds=bounds).victim
    ball = _problem(victim, x, brittle.linf(bounds[1] - bounds[0])).ball("")
    base = _squashed(ball, x).clamp(-0.76, 0.76)
    for sign in (0.0, 1.0, -1.0):
        noise = torch.full((1, 1, 4), sign, dtype=torch.float64)
        moved = (_points(ball, base.atanh(), base, noise, 0.1)[:, 0] - x) * sign / (bounds[1] - bounds[0])
        if sign == 0:
            assert float(moved.abs().max()) == 0
        else:
            assert moved[0, 2:].min() > 0.02
            assert moved[0, 1 if sign < 0 else 0] > 0.02  # away from the edge
            assert moved[0, 0 if sign < 0 else 1] == 0  # and not out of it


def test_a_black_image_is_won() -> None:
    """In tanh space black is infinitely far away, and the noise of an attack that begins there does nothing."""

    def forward(point: Tensor) -> Tensor:
        return torch.stack([torch.full_like(point[:, 0], 0.05), point.mean(1)], 1)

    trial = _run(NAttack(queries=500), brittle.as_victim(forward), torch.zeros(3, 20), brittle.linf(0.15))
    assert trial.verdict.success.all()


def test_a_generation_moves_the_mean_along_the_standardised_losses() -> None:
    """One generation and what the second asks first: its mean's own point, calculated here from the answers of the first."""
    model, x = linear((3, 4), 2), inputs((3, 4))[:1]
    asked: list[Tensor] = []

    def forward(point: Tensor) -> Tensor:
        asked.append(point.clone())
        return model.victim(point)

    victim = brittle.as_victim(forward, (-10.0, 10.0))
    labels = model.victim(x).argmax(1)
    attack = NAttack(queries=13, population=12, sigma=0.1, step_size=0.5)
    _run(attack, victim, x, brittle.linf(20.0), goal=_hopeless(labels))
    points = torch.cat(asked)[:13]
    goal = _hopeless(labels.expand(12))
    base = (x / 10).clamp(-0.76, 0.76)
    noise = (((points[:12] - x) / 10 + base).atanh() - base.atanh()) / 0.1
    loss = goal.margin(model.victim(points[:12]))
    weight = (loss - loss.mean()) / loss.std()
    mean = base.atanh() + 0.5 / (12 * 0.1) * (weight[:, None, None] * noise).sum(0)
    assert torch.allclose(points[0], x[0])
    assert torch.allclose(points[12], x[0] + 10 * (mean.tanh() - base)[0], rtol=0, atol=1e-6)


# -- parsimonious -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 6, 9)])
def test_single_features_end_at_the_best_corner_of_a_plane(shape: tuple[int, ...]) -> None:
    """On a linear model a pass over the features, each asked about once, finds every sign."""
    model, x = linear(shape, 2), inputs(shape)
    labels = model.victim(x).argmax(1)
    features = math.prod(shape)
    attack = Parsimonious(queries=1 + 2 * features, block=1, together=features)
    trial = _run(attack, model.victim, x, brittle.linf(0.01), goal=_hopeless(labels))
    uphill = (model.weight[1 - labels] - model.weight[labels]).view_as(x)
    assert torch.equal((trial.x_adv - x).sign(), uphill.sign())


def test_on_a_model_without_interactions_a_block_is_asked_about_twice_at_the_most() -> None:
    """First for its gain; then, in the order of the gains, once more before it is turned. What gains nothing is not asked about again."""
    model, x = linear((4, 5), 2), inputs((4, 5))
    labels = model.victim(x).argmax(1)
    uphill = (model.weight[1 - labels] - model.weight[labels]).flatten(1)
    best = 0.01 * uphill.abs().sum(1)
    for row in ROWS:
        one = row[None]
        up = int((uphill[row] > 0).sum())
        needed = 1 + 20 + (up - 1)  # the corner, all gains, and all but the first that go up
        for queries, arrived in ((needed, True), (needed - 2, False)):
            attack = Parsimonious(queries=queries, block=1)
            trial = _run(attack, model.victim, x[one], brittle.linf(0.01), goal=_hopeless(labels[one]))
            reached = ((trial.x_adv - x[one]).flatten(1) * uphill[one]).sum(1)
            assert bool((reached > best[one] * (1 - 1e-9)).all()) == arrived


def test_blocks_that_went_up_too_soon_go_back_down() -> None:
    """Two features that each help alone, and together cancel one another; a third that makes one of them harmful."""

    def forward(point: Tensor) -> Tensor:
        a, b, c = (point.flatten(1)[:, place] > 0 for place in range(3))
        height = 3.0 * a + 2.0 * b + 2.0 * c - 4.0 * (a & b) - 4.0 * (a & c) + 2.5 * (b & c)
        return torch.stack([torch.full_like(height, 20.0), height], 1).double()

    victim = brittle.as_victim(forward, (-1.0, 1.0))
    x = torch.zeros(1, 3, dtype=torch.float64)
    attack = Parsimonious(queries=60, block=1)
    trial = _run(attack, victim, x, brittle.linf(0.5), goal=Classify(torch.zeros(1, dtype=torch.int64)))
    best = max(
        float(forward(torch.tensor([[a, b, c]]))[0, 1]) for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)
    )
    assert float(forward(trial.x_adv)[0, 1]) in (best, 3.0)  # the best of all, or one that no single turn betters
    assert float(trial.verdict.margin[0]) >= 3.0 - 20.0


def test_a_bound_is_looked_at_again_before_its_block_goes_up() -> None:
    """Beside the first block the second gains little, less than the third: asked about fifth, it must wait for that."""

    def forward(point: Tensor) -> Tensor:
        a, b, c = (point[:, place] > 0 for place in range(3))
        return torch.stack([torch.full_like(point[:, 0], 20.0), 3.0 * a + 2.9 * b + 2.0 * c - 2.4 * (a & b)], 1)

    x = torch.zeros(4, 3, dtype=torch.float64)
    goal = Classify(torch.zeros(4, dtype=torch.int64))
    for queries, signs in ((4, [1, -1, -1]), (6, [1, -1, 1]), (7, [1, 1, 1])):
        trial = _run(
            Parsimonious(queries=queries), brittle.as_victim(forward, (-1.0, 1.0)), x, brittle.linf(0.5), goal=goal
        )
        assert trial.x_adv.sign().int().tolist() == [signs] * 4


@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 6, 9), (1, 28, 28)])
def test_blocks_are_squares_of_one_channel_and_are_halved_down_to_pixels(shape: tuple[int, int, int]) -> None:
    owners = _owners(shape, 4, torch.device("cpu"))
    assert torch.equal(owners[-1], torch.arange(math.prod(shape)))
    for side, owner in zip((4, 2, 1), owners, strict=True):
        image = owner.view(shape)
        for block in range(int(owner.max()) + 1):
            channel, row, column = (place.unique() for place in (image == block).nonzero().unbind(1))
            assert len(channel) == 1
            assert len(row) <= side
            assert len(column) <= side
            assert int(row[0]) % side == int(column[0]) % side == 0
            assert (image[channel[0], row[0] : row[-1] + 1, column[0] : column[-1] + 1] == block).all()


# -- GenAttack ----------------------------------------------------------------------------------------------------------------------------


def test_the_elite_is_never_lost_nor_asked_about_again() -> None:
    victim, x = network((3, 4)), inputs((3, 4), 1, bounds=(0.0, 1.0))
    asked: list[Tensor] = []

    def forward(point: Tensor) -> Tensor:
        asked.append(point.clone())
        return victim(point)

    labels = victim(x).argmax(1)
    goal = Classify(labels, (labels + 1) % 4, confidence=1 - 1e-12)
    trial = _run(GenAttack(queries=61, population=6), brittle.as_victim(forward), x, brittle.linf(0.1), goal=goal)
    points = torch.cat(asked)[:61]
    margin = goal.select(torch.zeros(61, dtype=torch.int64)).margin(victim(points))
    assert [len(part) for part in asked[:12]] == [6, *[5] * 11]  # a generation is one query less than the first
    assert torch.equal(trial.x_adv[0], points[margin.argmax()])
    assert len(points.flatten(1).unique(dim=0)) == 61


def test_a_child_has_each_feature_of_a_parent_or_a_mutation_of_it() -> None:
    attack = GenAttack(population=5, temperature=1e-6)
    crowd = torch.stack([torch.full((3, 2, 4, 5), value) for value in (-0.5, 0.0, 0.2, 0.9, -0.9)], 1)
    fitness = torch.tensor([[0.0, 1.0, 2.0, 5.0, 1.0]] * 3)
    still = torch.full((3,), 1000)  # mutations are as rare and small as they become
    children = attack._bred(crowd, fitness, still, Streams.seeded(0, torch.arange(3)))
    assert children.shape == (3, 4, 2, 4, 5)
    assert float((children - 0.9).abs().max()) <= 0.15 + 1e-6  # all of the fittest, at no temperature at all
    assert 0.05 < float((children != 0.9).float().mean()) < 0.2
    mixed = GenAttack(population=5, temperature=1e6)._bred(crowd, fitness, still, Streams.seeded(0, torch.arange(3)))
    assert {float(value) for value in mixed.flatten().unique()} >= {
        -0.5,
        0.0,
        *(float(v) for v in torch.tensor([0.2, 0.9, -0.9])),
    }


def test_noise_on_a_smaller_grid_is_smooth() -> None:
    victim, x = network((1, 12, 12)), torch.full((2, 1, 12, 12), 0.5, dtype=torch.float64)
    wrong = Classify(victim(x).argmax(1), confidence=1 - 1e-12)
    rough, smooth = (
        _run(GenAttack(queries=6, side=side), victim, x, brittle.linf(0.1), goal=wrong).x_adv for side in (None, 3)
    )
    assert float(smooth.diff(dim=3).abs().mean()) < 0.4 * float(rough.diff(dim=3).abs().mean())


# -- Pixle --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "eps", "pixels"), [((3, 6, 7), 12, 4), ((1, 6, 7), 5, 5), ((9,), 3, 3), ((4, 5), 2, 2)]
)
@pytest.mark.parametrize("tries", [1, 5])
def test_only_colours_of_the_image_come_in_and_only_so_many_pixels(
    shape: tuple[int, ...], eps: int, pixels: int, tries: int
) -> None:
    victim, x = network(shape), inputs(shape, bounds=(0.0, 1.0))
    labels = victim(x).argmax(1)
    goal = Classify(labels, (labels + 1) % 4, confidence=1 - 1e-12)
    trial = _run(Pixle(queries=60, tries=tries, side=3), victim, x, brittle.l0(eps), goal=goal)
    assert (trial.forwards == 60).all()
    before, after = (t.view(7, shape[0] if len(shape) == 3 else 1, -1) for t in (x, trial.x_adv))
    changed = (before != after).any(1)
    assert 1 <= int(changed.sum(1).min()) <= int(changed.sum(1).max()) <= pixels
    for row in range(7):
        colours = {tuple(colour.tolist()) for colour in before[row].T}
        assert {tuple(colour.tolist()) for colour in after[row].T} <= colours
    assert (goal.margin(victim(trial.x_adv)) > goal.margin(victim(x))).all()


def test_where_no_pixel_fits_single_features_are_copied() -> None:
    victim, x = network((3, 6, 7)), inputs((3, 6, 7), bounds=(0.0, 1.0))
    goal = Classify(victim(x).argmax(1), confidence=1 - 1e-12)
    trial = _run(Pixle(queries=40), victim, x, brittle.l0(2), goal=goal)
    changed = (trial.x_adv != x).flatten(1)
    assert 1 <= int(changed.sum(1).max()) <= 2
    for row in range(7):
        assert set(trial.x_adv[row].flatten().tolist()) <= set(x[row].flatten().tolist())


def test_a_patch_fits_into_the_image_and_its_places_are_anywhere() -> None:
    """The last row and column too, which the authors' code never takes."""
    attack, shape = Pixle(side=3), (1, 4, 6)
    patch = attack._patch(Streams.seeded(0, torch.arange(500)).uniform((4,)), shape)
    counts = (patch >= 0).sum(1)
    assert set(counts.tolist()) == {1, 2, 3, 4, 6, 9}
    for pixels, count in zip(patch, counts, strict=True):
        row, column = pixels[pixels >= 0] // 6, pixels[pixels >= 0] % 6
        assert (
            int((row.max() - row.min() + 1) * (column.max() - column.min() + 1))
            == int(count)
            == len(pixels[pixels >= 0].unique())
        )
    assert int(patch.max()) == 23


# -- ZOO ----------------------------------------------------------------------------------------------------------------------------------


def test_slopes_are_the_gradient_s_also_at_the_edge_of_the_box_and_behind_a_mask() -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    x[:, 0, 0], x[:, 0, 1] = 0.0, 1.0
    mask = torch.ones(3, 4)
    mask[1, 2] = 0
    problem = _problem(victim, x, brittle.l2(math.inf, mask=mask))
    asked = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(problem.goal.margin(victim(asked)).sum(), asked)
    chosen = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(row)) for row in range(7)])
    slope = _slopes(problem, x.flatten(1), chosen)
    expected = (grad * mask).flatten(1).gather(1, chosen)
    assert torch.allclose(slope, expected, rtol=1e-2, atol=1e-3 * float(grad.abs().max()))
    assert (slope[chosen == 6] == 0).all()
    assert (problem.door.ledger.forwards == 24).all()


@pytest.mark.slow
@pytest.mark.parametrize(("features", "most"), [(3, 1.05), (12, 1.02), (128, 1.02)])
@pytest.mark.parametrize("targeted", [False, True])
def test_zoo_comes_to_the_nearest_point_of_a_plane(features: int, most: float, targeted: bool) -> None:
    model, x = linear((3, 4), 2, seed=4), inputs((3, 4), seed=4)
    labels = model.victim(x).argmax(1)
    goal = Classify(labels, 1 - labels if targeted else None)
    trial = _run(ZOO(queries=3000, features=features), model.victim, x, brittle.l2(math.inf), goal=goal)
    ratio = trial.verdict.size / model.distance(x, labels, "l2", goal.targets)
    assert trial.verdict.success.all()
    assert 1 <= float(ratio.min()) <= float(ratio.max()) < most


def test_zoo_finds_the_same_at_any_scale_of_the_logits_and_of_the_inputs() -> None:
    model, x = linear((3, 4), 2, seed=4), inputs((3, 4), seed=4)
    labels = model.victim(x).argmax(1)
    sizes = []
    for logits, units in ((1.0, 1.0), (1000.0, 1.0), (1e-3, 1.0), (1.0, 255.0)):

        def forward(point: Tensor, logits: float = logits, units: float = units) -> Tensor:
            return model.victim(point / units) * logits

        victim = brittle.as_victim(forward, (-10 * units, 10 * units))
        trial = _run(ZOO(queries=1000), victim, x * units, brittle.l2(math.inf), goal=Classify(labels))
        sizes.append(trial.verdict.size / units)
    assert all(torch.allclose(size, sizes[0], rtol=1e-3) for size in sizes)


@pytest.mark.parametrize("queries", [11, 12, 13, 14, 40])
def test_zoo_asks_no_more_than_its_queries_however_few(queries: int) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    for starts in (None, 1 - x):
        trial = _run(ZOO(queries=queries), victim, x, brittle.l2(math.inf), starts=starts)
        assert int(trial.forwards.max()) <= queries


# -- options ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: NAttack(queries=0), "queries=0"),
        (lambda: NAttack(population=2), "population=2"),
        (lambda: NAttack(sigma=0.0), "sigma=0"),
        (lambda: NAttack(step_size=-1.0), "step_size=-1"),
        (lambda: Parsimonious(queries=0), "queries=0"),
        (lambda: Parsimonious(block=0), "block=0"),
        (lambda: Parsimonious(together=0), "together=0"),
        (lambda: GenAttack(queries=0), "queries=0"),
        (lambda: GenAttack(population=1), "population=1"),
        (lambda: GenAttack(temperature=0.0), "temperature=0"),
        (lambda: GenAttack(side=0), "side=0"),
        (lambda: Pixle(queries=0), "queries=0"),
        (lambda: Pixle(tries=0), "tries=0"),
        (lambda: Pixle(side=0), "side=0"),
        (lambda: ZOO(queries=5), "queries=5"),
        (lambda: ZOO(search=-1), "search=-1"),
        (lambda: ZOO(features=0), "features=0"),
        (lambda: ZOO(step_size=0.0), "step_size=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        make()
