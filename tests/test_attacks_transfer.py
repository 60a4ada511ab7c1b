"""Directions: what each makes of a gradient, that nothing settings change nothing, and that they compose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor
from torch.nn import functional as F

import brittle
from brittle.attacks import directions
from brittle.attacks.directions import DIRECTIONS, Admix, Direction, Pictures
from brittle.attacks.directions.blocks import BlockShuffle, StructureInvariant, _lengths, sampled
from brittle.attacks.directions.role import Place, Scene
from brittle.attacks.directions.spectrum import cosines
from brittle.attacks.directions.warp import influence, warped
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.runs.values import decode, encode
from brittle.testing import linear, network
from brittle.testing.findings import run_checks
from brittle.testing.laws import CHECKS, Case
from brittle.testing.victims import inputs

SHAPE = (3, 8, 9)
X = inputs(SHAPE, bounds=(0.0, 1.0))
VICTIM = network(SHAPE)
GOAL = Classify(VICTIM(X).argmax(1))
POOL = Pictures.of(inputs(SHAPE, 4, seed=5, bounds=(0.0, 1.0)))
SINGLE = [
    name for name, maker in DIRECTIONS.items() if maker().place not in (Place.NETWORKS, Place.FEATURES, Place.SURROGATE)
]  # the rest: test_directions_members, test_directions_surrogate, test_directions_features
FEW = {"samples": 2, "neighbours": 2, "copies": 2}


def few(name: str) -> Any:
    """The direction with few copies, its pictures for admix."""
    made: Any = DIRECTIONS[name]()
    if name == "di":
        return type(made)(prob=1.0, growth=1.5)  # a tenth of eight pixels is none
    fields = {key: value for key, value in FEW.items() if key in made.__dataclass_fields__}
    if name == "stm":
        return type(made)(network="py:test_directions:painted", copies=2, numbers=2)
    return Admix(pictures=POOL, mixed=2, copies=2) if name == "admix" else type(made)(**fields)


def run(attack: Any, rows: Tensor | None = None) -> Trial:
    rows = torch.arange(7) if rows is None else rows
    return attempt(attack, VICTIM, brittle.linf(0.05), X[rows], GOAL.select(rows), rows, 0)


def scene(x: Tensor = X, eps: float = 0.1, step: float = 0.01) -> Scene:
    region = brittle.linf(eps).around(x, 0.0, 1.0)
    door = Oracle(VICTIM, Ledger.empty(len(x), x.device), Access.GRADIENT)
    problem = Problem(region, GOAL, door, Streams.seeded(0, torch.arange(len(x))))
    return Scene(problem, x.new_full((len(x),), step))


class Asked:
    """A gradient that is known, x -> x^2 - 0.3, and the points that it was asked at."""

    def __init__(self) -> None:
        self.points: list[Tensor] = []

    def __call__(self, point: Tensor) -> Tensor:
        self.points.append(point.clone())
        return known(point)


def known(x: Tensor) -> Tensor:
    return x.square() - 0.3


def per_mean(grad: Tensor) -> Tensor:
    return grad / grad.abs().flatten(1).mean(1).view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    "direction",
    [
        "vt:neighbours=0",
        "emi:samples=1",
        "gnp:weight=0",
        "ti:side=1",
        "si:copies=1",
        "di:prob=0",
        "di:growth=1",
        "ssa:rho=0,noise=0,copies=1",
        "bsr:blocks=1,angle_deg=0,copies=1",
        "decowa:push=0,rate=0,copies=1",
    ],
)
def test_settings_that_change_nothing_give_the_base_attack(direction: str) -> None:
    base, with_it = run(brittle.mifgsm(5)), run(brittle.parse_attack(f"mifgsm:steps=5+{direction}"))
    assert float((with_it.x_adv - base.x_adv).abs().max()) < 1e-9


def test_mixing_nothing_in_gives_the_base_attack() -> None:
    nothing = brittle.compose(brittle.mifgsm(5), Admix(pictures=POOL, mixed=1, copies=1, share=0))
    assert torch.equal(run(nothing).x_adv, run(brittle.mifgsm(5)).x_adv)


@pytest.mark.parametrize("name", SINGLE)
def test_it_changes_the_path_and_says_how_often_it_asks(name: str) -> None:
    direction = few(name)
    plain, trial = (
        attempt(attack, VICTIM, brittle.l2(1.0), X, GOAL, torch.arange(7), 0)
        for attack in (brittle.mifgsm(3), brittle.compose(brittle.mifgsm(3), direction))
    )
    assert (trial.forwards == 3 * direction.passes).all()
    assert (trial.backwards == 3 * direction.passes).all()
    assert float((trial.x_adv - plain.x_adv).abs().flatten(1).amax(1).min()) > 1e-6
    assert trial.verdict.feasible.all()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SINGLE} - {"admix"}))  # its pictures have one shape, the laws' inputs three
def test_it_keeps_the_laws(name: str) -> None:
    """All but the one that demands a win on linear victims of random weights, from methods that smooth or shuffle a picture."""
    checks = {law: check for law, check in CHECKS.items() if not law.startswith("wins at")}
    attack = brittle.compose(brittle.mifgsm(3), few(name))
    assert [f.sentence for f in run_checks(checks, Case(attack, brittle.linf(0.1)), name) if not f.passed] == []


@pytest.mark.parametrize("name", ["pi", "emi", "vt", "pgn", "gra"])
def test_gradients_around_win_what_a_plain_one_wins(name: str) -> None:
    law = {name: check for name, check in CHECKS.items() if name.startswith("wins at")}
    attack = brittle.compose(brittle.mifgsm(3), few(name))
    assert all(finding.passed for finding in run_checks(law, Case(attack, brittle.linf(0.1)), name))


@pytest.mark.parametrize("text", ["admix+di+ti", "vt+si", "pgn+bsr"])
def test_a_composition_treats_a_sample_the_same_whoever_is_beside_it(text: str) -> None:
    attack = brittle.compose(brittle.nifgsm(3), *(few(name) for name in text.split("+")))
    whole = run(attack)
    for rows in ([4], [6, 0, 3]):
        part = run(attack, torch.tensor(rows))
        assert float((part.x_adv - whole.x_adv[rows]).abs().max()) < 1e-9


def test_the_order_in_which_they_are_written_does_not_matter() -> None:
    one, other = (
        attempt(
            brittle.parse_attack(f"mifgsm:steps=3+{text}"), VICTIM, brittle.l2(1.0), X, GOAL, torch.arange(7), 0
        ).x_adv
        for text in ("di:prob=1,growth=1.5+ti+vt:neighbours=2+si", "vt:neighbours=2+si+di:prob=1,growth=1.5+ti")
    )
    assert torch.equal(one, other)


def test_the_look_ahead_follows_the_last_gradient() -> None:
    asked, setting = Asked(), scene()
    climb = DIRECTIONS["pi"]().bend(asked, setting)
    assert torch.equal(climb(X), known(X))
    climb(X + 0.02)
    assert torch.allclose(asked.points[1], X + 0.02 + 0.01 * per_mean(known(X)))


def test_enhanced_momentum_looks_both_ways_along_the_mean() -> None:
    asked = Asked()
    climb = DIRECTIONS["emi"](samples=3, reach=2.0).bend(asked, scene())
    first = climb(X)
    assert torch.allclose(first, known(X))
    second = climb(X)
    expected = [X + c * 0.01 * per_mean(first) for c in (-2, 0, 2)]
    assert torch.allclose(second, sum(map(known, expected)) / 3)


def test_variance_tuning_adds_the_difference_of_the_step_before() -> None:
    asked = Asked()
    climb = DIRECTIONS["vt"](neighbours=3, reach=1.5).bend(asked, scene(eps=0.1))
    assert torch.equal(climb(X), known(X))
    around = asked.points[1:4]
    assert all(0.14 < float((one - X).abs().max()) <= 0.15 for one in around)
    second = climb(X + 0.1)
    variance = sum(map(known, around)) / 3 - known(X)
    assert torch.allclose(second, known(X + 0.1) + variance)


def test_the_penalised_norm_is_a_mean_of_a_neighbour_and_of_where_its_slope_came_from() -> None:
    asked = Asked()
    made = DIRECTIONS["pgn"](neighbours=2, balance=0.3).bend(asked, scene(eps=0.1))(X)
    near = asked.points[::2]
    assert all(0.29 < float((one - X).abs().max()) <= 0.3 for one in near)
    below = [one - 0.01 * per_mean(known(one)) for one in near]
    assert all(torch.allclose(a, b) for a, b in zip(below, asked.points[1::2], strict=True))
    expected = sum(0.7 * known(a) + 0.3 * known(b) for a, b in zip(near, below, strict=True)) / 2
    assert torch.allclose(made, expected)


def test_relevance_is_a_cosine() -> None:
    asked = Asked()
    made = DIRECTIONS["gra"](neighbours=2).bend(asked, scene())(X)
    around = sum(map(known, asked.points[1:])) / 2
    grad = known(X)
    alike = (grad * around).flatten(1).sum(1) / grad.flatten(1).norm(dim=1) / around.flatten(1).norm(dim=1)
    alike = alike.view(-1, 1, 1, 1)
    assert torch.allclose(made, alike * grad + (1 - alike) * around)


def test_the_norm_penalty_is_the_gradient_of_the_loss_less_its_slope() -> None:
    """Of the loss |x|^2 / 2 the gradient is x and its length's gradient x / |x|: one step of r along it, times weight, comes off."""
    made = DIRECTIONS["gnp"](reach=0.1, weight=0.5).bend(lambda x: x, scene())(X)
    root = X.flatten(1).square().mean(1).sqrt().view(-1, 1, 1, 1)
    assert torch.allclose(made, X - 0.5 * 0.1 * X / root)


