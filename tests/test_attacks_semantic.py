"""Threats that change a picture as a whole, several at once, and noise: each does what its name says, and attacks find a way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

import brittle
from brittle.attacks.decision.random_path import RandomPath
from brittle.attacks.fixed.noise import Noise
from brittle.core.goal import Classify
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim, as_victim
from brittle.threats import Semantic, blur, brightness, composite, contrast, flow, hue, saturation, spatial

ROWS = torch.arange(7)
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
ALL = [
    brightness(0.2),
    contrast(0.3),
    saturation(0.3),
    hue(1.0),
    blur(1.5),
    composite(hue(0.5), spatial(20, 0.1, 0.5), flow(0.3), contrast(0.3), blur(0.5), brittle.linf(0.02)),
]
NAMES = [threat.name for threat in ALL]


def images(low: float = 0.3, high: float = 0.7, shape: tuple[int, ...] = (3, 8, 9)) -> Tensor:
    """Far enough from the bounds that a small change is not clipped."""
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(7, *shape, generator=generator, dtype=torch.float64)


def network() -> Victim:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 42, 5)).double().eval()
    return as_victim(net)


def turned(threat: Any, x: Tensor, share: float) -> Tensor:
    """What a threat's region makes of the images at this share of its radius."""
    region = threat.around(x, 0.0, 1.0)
    rendered: Tensor = region.render(torch.full_like(region.origin, share) * region.radius[:, None])
    return rendered


def run(attack: Any, victim: Victim, x: Tensor, threat: Any, rows: Tensor = ROWS) -> Trial:
    labels = victim(x).argmax(1)
    return attempt(attack, victim, threat, x[rows], Classify(labels[rows]), rows, seed=1)


@pytest.mark.parametrize("threat", ALL, ids=NAMES)
def test_nothing_changes_at_the_origin_and_without_room(threat: Any) -> None:
    x = images(0.0, 1.0)
    region = threat.around(x, 0.0, 1.0)
    assert torch.equal(region.render(region.origin), x)
    none = threat.with_eps(0.0).around(x, 0.0, 1.0)
    assert torch.equal(none.render(none.random(Streams.seeded(0, ROWS))), x)
    assert (region.size(region.origin) == 0).all()


@pytest.mark.parametrize("threat", ALL, ids=NAMES)
def test_it_stays_in_the_box_and_leaves_the_origin_along_its_gradient(threat: Any) -> None:
    x = images(0.0, 1.0)
    region = threat.around(x, 0.0, 1.0)
    far = region.project(torch.full_like(region.origin, 1e6))
    assert region.contains(far).all()
    assert (region.render(far) >= 0).all()
    assert (region.render(far) <= 1).all()
    asked = region.origin.clone().requires_grad_()
    weight = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    (grad,) = torch.autograd.grad((region.render(asked) * weight).sum(), asked)
    assert grad.isfinite().all()
    assert (grad[:, 0] != 0).all()


@pytest.mark.parametrize("threat", ALL[:4], ids=NAMES[:4])
def test_the_gradient_is_that_of_finite_differences(threat: Any) -> None:
    region = threat.around(images(), 0.0, 1.0)
    point = region.random(Streams.seeded(0, ROWS))[:2]
    region = region.select(ROWS[:2])
    assert torch.autograd.gradcheck(region.render, (point.requires_grad_(),))


def test_the_slope_of_blur_has_the_sign_of_its_differences() -> None:
    x = images(0.0, 1.0)
    region = blur(1.5).around(x, 0.0, 1.0)
    weight = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(2), dtype=x.dtype)

    def height(point: Tensor) -> Tensor:
        return (region.render(point) * weight).flatten(1).sum(1)

    for place in (-0.8, -0.1, 0.1, 1.2):
        asked = torch.full_like(region.origin, place).requires_grad_()
        (grad,) = torch.autograd.grad(height(asked).sum(), asked)
        step = torch.full_like(region.origin, 1e-5)
        assert torch.equal((height(asked + step) - height(asked - step)).sign(), grad[:, 0].sign())


