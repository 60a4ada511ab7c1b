"""Directions whose pictures or points need more than a line: flat neighbourhoods, learnt transformations, objects, styles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.directions import LearntTransformation, MaximinFlatness, ObjectBased, StyleTransfer
from brittle.attacks.directions.bodies import BODIES, Body, rays, struck, turned
from brittle.attacks.directions.learnt import drawn, seen, slope
from brittle.attacks.directions.operations import OPERATIONS, Covered, Cropped, Dimmed, Dropped, Shifted, Turned
from brittle.testing.victims import inputs
from test_attacks_transfer import Asked, X, known, per_mean, run, scene


class Painted(torch.nn.Module):
    """A style is a contrast and a brightness."""

    def forward(self, pictures: Tensor, numbers: Tensor) -> Tensor:
        contrast, brightness = (numbers[:, i].view(-1, *(1,) * (pictures.ndim - 1)) for i in (0, 1))
        return pictures * (1 + contrast) + 0.1 * brightness


def painted() -> Painted:
    return Painted()


def halved() -> Any:
    return lambda pictures, numbers: pictures[:, :1]


def number() -> int:
    return 3


def test_flat_neighbours_are_pushed_along_what_their_own_gradients_said() -> None:
    asked = Asked()
    climb = MaximinFlatness(neighbours=2, reach=2.0, push=0.15, decay=0.9).bend(asked, scene(eps=0.1))
    first = climb(X)
    assert torch.allclose(first, sum(map(known, asked.points)) / 2)
    assert all(0.19 < float((one - X).abs().max()) <= 0.2 for one in asked.points)
    followed = [per_mean(known(one)) for one in asked.points]
    for _ in range(2):
        seen = len(asked.points)
        climb(X)
        for i, point in enumerate(asked.points[seen:]):
            noise = point - X - 0.1 * 0.15 * followed[i]
            assert 0.19 < float(noise.abs().max()) <= 0.2 + 1e-9
            followed[i] = per_mean(known(point)) - 0.9 * followed[i]


def test_operations_are_drawn_by_their_chances_and_climb_the_expected_loss() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    chances = logits.softmax(1)
    numbers = ((torch.arange(10_000) + 0.5) / 10_000)[None]
    counted = torch.bincount(drawn(chances.detach(), numbers)[0], minlength=4) / 10_000
    assert torch.allclose(counted.double(), chances[0], atol=2e-4)
    chosen = torch.tensor([[3, 1, 3]])
    (expected,) = torch.autograd.grad(logits.log_softmax(1).gather(1, chosen).sum(), logits)
    assert torch.allclose(slope(chances.detach(), chosen), expected)


def test_what_led_to_a_high_loss_is_done_more_often() -> None:
    """The loss is told to be 1 where a picture is darker, else 0: in the end more are."""
    setting, dark = scene(), []

    def gradient(point: Tensor) -> Tensor:
        darker = (point.flatten(1).amax(1) < 0.6 * X.flatten(1).amax(1)).double()
        dark.append(float(darker.mean()))
        for listener in setting.listeners:
            listener(darker)
        return known(point)

    climb = LearntTransformation(copies=8, operations=1, rate=20.0).bend(gradient, setting)
    for _ in range(10):
        climb(X)
    first, last = sum(dark[:8]) / 8, sum(dark[-8:]) / 8
    assert first < 0.3
    assert last > 0.6
    assert setting.listeners == []


def test_an_operation_draws_from_the_sample_s_own_stream() -> None:
    setting, dropped = scene(), torch.full((7, 1), OPERATIONS.index(Dropped(0.3)))
    one, again, other = (seen(X, dropped, setting, tag) == 0 for tag in (1, 1, 2))
    assert torch.equal(one, again)
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], one[1])


def test_operations_do_what_they_say() -> None:
    picture = inputs((2, 9, 9), 1, bounds=(0.1, 1.0))
    halves = [Turned(90.0)(picture, scene().alone(0, tag)) for tag in range(30)]
    assert any(torch.allclose(one, picture.rot90(1, (2, 3)), atol=1e-6) for one in halves)
    moved = Shifted(5 / 9)(picture, _fixed(scene().alone(0, 0)))
    assert torch.allclose(moved[..., 1:, 1:], picture[..., :-1, :-1], atol=1e-6)
    assert not bool(moved[..., 0, :].any())
    assert torch.allclose(Dimmed(3)(picture, _fixed(scene().alone(0, 0), 0.9)), picture / 4)
    hole = Covered(3)(picture, scene().alone(0, 1))
    assert int((hole == 0).sum()) == 2 * 9
    assert torch.equal(hole[hole > 0], picture[hole > 0])
    ramp = torch.linspace(0, 1, 9, dtype=torch.float64).expand(1, 1, 9, 9)
    cut = Cropped(0.5)(ramp, _fixed(scene().alone(0, 0)))
    assert abs(float(cut[0, 0, 4, 4]) - 0.5) < 1e-6
    assert abs(float(cut[0, 0, 4, 5] - cut[0, 0, 4, 4]) - 0.6 / 8) < 1e-6
    gone = (Dropped(0.3)(torch.ones(1, 3, 50, 50), scene().alone(0, 2)) == 0).double().mean()
    assert 0.27 < float(gone) < 0.33


@pytest.mark.parametrize("index", range(0, len(OPERATIONS), 7))
def test_every_operation_keeps_the_shape_and_can_be_drawn_back_through(index: int) -> None:
    for shape in ((3, 8, 9), (3, 4), (5,)):
        picture = torch.rand(1, *shape, dtype=torch.float64).requires_grad_()
        setting: Any = scene(torch.rand(1, *shape, dtype=torch.float64))
        made = OPERATIONS[index](picture, setting)
        assert made.shape == picture.shape
        (grad,) = torch.autograd.grad(made.sum(), picture)
        assert bool(torch.isfinite(grad).all())


def test_a_style_is_mixed_in_and_each_copy_has_its_own() -> None:
    asked = Asked()
    made = StyleTransfer(network="py:test_directions:painted", copies=3, keep=0.25, noise=0.0, numbers=2)
    grad = made.bend(asked, scene())(X)
    assert torch.allclose(grad, sum(map(known, asked.points)) / 3)
    styles = set()
    for point in asked.points:
        style = (point[0] - 0.25 * X[0]) / 0.75  # contrast * picture + brightness
        slope = (style.max() - style.min()) / (X[0].max() - X[0].min())
        moved = style - slope * X[0]
        turned_over = style + slope * X[0]  # where the contrast is negative
        assert min(float(moved.std()), float(turned_over.std())) < 1e-6
        styles.add(round(float(slope), 6))
    assert len(styles) == 3
    noisy = Asked()
    StyleTransfer(network="py:test_directions:painted", copies=1, keep=1.0, numbers=2).bend(noisy, scene(eps=0.1))(X)
    assert 0.19 < float((noisy.points[0] - X).abs().max()) <= 0.2 + 1e-9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stm", "no network that paints.*code is run"),
        ("stm:network=nets", "names no function; write py:MODULE:FUNCTION"),
        ("stm:network=py:test_directions:nobody", "function in test_directions.*nobody"),
        ("stm:network=py:nowhere:build", "there is no module 'nowhere'"),
        ("stm:network=py:test_directions:number", "returned a int; let it return what paints"),
        ("stm:network=py:test_directions:halved", r"made \(7, 1, 8, 9\) of pictures \(7, 3, 8, 9\)"),
    ],
)
def test_a_style_network_that_is_none_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        run(brittle.parse_attack(f"mifgsm:steps=1+{text}"))


def inside(body: Body, points: Tensor) -> Tensor:
    """Whether the points (..., 3) lie in the body."""
    half, weights = torch.tensor(body.half), torch.tensor(body.weights)
    return (points.abs() <= half).all(-1) & ((weights * points * points).sum(-1) <= 1)


@pytest.mark.parametrize("index", range(len(BODIES)))
def test_a_ray_strikes_a_body_where_walking_along_it_first_comes_inside(index: int) -> None:
    body, steps = BODIES[index], torch.linspace(0.2, 6, 5801)
    stand, ways = rays(9, 11, turned(0.4, -0.5, 0.3), body.distance)
    points, normals, hit = struck(body, stand, ways)
    walked = stand + steps[:, None, None, None] * ways
    within = inside(body, walked)
    reached = within.any(0)
    assert bool(reached[4, 5])  # the middle of the picture
    assert int((reached != hit).sum()) <= 1  # a ray that grazes it
    first = walked.gather(0, within.int().argmax(0)[None, ..., None].expand(1, 9, 11, 3))[0]
    both = reached & hit
    assert float((first - points)[both].norm(dim=-1).max()) < 2e-3
    assert bool(((normals * ways).sum(-1) < 1e-6)[both].all())  # a surface that is seen faces the viewer
    assert torch.allclose(normals[both].norm(dim=-1), torch.ones(int(both.sum())))
    outwards = inside(body, points + 1e-3 * normals) | ~inside(body, points - 1e-3 * normals)
    assert not bool(outwards[both].any())


def test_a_box_from_the_front_is_the_picture_drawn_smaller() -> None:
    view = ObjectBased(angle_deg=0.0, spread=0.0).view(inputs((3, 16, 16), 40), scene(inputs((3, 16, 16), 40)))
    ranges = [torch.stack([one[..., 0].std(0).max(), one[..., 1].std(1).max()]).max() for one in view.canvas]
    boxes = [i for i, one in enumerate(ranges) if float(one) < 1e-6]  # neither row nor column is bent
    assert 3 < len(boxes) < 20
    at = (2 * torch.arange(16, dtype=torch.float64) + 1) / 16 - 1
    expected = at * 1.75 * 3**-0.5 / 0.98  # 60 degrees at the distance of the front
    for i in boxes:
        assert torch.allclose(view.canvas[i, 3, :, 0], expected, atol=1e-6)
        assert torch.allclose(view.canvas[i, :, 3, 1], expected, atol=1e-6)


def test_what_is_seen_of_an_object_is_its_picture_in_its_light() -> None:
    x = inputs((3, 20, 24), 7, bounds=(0.0, 1.0))
    view = ObjectBased().view(x, scene(x))
    made = view(x)
    nothing = (view.hit == 0)[:, None].expand_as(made)
    assert 0.02 < float(nothing.double().mean()) < 0.6
    assert torch.equal(made[nothing], view.background[nothing])
    assert len(made[nothing].unique()) > 0.9 * int(nothing.sum())  # noise
    assert torch.equal(view(1 - x)[nothing], made[nothing])
    dark = view(torch.zeros_like(x))
    on = ((view.hit > 0) & (view.canvas.abs() <= 1).all(3))[:, None].expand_as(made)
    assert float(on.double().mean()) > 0.2
    assert float(dark[on].max()) == 0
    full = view(torch.ones_like(x))[on]
    assert bool((full >= 0.6 - 1e-6).all())  # the least light
    wide_range = type(view)(view.canvas, view.light, view.hit, view.colour, view.background, (-1.0, 1.0))
    assert torch.allclose(wide_range(2 * x - 1), 2 * made - 1)


def _fixed(setting: Any, number: float = 0.0) -> Any:
    """The scene, whose every random number is this one."""
    object.__setattr__(setting, "uniform", lambda shape: torch.full((1, *shape), number))
    return setting
