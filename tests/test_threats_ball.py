"""Threats and their regions: the public laws for each, masks, strings, and points that no feasible point beats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import brittle
from brittle.core.streams import Streams
from brittle.testing import check_region, references
from brittle.testing.victims import inputs
from brittle.threats import THREATS

MASK = torch.arange(12).view(3, 4) % 3 == 0
VALUES = [brittle.linf(0.1), brittle.l2(0.5), brittle.l1(1.5), brittle.l0(3), brittle.box()]
MASKED = [brittle.linf(0.1, MASK), brittle.l2(0.5, MASK), brittle.l1(1.5, MASK), brittle.l0(3, MASK), brittle.box(MASK)]
LARGEST = [brittle.linf(1), brittle.l2(12**0.5), brittle.l1(12), brittle.l0(12)]


def _name(threat: Any) -> str:
    return f"{threat.name}:{threat.eps:.2g}" + ("" if threat.mask is None else ",masked")


@pytest.mark.parametrize("threat", [*VALUES, *MASKED, *LARGEST], ids=_name)
def test_keeps_the_laws_of_a_region(threat: Any) -> None:
    findings = check_region(threat)
    assert len(findings) >= 9
    assert [f"{f.name}: {f.sentence}" for f in findings if not f.passed] == []


def test_the_laws_of_a_region_can_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from brittle.threats import BallRegion

    monkeypatch.setattr(BallRegion, "project", lambda self, point: point)
    monkeypatch.setattr(BallRegion, "contains", lambda self, x_adv: torch.ones(len(x_adv), dtype=torch.bool))
    failed = {finding.name for finding in check_region(brittle.linf(0.1)) if not finding.passed}
    assert "linf: refuses NaN and what is outside the box" in failed
    assert "linf: is only the clean input where eps is 0" in failed


@pytest.mark.parametrize("threat", [*VALUES, *MASKED], ids=_name)
def test_a_step_in_place_is_the_projection_of_the_ascent(threat: Any) -> None:
    x = inputs((3, 4), bounds=(0.0, 1.0))
    region = threat.around(x, 0.0, 1.0)
    point, grad = region.random(Streams.seeded(0, torch.arange(7))), torch.randn_like(x)
    wanted = region.project(region.ascend(point, grad, region.radius))
    assert torch.equal(region.step_(point.clone(), grad.clone(), region.radius), wanted)


@pytest.mark.parametrize("threat", MASKED, ids=_name)
def test_nothing_outside_the_mask_moves_and_something_inside_does(threat: Any) -> None:
    x = inputs((3, 4), bounds=(0.0, 1.0))
    region, streams = threat.around(x, 0.0, 1.0), Streams.seeded(0, torch.arange(7))
    stepped = region.project(region.ascend(x, torch.randn_like(x), region.radius))
    for point in (region.random(streams), region.gaussian(streams), stepped, region.project(1 - x)):
        assert torch.equal(point[:, ~MASK], x[:, ~MASK])
        assert (point[:, MASK] != x[:, MASK]).any(1).all()
    assert not region.contains(torch.where(MASK, x, 1 - x)).any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0.0, 1.0),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]),
)
def test_projection_is_the_nearest_point_of_ball_and_box(
    norm: str, seed: int, share: float, bounds: tuple[float, float]
) -> None:
    lower, upper = bounds
    x, far = inputs((5,), 3, seed, bounds=bounds), 2 * inputs((5,), 3, seed + 1, bounds=bounds)
    most = {"linf": 1, "l2": 5**0.5, "l1": 5}.get(norm, 0) * (upper - lower)
    threat = THREATS[norm](round(share * 5) if norm == "l0" else share * most)
    found = threat.around(x, lower, upper).project(far)
    for row in range(3):
        centre = x[row].numpy()
        delta, low, high = far[row].numpy() - centre, lower - centre, upper - centre
        wanted = references.nearest(delta, low, high, threat.eps, norm)
        gap = np.linalg.norm(found[row].numpy() - centre - delta) - np.linalg.norm(wanted - delta)
        assert gap <= 1e-6 * (upper - lower)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_contains_is_the_ball_up_to_rounding_and_no_further(norm: str) -> None:
    x = inputs((3, 4), dtype=torch.float32, bounds=(0.25, 0.75))
    eps = {"linf": 0.1, "l2": 0.3, "l1": 0.2, "l0": 2}[norm]
    region = THREATS[norm](eps).around(x, 0.0, 1.0)
    edge = region.project(region.ascend(x, torch.randn_like(x), region.radius))
    assert region.contains(edge).all()
    torch.testing.assert_close(region.size(edge), torch.full((7,), eps).double(), rtol=1e-5, atol=0)
    beyond = x + (edge - x) * 1.0002
    if norm == "l0":
        beyond = edge.clone()
        beyond.flatten(1)[torch.arange(7), (edge == x).flatten(1).int().argmax(1)] += 1e-6
    assert not region.contains(beyond).any()


def test_what_is_allowed_does_not_depend_on_the_batch() -> None:
    """The tolerance of `contains` is a sample's own: a neighbour with large masked values must not widen it."""
    x = torch.full((2, 3), 0.5)
    x[1, 0] = 255.0
    mask = torch.tensor([False, True, True])
    x_adv = x.clone()
    x_adv[:, 1] += 0.1 + 2e-5
    threat, one = brittle.linf(0.1, mask), torch.tensor([0])
    whole = threat.around(x, 0.0, 255.0)
    alone = whole.select(one)
    assert whole.contains(x_adv)[0] == alone.contains(x_adv[one])[0]