def test_brightness_adds_and_contrast_scales_about_the_mean() -> None:
    x = images()
    torch.testing.assert_close(turned(brightness(0.1), x, 1.0), x + 0.1)
    torch.testing.assert_close(turned(brightness(0.1), x, -1.0), x - 0.1)
    mean = x.flatten(1).mean(1).view(-1, 1, 1, 1)
    torch.testing.assert_close(turned(contrast(0.3), x, 0.5), mean + 1.15 * (x - mean))
    torch.testing.assert_close(turned(contrast(1.0), x, -1.0), mean.expand_as(x))
    flat = torch.linspace(0.2, 0.8, 10).view(2, 5)
    torch.testing.assert_close(turned(brightness(0.1), flat, 1.0), flat + 0.1)


def test_brightness_is_in_input_units_and_bounds_are_clipped() -> None:
    x = 255 * images(0.0, 1.0)
    region = brightness(51).around(x, 0.0, 255.0)
    made = region.render(torch.full_like(region.origin, 51.0))
    torch.testing.assert_close(made, (x + 51).clamp(0, 255))
    with pytest.raises(brittle.InputError, match="largest that means anything is 1"):
        brightness(51).around(images(), 0.0, 1.0)


def test_saturation_keeps_luma_and_ends_in_grey() -> None:
    x = images(0.45, 0.55)
    for share in (-1.0, 0.5):
        torch.testing.assert_close((turned(saturation(0.6), x, share) * LUMA).sum(1), (x * LUMA).sum(1))
    grey = turned(saturation(1.0), x, -1.0)
    torch.testing.assert_close(grey, (x * LUMA).sum(1, keepdim=True).expand_as(x))


def test_hue_keeps_luma_and_grey_and_comes_round() -> None:
    x = images(0.45, 0.55)
    there = turned(hue(2.0), x, 1.0)
    torch.testing.assert_close((there * LUMA).sum(1), (x * LUMA).sum(1))
    assert (there - x).abs().max() > 0.02
    region = hue(2.0).around(there, 0.0, 1.0)
    torch.testing.assert_close(region.render(torch.full((7, 1), -2.0, dtype=x.dtype)), x)  # as far back
    half = turned(hue(math.pi), x, 1.0)
    torch.testing.assert_close(turned(hue(math.pi), x, -1.0), half)  # half a turn is the same both ways
    grey = images(0.3, 0.7, (1, 8, 9)).expand(7, 3, 8, 9)
    torch.testing.assert_close(turned(hue(2.0), grey, 0.7), grey, rtol=0, atol=1e-5)


def test_blur_is_gaussian_and_loses_nothing() -> None:
    x = images(0.0, 1.0, (1, 24, 20))
    for sigma in (1.5, 2.5):
        made = turned(blur(4.0), x, sigma / 4.0)
        ours = made.numpy()
        theirs = gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=8)
        assert np.abs(ours - theirs).max() < 0.05 / sigma**2  # they differ in the fourth derivative
        torch.testing.assert_close(turned(blur(4.0), x, -sigma / 4.0), made)
    torch.testing.assert_close(made.mean((2, 3)), x.mean((2, 3)))
    constant = torch.full((7, 3, 8, 9), 0.37, dtype=torch.float64)
    torch.testing.assert_close(turned(blur(3.0), constant, 1.0), constant)
    dot = torch.zeros(1, 1, 21, 23, dtype=torch.float64)
    dot[..., 10, 11] = 1
    spread = turned(blur(2.0), dot, 0.6)[0, 0]
    assert (spread >= 0).all()
    places = torch.arange(21, dtype=torch.float64) - 10
    assert float((spread.sum(1) * places.square()).sum()) == pytest.approx(1.2**2, rel=1e-6)  # the variance