def test_integrated_gradients_add_up_to_the_change_of_the_loss() -> None:
    """The completeness that gives them their name, for the loss sum x^3 / 3 - 0.3 x from black to x."""
    made = DIRECTIONS["ig"](samples=400).bend(known, scene())(X)
    change = (X**3 / 3 - 0.3 * X).flatten(1).sum(1)
    assert torch.allclose(made.flatten(1).sum(1), change, rtol=0.02, atol=0.1)


def test_translation_invariance_is_the_sum_of_shifted_gradients() -> None:
    direction = DIRECTIONS["ti"](side=3)
    made = direction.bend(known, scene())(X)
    one = direction.kernel(X)  # type: ignore[attr-defined]
    grad = F.pad(known(X), (1, 1, 1, 1))
    expected = sum(one[i] * one[j] * grad[:, :, i : i + 8, j : j + 9] for i in range(3) for j in range(3))
    assert torch.allclose(made, expected)
    assert abs(float(one.sum()) - 1) < 1e-12
    assert abs(float(one[1] / one[0]) - np.exp(4.5)) < 1e-6  # three standard deviations to the edge
    with pytest.raises(brittle.InputError, match="side=4 has no middle"):
        DIRECTIONS["ti"](side=4)


def by_autograd(view: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """The gradient of the mean of the loss x^3 / 3 - 0.3 x over the pictures that a view makes of X."""
    asked = X.clone().requires_grad_()
    seen = view(asked)
    loss = sum((one**3 / 3 - 0.3 * one).sum() for one in seen) / len(seen)
    assert isinstance(loss, Tensor)
    (grad,) = torch.autograd.grad(loss, asked)
    return grad


def test_scales_are_the_gradient_of_the_mean_loss_of_darker_copies() -> None:
    made = DIRECTIONS["si"](copies=3).bend(known, scene())(X)
    assert torch.allclose(made, by_autograd(lambda x: [x, x / 2, x / 4]))


def test_admix_is_the_gradient_of_the_mean_loss_of_mixtures() -> None:
    asked = Asked()
    made = Admix(pictures=POOL, mixed=2, copies=2, share=0.2).bend(asked, scene())(X)
    others = [(asked.points[i] - X) / 0.2 for i in (0, 2)]
    pool = POOL.tensor(X)
    for other in others:
        assert all(any(torch.allclose(one, picture) for picture in pool) for one in other)
    mixtures = [X + 0.2 * other for other in others]
    assert torch.allclose(made, by_autograd(lambda x: [(x + 0.2 * o) / s for o in others for s in (1, 2)]))
    assert torch.allclose(asked.points[3], mixtures[1] / 2)
    with pytest.raises(brittle.InputError, match="no pictures to mix in"):
        run(brittle.parse_attack("mifgsm:steps=2+admix"))
    with pytest.raises(brittle.InputError, match="shape"):
        run(brittle.compose(brittle.mifgsm(2), Admix(pictures=Pictures.of(torch.rand(2, 3, 4, 4)))))


def test_pictures_are_read_from_a_file_to_the_last_level(tmp_path: Path) -> None:
    levels = torch.arange(2 * 3 * 4).view(2, 3, 4).float() * 11
    np.save(tmp_path / "some.npy", levels.numpy())
    attack: Any = brittle.parse_attack(f"mifgsm+admix:path={tmp_path / 'some.npy'}")
    assert torch.allclose(attack.directions[0].pictures.tensor(levels), levels, atol=0.5)
    with pytest.raises(brittle.InputError, match="does not exist; give a NumPy file of pictures"):
        Pictures.read(tmp_path / "none.npy")


def test_the_cosine_transform_is_exact_and_so_is_its_inverse() -> None:
    assert np.allclose(cosines(X).numpy(), dctn(X.numpy(), axes=(-2, -1), norm="ortho"))
    assert torch.allclose(cosines(cosines(X), inverse=True), X, atol=1e-12)


def test_the_spectrum_is_louder_and_softer_by_at_most_rho() -> None:
    asked = Asked()
    DIRECTIONS["ssa"](copies=2, rho=0.3, noise=0.0).bend(asked, scene())(X)
    for seen in asked.points:
        ratio = cosines(seen) / cosines(X)
        assert 0.7 - 1e-6 < float(ratio.min()) < 0.75
        assert 1.25 < float(ratio.max()) < 1.3 + 1e-6
    DIRECTIONS["ssa"](copies=1, rho=0.0, noise=1.0).bend(asked, scene(eps=0.1))(X)
    assert 0.08 < float((asked.points[-1] - X).std()) < 0.12


def test_diverse_inputs_are_resized_padded_and_resized_back() -> None:
    direction: Any = DIRECTIONS["di"](prob=1.0, growth=1.5)
    made = direction.view(X[:1], [[0.0, 0.5, 0.9, 0.1]])
    inner = F.interpolate(X[:1], (10, 11), mode="bilinear")  # of 12 x 13: half of the way
    padded = F.pad(inner, (0, 2, 1, 1))
    assert torch.allclose(made, F.interpolate(padded, (8, 9), mode="bilinear"))
    asked = Asked()
    DIRECTIONS["di"](prob=0.5, growth=1.5).bend(asked, scene())(X)
    kept = [torch.equal(a, b) for a, b in zip(asked.points[0], X, strict=True)]
    assert 0 < sum(kept) < 7  # each sample draws for itself


def test_shuffled_blocks_are_the_same_pixels_elsewhere() -> None:
    direction, numbers = BlockShuffle(angle_deg=0.0), scene().uniform((28,))
    grid = torch.stack([direction.grid(one, 8, 9) for one in numbers]).to(X)
    made = sampled(X, grid)
    assert torch.allclose(made.flatten(2).sort(2).values, X.flatten(2).sort(2).values)
    assert not torch.allclose(made, X)
    assert sum(_lengths(numbers[0, :3], 224)) == 224
    assert min(_lengths(numbers[0, :3], 224)) >= 40  # between 1 and 2 parts each
    turned = torch.stack([BlockShuffle().grid(one, 8, 9) for one in numbers]).to(X)
    assert 0.01 < float((turned[..., 0] < -1e3).double().mean()) < 0.5  # corners that a rotation leaves empty


def test_blocks_keep_their_own_pixels() -> None:
    direction = StructureInvariant(blocks=2)
    kinds = set()
    for numbers in Streams.seeded(0, torch.arange(40)).uniform((4, 2, 2)):
        whence, dimmed, rough = direction.changes(numbers, 6, 5)
        assert torch.equal(whence.flatten().sort().values, torch.arange(30))
        kinds.add((bool((dimmed < 1).any()), bool(rough.any()), bool((whence.flatten() != torch.arange(30)).any())))
        assert not bool(((dimmed < 1) & rough).any())
    assert len(kinds) > 4


def test_a_warp_moves_what_is_pushed_and_holds_the_rim() -> None:
    spread = influence(3, 31, 41)
    assert abs(float(spread[15, 20, 0]) - 1) < 1e-6
    y, x = spread[:, 20, 0], spread[15, :, 0]
    assert float(y[0].abs()) < 0.1  # half a pixel from the rim
    assert float(x[0].abs()) < 0.1
    picture = inputs((1, 31, 41), 1)
    moved = warped(picture, torch.tensor([[[4 / 41, 0.0]]], dtype=torch.float64), spread)
    assert torch.allclose(moved[0, 0, 15, 20], picture[0, 0, 15, 22])  # a shift of two pixels, from the right


def test_attacks_are_composed_by_text_and_by_value() -> None:
    text: Any = brittle.parse_attack("mifgsm:steps=20+di:prob=0.7+ti")
    assert text == brittle.compose(
        brittle.mifgsm(20), directions.DiverseInputs(prob=0.7), directions.TranslationInvariant()
    )
    assert brittle.parse_attack("ifgsm:step_size=1e+3") == brittle.ifgsm(step_size=1000.0)
    assert decode(encode(text)) == text
    mixed = brittle.compose(brittle.mifgsm(), Admix(pictures=POOL))
    assert decode(encode(mixed)) == mixed
    assert isinstance(DIRECTIONS["di"](), Direction)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mifgsm+dii", "direction"),
        ("mifgsm+di:probb=1", "probb"),
        ("mifgsm+di:prob=1.5", "prob=1.5"),
        ("apgd+di", "directions cannot be added to a ByNorm"),
        ("pgd+di", "keep='last'"),
        ("mifgssm+di", "mifgssm"),
    ],
)
def test_what_cannot_be_composed_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        brittle.parse_attack(text)


