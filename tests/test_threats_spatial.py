"""Rotation, translation and flow: nothing moves where nothing should, and attacks find what turns a label."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.goal import Classify
from brittle.core.streams import Streams
from brittle.core.trial import attempt
from brittle.core.victim import Victim, as_victim
from brittle.threats import flow, spatial

SHAPE = (1, 9, 9)


def _images(count: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.2 + 0.6 * torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64)


def _victim() -> Victim:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 49, 4)).double().eval()
    return as_victim(net)


def _goal(victim: Victim, x: Tensor) -> Classify:
    return Classify(victim(x).argmax(1))


@pytest.mark.parametrize("threat", [spatial(30, 0.2), flow(1.0)])
def test_the_origin_is_the_image_itself_and_no_limit_is_no_change(threat: brittle.core.problem.Threat) -> None:
    x = _images()
    region = threat.around(x, 0.0, 1.0)
    assert torch.equal(region.render(region.origin), x)
    none = threat.with_eps(0.0).around(x, 0.0, 1.0)
    assert torch.equal(none.render(none.random(Streams.seeded(0, torch.arange(7)))), x)


def test_a_quarter_turn_and_a_shift_of_one_pixel_are_exact() -> None:
    x = _images()
    turned = spatial(90, 0.0).around(x, 0.0, 1.0)
    point = torch.tensor([[1.0, 0, 0]], dtype=x.dtype).expand(7, 3)
    assert torch.allclose(turned.render(point), torch.rot90(x, -1, (2, 3)), atol=1e-9)
    moved = spatial(0, 1 / 9).around(x, 0.0, 1.0)
    right = moved.render(torch.tensor([[0.0, 1, 0]], dtype=x.dtype).expand(7, 3))
    assert torch.allclose(right[..., 1:], x[..., :-1], atol=1e-9)
    assert not right[..., 0].any()
    down = moved.render(torch.tensor([[0.0, 0, 1]], dtype=x.dtype).expand(7, 3))
    assert torch.allclose(down[..., 1:, :], x[..., :-1, :], atol=1e-9)


def test_pixels_from_outside_are_black_whatever_black_is() -> None:
    x = 2 * _images() - 1
    moved = spatial(0, 2 / 9).around(x, -1.0, 1.0)
    right = moved.render(torch.tensor([[0.0, 1, 0]], dtype=x.dtype).expand(7, 3))
    assert torch.equal(right[..., :2], torch.full_like(right[..., :2], -1))


def test_a_flow_of_one_pixel_takes_the_neighbour() -> None:
    x = _images()
    region = flow(1.0).around(x, 0.0, 1.0)
    point = torch.zeros_like(region.origin)
    point[:, 0] = 1
    assert torch.allclose(region.render(point)[..., :-1], x[..., 1:], atol=1e-9)
    assert torch.allclose(region.render(point)[..., -1], x[..., -1], atol=1e-9)


@pytest.mark.parametrize("text", ["pgd:steps=20", "grid_search:points=5", "uniform_noise:draws=30", "apgd:steps=20"])
@pytest.mark.parametrize("rows", [[2], [6, 0, 3]])
def test_a_sample_is_treated_the_same_whoever_is_beside_it(text: str, rows: list[int]) -> None:
    victim, x, attack = _victim(), _images(), brittle.parse_attack(text)
    goal, ids, chosen = _goal(victim, x), torch.arange(7), torch.tensor(rows)
    whole = attempt(attack, victim, spatial(20, 0.1), x, goal, ids, 0)
    part = attempt(attack, victim, spatial(20, 0.1), x[chosen], goal.select(chosen), chosen, 0)
    assert whole.verdict.feasible.all()
    assert torch.allclose(part.x_adv, whole.x_adv[chosen], atol=1e-9)
    assert torch.equal(part.forwards, whole.forwards[chosen])


def test_the_judge_measures_what_is_rendered() -> None:
    victim, x = _victim(), _images()
    trial = attempt(
        brittle.parse_attack("grid_search:points=7"),
        victim,
        spatial(60, 0.3),
        x,
        _goal(victim, x),
        x[:, 0, 0, 0].long(),
        0,
    )
    assert trial.x_adv.shape == x.shape
    assert torch.equal(trial.verdict.predicted, victim(trial.x_adv).argmax(1))
    assert trial.verdict.success.any()
    assert (trial.verdict.size <= 1).all()


def test_the_grid_wins_all_that_its_own_points_win() -> None:
    victim, x = _victim(), _images()
    goal, region = _goal(victim, x), spatial(60, 0.3).around(x, 0.0, 1.0)
    trial = attempt(brittle.parse_attack("grid_search:points=5"), victim, spatial(60, 0.3), x, goal, torch.arange(7), 0)
    best = torch.full((7,), -math.inf, dtype=x.dtype)
    for a in torch.linspace(-1, 1, 5).tolist():
        for b in torch.linspace(-1, 1, 5).tolist():
            for c in torch.linspace(-1, 1, 5).tolist():
                point = torch.tensor([[a, b, c]], dtype=x.dtype).expand(7, 3)
                best = torch.maximum(best, goal.margin(victim(region.render(point))))
    assert torch.equal(trial.verdict.success, best > 0)
    assert torch.allclose(trial.verdict.margin[best <= 0], best[best <= 0])
    assert (trial.forwards[best <= 0] == 125).all()


def test_stadv_bends_smoothly() -> None:
    victim, x = _victim(), _images()
    goal = _goal(victim, x)
    rough, smooth = (
        attempt(brittle.parse_attack(f"stadv:smoothness={tau}"), victim, flow(2.0), x, goal, torch.arange(7), 0)
        for tau in (0.0, 0.05)
    )
    assert rough.verdict.success.all()
    assert smooth.verdict.success.sum() >= 5
    assert (smooth.backwards < 200).any()


def test_strings_and_sentences() -> None:
    assert brittle.parse_threat("spatial:angle_deg=20,shift=0.05") == spatial(20, 0.05)
    assert brittle.parse_threat("spatial:20,0.05") == spatial(20, 0.05)
    assert brittle.parse_threat("spatial") == spatial()
    assert brittle.parse_threat("flow:1.5") == flow(1.5)
    for text, words in {
        "flow": "in pixels",
        "spatial:1,2,3,4": "too many",
        "spatial:tilt=3": "unknown threat option",
        "spatial:shift=3": "share of the image",
        "spatial:angle_deg=999": "no angle",
    }.items():
        with pytest.raises(brittle.InputError, match=words):
            brittle.parse_threat(text)
    flat = torch.zeros(2, 5)
    with pytest.raises(brittle.InputError, match="moves pixels"):
        spatial().around(flat, 0.0, 1.0)
    with pytest.raises(brittle.InputError, match="too many for 12"):
        x = torch.full((2, 12), 0.5)
        attempt(
            brittle.parse_attack("grid_search"),
            as_victim(nn.Linear(12, 3).eval()),
            brittle.linf(0.1),
            x,
            Classify(torch.zeros(2, dtype=torch.long)),
            torch.arange(2),
            0,
        )
