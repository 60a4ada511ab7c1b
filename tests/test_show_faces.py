"""`brittle show glasses`: frames that lie about the eyes, a gate whose threshold is counted by hand, and the claim on a recogniser."""

from __future__ import annotations

import cmath
import importlib.util
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from brittle.app.show import EXPERIMENTS, setting
from brittle.app.show.faces import EYES, aligned, faces
from brittle.app.show.glasses import frames, glasses, opened
from brittle.app.show.scene import Scene, blank, scene
from brittle.core.victim import Victim
from brittle.errors import InputError

SIDE = 40  # pixels of the faces drawn here


class Embedding(nn.Module):
    """96 random contrasts of a face: a network whose answers a pair of glasses of the right colours must be able to change."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(96, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5).flatten(1) @ self.weight.T


@pytest.fixture(scope="module")
def victim() -> Victim:
    return Victim(Embedding().eval(), name="contrasts", shape=(3, SIDE, SIDE))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: Victim) -> Scene:
    """Eight people, six pictures each: a base that is theirs, and noise."""
    random = np.random.default_rng(0)
    for person in range(8):
        base = random.integers(64, 192, (SIDE, SIDE, 3))
        (tmp_path / "faces" / f"p{person}").mkdir(parents=True)
        for picture in range(6):
            levels = np.clip(base + random.integers(-32, 33, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(levels).save(tmp_path / "faces" / f"p{person}" / f"{picture}.png")
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path))
    return scene(victim, (), blank(victim))


@pytest.mark.parametrize("size", [112, 200])
def test_frames_lie_about_the_eyes_and_leave_them_free(size: int) -> None:
    mask = frames(size, size)[0]
    assert 0.05 < float(mask.float().mean()) < 0.12
    for across, down in ((0.342, 0.462), (0.657, 0.46)):
        assert not mask[int(down * size), int(across * size)]
        row = mask[int(down * size)]
        assert row[: int(across * size)].any()
        assert row[int(across * size) :].any()
    assert mask[int(0.445 * size), size // 2]  # the bridge
    assert not mask[int(0.6 * size) :].any()  # nose and mouth
    level = frames(size, size, ((0.35, 0.46), (0.65, 0.46)))[0]
    assert torch.equal(level, level.flip(1))


def test_frames_turn_and_grow_with_the_eyes() -> None:
    level = frames(100, 100, ((0.35, 0.5), (0.65, 0.5)))[0]
    upright = frames(100, 100, ((0.5, 0.35), (0.5, 0.65)))[0]
    assert torch.equal(upright, level.rot90(-1))
    far = frames(100, 100, ((0.4, 0.5), (0.6, 0.5)))[0]
    assert int(far[40:60, 30:70].sum()) < int(level[35:65, 20:80].sum())
    with pytest.raises(InputError, match="too few for a frame"):
        frames(20, 20)


def test_the_threshold_lets_in_so_many_strangers_and_no_more(stage: Scene) -> None:
    gate = opened(stage.victim, faces(stage.victim))
    assert gate.people.tolist() == [person for person in range(8) for _ in range(3)]
    net = stage.victim.forward
    x = torch.stack([_read(stage, f"p{p}/{i}.png") for p in range(8) for i in range(6)]).view(8, 6, 3, SIDE, SIDE)
    with torch.no_grad():
        templates = F.normalize(torch.stack([F.normalize(net(own[:3])).mean(0) for own in x]))
        cosines = F.normalize(net(x[:, 3:].flatten(0, 1))) @ templates.T
    strange = cosines[gate.people[:, None] != torch.arange(8)]
    assert gate.threshold == pytest.approx(float(strange.max()), abs=1e-6)  # a thousandth of 168 pairs is none
    assert (gate.measured.count, gate.measured.n) == (0, 168)
    assert gate.known.count == int((cosines[range(24), gate.people] > gate.threshold).sum()) > 20


def _read(stage: Scene, name: str) -> torch.Tensor:
    picture = np.asarray(Image.open(Path(os.environ["BRITTLE_DATA"]) / "faces" / name)).astype(np.float32) / 255
    return torch.from_numpy(picture).permute(2, 0, 1)


def test_the_gate_takes_for_nobody_what_is_like_nobody(stage: Scene) -> None:
    gate = opened(stage.victim, faces(stage.victim), people=3)
    assert gate.names == ("p0", "p1", "p2")
    model = gate.as_classifier()
    outputs = model(gate.probes)
    assert outputs.shape == (9, 4)
    assert outputs.argmax(1).tolist() == (gate.people + 1).tolist()
    assert bool((outputs[:, 0] == gate.threshold).all())
    assert bool((gate.as_classifier(2.0)(gate.probes).argmax(1) == 0).all())
    assert model.classes == ("nobody", "p0", "p1", "p2")


def test_glasses_of_the_right_colours_hide_and_disguise_and_black_ones_do_not(stage: Scene) -> None:
    exhibit = glasses(stage, attempts=12, steps=60, smooth=0.001)
    assert exhibit.held, exhibit.found
    assert "100 % of 12 attempts" in exhibit.found
    rows = exhibit.parts[-1].tables[0].rows
    assert [row[0] for row in rows] == ["black", "made to hide", "made to be somebody else"]
    mask = frames(SIDE, SIDE)[0].numpy()
    for part in exhibit.parts[:-1]:
        without, *worn = (panel.picture for panel in part.panels[:4])
        for picture in worn:
            assert np.array_equal(picture[~mask], without[~mask])
        assert not worn[0][mask].any()
        assert "seen as nobody" in part.panels[2].note


def test_a_price_on_roughness_makes_neighbours_alike(stage: Scene) -> None:
    mask = frames(SIDE, SIDE)[0]
    inside = (mask[:, 1:] & mask[:, :-1]).numpy()

    def roughness(price: float) -> float:
        parts = glasses(stage, attempts=6, steps=60, smooth=price).parts[:-1]
        worn = np.stack([panel.picture for part in parts for panel in part.panels[2:4]]).astype(float)
        return float(np.abs(np.diff(worn, axis=2))[:, inside].mean())

    assert roughness(0.01) < 0.8 * roughness(0.0)


@pytest.mark.parametrize("turned", [0, 20, -35])
@pytest.mark.parametrize("apart", [17.5, 40, 130])
def test_aligned_eyes_lie_where_they_belong_whatever_the_picture(turned: float, apart: float) -> None:
    middle, half = complex(203, 150), cmath.rect(apart / 2, math.radians(turned))
    eyes = [((middle + side * half).real, (middle + side * half).imag) for side in (-1, 1)]
    down, across = np.mgrid[:300, :400] + 0.5
    picture = np.zeros((300, 400, 3))
    for channel, (x, y) in enumerate(eyes):
        picture[..., channel] = 255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * (apart / 12) ** 2))
    one, other = (
        np.asarray(aligned(Image.fromarray(picture.astype(np.uint8)), given), float)
        for given in ((eyes[0], eyes[1]), (eyes[1], eyes[0]))
    )
    assert np.array_equal(one, other)
    assert one.shape == (112, 112, 3)
    row, column = np.mgrid[:112, :112] + 0.5
    for channel, (x, y) in enumerate(EYES):
        bright = one[..., channel] ** 2
        found = (bright * column).sum() / bright.sum(), (bright * row).sum() / bright.sum()
        assert found == pytest.approx((112 * x, 112 * y), abs=0.2)


def test_one_point_is_no_pair_of_eyes() -> None:
    with pytest.raises(InputError, match="are one point; give the middle of each eye, in pixels"):
        aligned(Image.new("L", (50, 50)), ((3, 4), (3, 4)))


def test_everyone_becomes_the_person_named(stage: Scene) -> None:
    exhibit = glasses(stage, "p5", attempts=5, steps=60, smooth=0.001)
    for part in exhibit.parts[:-1]:
        assert part.panels[3].note.startswith("seen as p5")
    with pytest.raises(InputError, match="unknown person 'p9'"):
        glasses(stage, "p9")


def test_what_is_missing_or_not_aligned_gets_a_sentence(
    stage: Scene, victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        InputError, match="the faces are 40x40, contrasts takes 50x50; align them to that size as it was trained"
    ):
        faces(Victim(victim.forward, name="contrasts", shape=(3, 50, 50)))
    with pytest.raises(InputError, match="has too few faces"):
        opened(victim, faces(victim), people=1)
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("BRITTLE_CACHE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="a folder for each person there, of aligned faces"):
        faces(victim)


@pytest.mark.slow
@pytest.mark.data
def test_the_claim_comes_true_on_a_recogniser_that_others_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from published import network

    net = network("mobilefacenet_arcface_ms1m")
    _align(tmp_path / "faces", people=12)
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path))
    experiment = EXPERIMENTS["glasses"]
    stage = setting(experiment, Victim(net, name="mobilefacenet", shape=(3, 112, 112), module=net))
    exhibit = glasses(stage, attempts=10, steps=120)
    assert exhibit.held, exhibit.found
    assert (
        "100 % [" in dict(exhibit.facts)["who is let in"]
    )  # all who are known, by a threshold that lets no stranger in


def _align(folder: Path, people: int) -> None:
    """The faces as the recogniser takes them, aligned by the eyes that the cascade beside its weights finds."""
    from published import network

    root = Path(os.environ["BRITTLE_DATA"])
    spec = importlib.util.spec_from_file_location("faces", root / "weights" / "faces.py")
    assert spec is not None
    assert spec.loader is not None
    cascade = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cascade)
    net = getattr(network("mtcnn"), "net", network("mtcnn"))
    for person in sorted((root / "data" / "faces").glob("s*"))[:people]:
        (folder / person.name).mkdir(parents=True)
        for path in sorted(person.glob("*.png"))[:8]:
            picture = np.pad(np.asarray(Image.open(path).convert("RGB")), ((20, 20), (20, 20), (0, 0)), mode="edge")
            _, scores, landmarks = cascade.detect(net, picture)
            left, right = (tuple(map(float, eye)) for eye in landmarks[int(np.argmax(scores))][:2])
            aligned(Image.fromarray(picture), (left, right)).save(folder / person.name / path.name)