def test_l0_counts_features_and_rounds_down() -> None:
    x = inputs((3, 4), bounds=(0.0, 1.0))
    region = brittle.l0(2.9).around(x, 0.0, 1.0)
    point = region.random(Streams.seeded(0, torch.arange(7)))
    assert ((point != x).flatten(1).sum(1) == 2).all()


def test_the_box_reaches_every_corner() -> None:
    x = inputs((3, 4), bounds=(0.0, 1.0))
    region = brittle.box().around(x, 0.0, 1.0)
    corner: Tensor = (torch.randn_like(x) > 0).double()
    assert region.contains(corner).all()
    assert torch.equal(region.project(5 * corner - 2), corner)


def test_selecting_rows_of_a_region() -> None:
    x, rows = inputs((3, 4), bounds=(0.0, 1.0)), torch.tensor([6, 2, 2])
    far = 3 * inputs((3, 4), seed=4)
    for threat in (*VALUES, *MASKED):
        region = threat.around(x, 0.0, 1.0)
        torch.testing.assert_close(region.select(rows).project(far[rows]), region.project(far)[rows])
        region.select(torch.tensor([], dtype=torch.int64)).project(far[:0])


def test_masks_are_values(tmp_path: Path) -> None:
    from PIL import Image

    np.save(tmp_path / "mask.npy", MASK.numpy())
    Image.fromarray(MASK.numpy().astype(np.uint8) * 255).save(tmp_path / "mask.png")
    wanted = brittle.linf(0.1, MASK)
    assert torch.equal(brittle.Mask.of(MASK).tensor(torch.device("cpu")), MASK)
    assert brittle.linf(0.1, MASK.int()) == wanted
    assert brittle.parse_threat(f"linf:0.1,mask={tmp_path}/mask.npy") == wanted
    assert brittle.parse_threat(f"linf:eps=0.1,mask={tmp_path}/mask.png") == wanted
    assert hash(brittle.Mask.of(MASK)) == hash(wanted.mask)
    assert brittle.linf(0.1, ~MASK) != wanted
    rows = brittle.linf(0.1, MASK[:, :1]).around(inputs((3, 4), bounds=(0.0, 1.0)), 0.0, 1.0)  # broadcasts over columns
    assert torch.equal(rows.free[0], MASK[:, :1].expand(3, 4))


def test_strings_are_threats() -> None:
    assert brittle.parse_threat("linf:8/255") == brittle.linf(8 / 255)
    assert brittle.parse_threat("l2:0.5") == brittle.l2(0.5)
    assert brittle.parse_threat("l0:10") == brittle.l0(10)
    assert brittle.parse_threat("box") == brittle.box()