def test_directions_need_a_ball() -> None:
    with pytest.raises(brittle.InputError, match="an attack with directions works under a norm ball"):
        attempt(brittle.parse_attack("mifgsm+ti"), VICTIM, brittle.spatial(10, 0.1), X, GOAL, torch.arange(7), 0)


def test_a_budget_holds_inside_a_direction() -> None:
    attack: Any = brittle.compose(brittle.mifgsm(4), few("vt"), few("si"))
    trial = attempt(attack, VICTIM, brittle.linf(0.1), X, GOAL, torch.arange(7), 0, budget=9)
    assert int((trial.forwards + trial.backwards).max()) <= 9
    assert trial.verdict.feasible.all()


def test_nothing_is_lost_on_a_linear_model() -> None:
    """There every gradient is the same: directions that only look elsewhere end where momentum ends."""
    model, x = linear(SHAPE, 2), inputs(SHAPE)
    goal = Classify(model.victim(x).argmax(1))
    base = attempt(brittle.mifgsm(4), model.victim, brittle.linf(0.1), x, goal, torch.arange(7), 0).x_adv
    for name in ("pi", "emi", "vt", "pgn", "gra", "si"):
        attack = brittle.compose(brittle.mifgsm(4), few(name))
        made = attempt(attack, model.victim, brittle.linf(0.1), x, goal, torch.arange(7), 0).x_adv
        assert torch.allclose(made, base, atol=1e-9), name
