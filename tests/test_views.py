"""Views: what each does to a picture, what comes back through them, and that a victim behind them draws fresh ones."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import brittle
from brittle.attacks.fixed.input_optimisation import InputOptimisation, nearest_colours
from brittle.core.victim import Victim, as_victim
from brittle.errors import InputError
from brittle.victims.views import Views, classes_seen, seen_through, view


def _dot(height: int, width: int, row: int, column: int) -> Tensor:
    x = torch.zeros(1, 3, height, width)
    x[:, :, row, column] = 1
    return x


def _where(x: Tensor) -> tuple[float, float]:
    """The centre of mass, in pixels: row, column."""
    weight = x[0, 0] / x[0, 0].sum()
    rows, columns = (torch.arange(side, dtype=x.dtype) for side in weight.shape)
    return float((weight.sum(1) * rows).sum()), float((weight.sum(0) * columns).sum())


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))


def test_no_view_changes_nothing(picture: Tensor) -> None:
    assert torch.equal(view(picture, Views()), picture)


def test_a_rotation_keeps_distances_in_a_picture_that_is_no_square() -> None:
    x = _dot(40, 80, 19, 52)  # right of the middle by 12.5 pixels, above it by half of one
    torch.manual_seed(0)
    turned = []
    for _ in range(60):
        row, column = _where(view(x, Views(rotation=180)))
        turned.append((row - 19.5, column - 39.5))
    assert all(np.hypot(down, right) == pytest.approx(np.hypot(-0.5, 12.5), abs=0.35) for down, right in turned)
    assert min(down for down, _ in turned) < -11
    assert max(down for down, _ in turned) > 11


def test_a_scale_moves_away_from_the_middle() -> None:
    x = _dot(65, 65, 32, 40)
    torch.manual_seed(0)
    assert _where(view(x, Views(scale=(2.0, 2.0))))[1] == pytest.approx(32 + 16, abs=0.3)
    assert _where(view(x, Views(scale=(0.5, 0.5))))[1] == pytest.approx(32 + 4, abs=0.6)


def test_a_shift_is_a_share_of_the_side_and_goes_both_ways() -> None:
    x = _dot(40, 80, 20, 40)
    torch.manual_seed(0)
    found = [_where(view(x, Views(shift=0.1))) for _ in range(80)]
    rows, columns = (np.array([place[axis] for place in found]) for axis in (0, 1))
    assert (abs(rows - 20) <= 4.5).all()
    assert (abs(columns - 40) <= 8.5).all()
    assert rows.min() < 17.5
    assert rows.max() > 22.5
    assert columns.min() < 35
    assert columns.max() > 45


def test_perspective_makes_one_edge_nearer() -> None:
    x = _dot(65, 65, 32, 48) + _dot(65, 65, 32, 16)
    torch.manual_seed(0)
    apart = []
    for _ in range(30):
        seen = view(x, Views(perspective=0.4))
        right, left = _where(seen[..., 33:])[1] + 1, 32 - _where(seen[..., :32])[1]
        apart.append(right - left)  # a rotation or a scale would keep both as far from the middle
    assert min(apart) < -3
    assert max(apart) > 3
    flat = torch.full((3, 3, 16, 16), 0.3)
    views = Views(perspective=0.4, rotation=90, shift=0.5, scale=(0.5, 2.0))
    assert torch.allclose(view(flat, views), flat)  # no black corners


def test_light_and_noise_are_as_strong_as_said() -> None:
    grey = torch.full((400, 1, 4, 4), 0.5)
    torch.manual_seed(0)
    offsets = (view(grey, Views(brightness=0.2)) - 0.5)[:, 0, 0, 0]
    assert offsets.abs().max() <= 0.2
    assert offsets.min() < -0.18
    assert offsets.max() > 0.18
    halves = grey + torch.tensor([0.1, -0.1]).repeat(8).view(4, 4)
    spread = view(halves, Views(contrast=0.5)).flatten(1)
    assert torch.allclose(spread.mean(1), torch.full((400,), 0.5), atol=1e-6)
    assert 0.05 - 1e-6 <= float(spread.amax(1).sub(0.5).min()) < 0.06
    assert 0.14 < float(spread.amax(1).sub(0.5).max()) <= 0.15 + 1e-6
    noisy = view(grey.expand(400, 1, 4, 4), Views(noise=0.1)) - 0.5
    assert float(noisy.std()) == pytest.approx(
        0.1 / 3**0.5, rel=0.08
    )  # the root of the mean square of what is uniform in [0, 0.1]
    outside = view(torch.full((50, 1, 2, 2), -1.0), Views(brightness=0.5, noise=0.5), -1.0, 1.0)
    assert outside.min() >= -1
    assert outside.max() <= 1


def test_jpeg_is_pillows_and_its_gradient_the_identity(picture: Tensor) -> None:
    x = picture.clone().requires_grad_()
    seen = view(x, Views(jpeg=(40, 40)))
    levels = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", quality=40)
    stored = torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1).float() / 255
    assert torch.allclose(seen[0], stored, atol=1e-6)
    weights = torch.randn_like(picture)
    (grad,) = torch.autograd.grad((seen * weights).sum(), x)
    assert torch.allclose(grad, weights)
    assert view(picture[:, :1], Views(jpeg=(40, 40))).shape == (2, 1, 24, 32)


def test_the_gradient_through_a_view_is_that_of_the_view(picture: Tensor) -> None:
    views, weights = (
        Views(rotation=20, scale=(0.8, 1.2), shift=0.1, contrast=0.3, perspective=0.1),
        torch.randn(1, 3, 24, 32).double(),
    )
    x = (0.25 + picture[:1] / 2).double().requires_grad_()  # away from the bounds, where nothing is clipped

    def height(at: Tensor) -> Tensor:
        torch.manual_seed(5)
        return (view(at, views) * weights).sum()

    (grad,) = torch.autograd.grad(height(x), x)
    direction = torch.randn_like(x) * 1e-4
    change = float(height(x + direction).detach() - height(x - direction).detach()) / 2
    assert change == pytest.approx(float((grad * direction).sum()), rel=1e-6)


def _halves() -> Victim:
    """Class 0 where the left half is brighter, else 1."""
    return as_victim(
        lambda x: torch.stack(
            [x[..., : x.shape[-1] // 2].mean((1, 2, 3)), x[..., x.shape[-1] // 2 :].mean((1, 2, 3))], 1
        )
    )


def test_a_victim_behind_views_draws_a_view_a_row_and_seeds_them() -> None:
    x, victim = _dot(16, 16, 8, 9), _halves()
    seen = classes_seen(victim, Views(shift=0.5), x, 300, seed=3)
    assert 0.3 < float(seen.double().mean()) < 0.75
    assert torch.equal(seen, classes_seen(victim, Views(shift=0.5), x, 300, seed=3))
    assert not torch.equal(seen, classes_seen(victim, Views(shift=0.5), x, 300, seed=4))
    assert (classes_seen(victim, Views(), x, 7) == 1).all()
    narrow, wide = (seen_through(victim, Views(shift=shift)) for shift in (0.4, 0.5))
    assert len({narrow.digest, wide.digest, victim.digest}) == 3


def test_expectation_over_transformation_holds_in_views_where_plain_ascent_does_not() -> None:
    """Whoever sees only the picture as it is changes the one pixel that decides; over shifts all of its neighbours must change."""

    def forward(x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), 20 * (x[:, 0, 8, 8] - 0.6)], 1)

    victim, x, views = as_victim(forward), torch.full((1, 1, 17, 17), 0.5), Views(shift=0.15)
    options = {"labels": torch.tensor([0]), "threat": brittle.linf(0.3), "targets": 1}
    plain = brittle.attack(brittle.ifgsm(steps=100), victim, x, **options).x_adv
    over = brittle.attack(replace(brittle.ifgsm(steps=10), draws=10), seen_through(victim, views), x, **options).x_adv
    rates = [float(classes_seen(victim, views, made, 400, seed=9).double().mean()) for made in (plain, over)]
    assert int(victim(plain).argmax()) == 1
    assert rates[0] < 0.3
    assert rates[1] > 0.9


def test_input_optimisation_averages_draws_and_prefers_printable_colours() -> None:
    palette = ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9))
    x = torch.full((1, 3, 6, 6), 0.4)
    x[..., 3:] = 0.7
    flat = as_victim(lambda given: torch.zeros(len(given), 2) + 0 * given.mean((1, 2, 3))[:, None])
    options = {"labels": torch.tensor([0]), "threat": brittle.box(), "targets": 1}
    made = brittle.attack(
        InputOptimisation(steps=200, step_size=0.02, non_printability=1.0, palette=palette), flat, x, **options
    )
    wanted = torch.full_like(x, 0.1)
    wanted[..., 3:] = 0.9
    assert torch.allclose(made.x_adv, wanted, atol=0.02)
    assert torch.equal(nearest_colours(x, palette), wanted)
    drawn = brittle.attack(InputOptimisation(steps=7, draws=5), flat, x, **options)
    assert int(drawn.forwards) == 35
    assert int(drawn.backwards) == 35


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Views(rotation=200), "rotation=200"),
        (lambda: Views(scale=(1.2, 0.8)), r"scale=\(1.2, 0.8\)"),
        (lambda: Views(jpeg=(0, 90)), r"jpeg=\(0, 90\)"),
        (lambda: view(torch.zeros(2, 5), Views()), r"\(2, 5\)"),
        (lambda: InputOptimisation(non_printability=1.0), "holds no colours"),
        (lambda: InputOptimisation(draws=0), "draws=0"),
        (lambda: nearest_colours(torch.zeros(1, 3, 2, 2), ((0.1,),)), "one value a channel"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()  # type: ignore[operator]