def test_a_composite_is_its_parts_one_after_the_other() -> None:
    x = images()
    whole = composite(contrast(0.3), brightness(0.1), hue(0.4), brittle.linf(0.02))
    region = whole.around(x, 0.0, 1.0)
    shares = torch.tensor([0.5, -1.0, 0.25], dtype=x.dtype)
    noise = images(-1.0, 1.0)
    point = torch.cat([shares.expand(7, 3), noise.flatten(1)], 1)
    step = turned(hue(0.4), turned(brightness(0.1), turned(contrast(0.3), x, 0.5), -1.0), 0.25)
    torch.testing.assert_close(region.render(point), step + 0.02 * noise)


def test_a_composite_of_linf_alone_is_linf() -> None:
    victim, x = network(), images()
    for attack in (brittle.ifgsm(6), brittle.pgd(6, stop=False)):
        one = run(attack, victim, x, composite(brittle.linf(0.03)))
        other = run(attack, victim, x, brittle.linf(0.03))
        if attack == brittle.ifgsm(6):
            torch.testing.assert_close(one.x_adv, other.x_adv)
        assert ((one.x_adv - x).abs() <= 0.03 + 1e-12).all()
        assert torch.equal(one.verdict.success, other.verdict.success)


@pytest.mark.parametrize("threat", ALL, ids=NAMES)
@pytest.mark.parametrize("text", ["pgd:steps=8", "uniform_noise:draws=5", "apgd:steps=8"])
def test_a_sample_is_treated_the_same_whoever_is_beside_it(threat: Any, text: str) -> None:
    victim, x, attack = network(), images(), brittle.parse_attack(text)
    whole = run(attack, victim, x, threat)
    assert whole.verdict.feasible.all()
    for rows in ([2], [6, 0, 3]):
        chosen = torch.tensor(rows)
        part = run(attack, victim, x, threat, chosen)
        torch.testing.assert_close(part.x_adv, whole.x_adv[chosen], rtol=0, atol=1e-9)
        assert torch.equal(part.forwards, whole.forwards[chosen])


@pytest.mark.parametrize("threat", [brightness(0.2), contrast(0.8), hue(2.0), blur(2.0)], ids=lambda t: t.name)
def test_the_grid_and_the_gradient_beat_noise(threat: Semantic) -> None:
    victim, x = network(), images(0.1, 0.9)
    noise, grid, pgd = (
        run(brittle.parse_attack(text), victim, x, threat).verdict.margin
        for text in ("uniform_noise", "grid_search:points=21", "pgd:steps=20,stop=false")
    )
    wins = (noise > 0).sum()
    assert (grid > 0).sum() >= wins
    assert (pgd > 0).sum() >= wins
    assert torch.minimum(grid, torch.tensor(0.0)).mean() > torch.minimum(noise, torch.tensor(0.0)).mean()
    assert pgd.mean() > noise.mean()


def test_more_of_them_win_more() -> None:
    victim, x = network(), images(0.1, 0.9)
    parts = [contrast(0.2), brightness(0.05), hue(0.3), brittle.linf(0.02)]
    alone = [int(run(brittle.pgd(20), victim, x, part).verdict.success.sum()) for part in parts]
    together = int(run(brittle.pgd(20), victim, x, composite(*parts)).verdict.success.sum())
    assert together > max(alone)


def test_the_grid_asks_the_nearest_points_first() -> None:
    victim, x = network(), images(0.1, 0.9)
    few, many = (
        run(brittle.parse_attack(f"grid_search:points={points}"), victim, x, contrast(1.0)) for points in (5, 41)
    )
    both = few.verdict.success & many.verdict.success
    assert both.any()
    assert (many.verdict.size[both] <= few.verdict.size[both]).all()


def test_strings_and_sentences() -> None:
    assert brittle.parse_threat("contrast:eps=0.3") == contrast(0.3)
    assert brittle.parse_threat("hue:0.5") == hue(0.5)
    assert brittle.parse_threat("composite:hue=0.5,spatial=0.3,linf=8/255") == composite(
        hue(0.5), spatial(eps=0.3), brittle.linf(8 / 255)
    )
    assert brittle.parse_threat("composite:contrast=0.5,eps=0.1").eps == 0.1
    for text, words in {
        "contrast": "needs one size",
        "hue:1,2": "too many",
        "blur:sigma=2": "unknown threat option",
        "composite": "needs threats",
        "composite:0.3": "needs threats",
        "composite:tilt=3": "unknown part of composite",
        "composite:l2=3": "takes no l2",
        "brightness:-1": "not a size",
    }.items():
        with pytest.raises(brittle.InputError, match=words):
            brittle.parse_threat(text)
    for threat, shape, words in (
        (hue(0.3), (1, 8, 9), "changes colours"),
        (saturation(0.3), (3, 8), "changes colours"),
        (blur(1.0), (8,), "needs pixels"),
        (hue(4.0), (3, 8, 9), "too large for hue"),
    ):
        with pytest.raises(brittle.InputError, match=words):
            threat.around(torch.zeros(2, *shape), 0.0, 1.0)
    with pytest.raises(brittle.InputError, match="nothing to compose"):
        composite()


# noise


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
def test_noise_that_fills_has_the_radius_whatever_the_box_cuts_off(norm: str, kind: str) -> None:
    x = images(0.0, 1.0).round()  # at the corners of the box, where half of all noise is cut off
    threat = {"l2": brittle.l2, "l1": brittle.l1}[norm](2.0)
    victim = network()
    plain, full = (run(Noise(kind=kind, fill=fill), victim, x, threat).verdict.size for fill in (False, True))
    torch.testing.assert_close(full, torch.full_like(full, 2.0), rtol=1e-6, atol=0)
    assert (plain < 1.9).all()


def test_filling_noise_in_linf_is_a_corner() -> None:
    x = images()
    moved = run(Noise(fill=True), network(), x, brittle.linf(0.1)).x_adv - x
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.1))
    assert 0.4 < float((moved > 0).double().mean()) < 0.6


def test_salt_and_pepper_counts_the_pixels_that_a_counting_victim_needs() -> None:
    """A victim that turns when half of the pixels are extreme is won with half of them, and no fewer."""

    def forward(x: Tensor) -> Tensor:
        extreme = ((x - 0.5).abs() > 0.4).all(1).flatten(1).double().mean(1)
        return torch.stack([torch.zeros_like(extreme), extreme - 0.499], 1)

    x = images(shape=(3, 8, 10))
    trial = run(RandomPath(kind="salt_and_pepper", queries=200), as_victim(forward), x, brittle.l0(math.inf))
    changed = (trial.x_adv != x).any(1)
    assert trial.verdict.success.all()
    assert (changed.flatten(1).sum(1) == 40).all()
    assert (trial.verdict.size == 120).all()  # all three channels of a pixel
    assert ((trial.x_adv == x) | (trial.x_adv == 0) | (trial.x_adv == 1)).all()
    assert (trial.forwards <= 200).all()


def test_blending_ends_on_the_boundary_of_its_path() -> None:
    """With one path, the answer is where the path meets the plane: a little nearer to x and it is lost."""
    weight = torch.randn(3 * 8 * 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def forward(x: Tensor) -> Tensor:
        rise = (x - 0.5).flatten(1) @ weight
        return torch.stack([-rise, rise], 1)

    victim, x = as_victim(forward), images(0.45, 0.55)
    one, many = (run(RandomPath(queries=600, draws=draws), victim, x, brittle.l2(math.inf)) for draws in (1, 30))
    won = one.verdict.success
    assert won.any()
    back = torch.lerp(x, one.x_adv, 0.998)
    assert (victim(back).argmax(1) == victim(x).argmax(1))[won].all()
    assert many.verdict.success.all()
    assert (many.verdict.size <= one.verdict.size)[won].all()
    assert (many.verdict.size < 0.95 * one.verdict.size)[won].any()


def test_options_of_noise_are_refused_with_a_sentence() -> None:
    for wrong, words in (
        ({"kind": "pink"}, "not one of"),
        ({"queries": 2}, "too few"),
        ({"steps": 0}, "steps=0"),
        ({"draws": 0}, "draws=0"),
    ):
        with pytest.raises(brittle.InputError, match=words):
            RandomPath(**wrong)
