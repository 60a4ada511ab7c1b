"""A patch stuck on at random places: where it lies, that it is the same for anyone, and that one made for it beats one that is not."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import brittle
import vision_ops  # noqa: F401
from brittle.app.patch import patch
from brittle.app.show import EXPERIMENTS, setting
from brittle.app.show.patch import universal_patch
from brittle.app.show.photographs import photographs
from brittle.app.show.scene import Scene, blank, scene
from brittle.app.show.universal import universal_perturbation
from brittle.attacks.combine.patch import Patch, paste
from brittle.cli.main import app
from brittle.core.victim import Victim
from brittle.data.open import open_data
from brittle.errors import InputError
from brittle.report.exhibit import Exhibit, write_exhibit
from brittle.report.gallery import pixels
from brittle.victims.networks import parse_network, save
from brittle.victims.open import open_victim
from brittle.victims.train import train

MIDDLE = torch.full((1, 4), 0.5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = open_data("digits?split=train")
    architecture = parse_network("mlp", data.shape, 10)
    path = tmp_path_factory.mktemp("net") / "digits.safetensors"
    save(train(data, architecture, epochs=1, seed=0), architecture, path, data="digits", bounds=data.bounds)
    return path


@pytest.fixture(scope="module")
def victim(saved: Path) -> Victim:
    return open_victim(f"net:{saved}")


def covered(where: torch.Tensor, **how: object) -> torch.Tensor:
    """Which pixels (B, H, W) of pictures of 60 x 80 a white patch covers."""
    settings = {"round": True, "side": (0.5, 0.5), "angle": 0.0, **how}
    x = torch.zeros(len(where), 1, 60, 80)
    return paste(x, torch.ones(1, 5, 5), where, **settings)[:, 0] > 0  # type: ignore[arg-type]


@pytest.mark.parametrize(("round", "share"), [(True, math.pi / 4), (False, 1.0)])
def test_it_covers_what_it_should_and_lies_inside_wherever_it_is(round: bool, share: float) -> None:
    where = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    for angle in (0.0, 180.0):
        seen = covered(where, round=round, angle=angle).flatten(1).sum(1)
        assert bool(((seen - share * 30**2).abs() < 0.05 * share * 30**2).all())  # none of it beyond the edge


def test_the_corners_of_where_are_the_corners_of_the_picture() -> None:
    for across, left in ((0.0, 0), (1.0, 50)):
        for down, top in ((0.0, 0), (1.0, 30)):
            seen = covered(torch.tensor([[across, down, 0.5, 0.5]]), round=False)[0]
            assert seen[top : top + 30, left : left + 30].all()
            assert int(seen.sum()) == 900


def test_size_and_turn_are_those_asked_for() -> None:
    small, large = covered(torch.tensor([[0.5, 0.5, 0.0, 0.5], [0.5, 0.5, 1.0, 0.5]]), round=False, side=(0.2, 0.6))
    assert (int(small.sum()), int(large.sum())) == (12**2, 36**2)
    pattern, x = torch.rand(3, 8, 8), torch.zeros(1, 3, 8, 8)
    how = {"round": False, "side": (1.0, 1.0), "angle": 90.0}
    same = paste(x, pattern, MIDDLE, **how)[0]  # type: ignore[arg-type]
    turned = paste(x, pattern, torch.tensor([[0.5, 0.5, 0.5, 1.0]]), **how)[0]  # type: ignore[arg-type]
    assert torch.allclose(same, pattern, atol=1e-5)
    assert torch.allclose(turned, pattern.rot90(-1, (1, 2)), atol=1e-5)


def test_the_gradient_of_what_is_seen_reaches_the_patch_and_nothing_outside_the_disc() -> None:
    pattern = torch.rand(1, 30, 30, requires_grad=True)
    paste(torch.zeros(1, 1, 60, 60), pattern, MIDDLE, round=True, side=(0.5, 0.5), angle=0.0).sum().backward()
    assert pattern.grad is not None
    assert float(pattern.grad[0, 15, 15]) == pytest.approx(1, abs=1e-4)
    assert float(pattern.grad[0, 0, 0]) == 0


def test_a_sample_has_its_own_place_whatever_is_beside_it(victim: Victim) -> None:
    x, labels = open_data("digits").batch(range(6))
    one = Patch.of(torch.ones(1, 4, 4))
    together = brittle.attack(one, victim, x, labels, brittle.box()).x_adv
    alone = brittle.attack(one, victim, x[3:4], labels[3:4], brittle.box(), ids=torch.tensor([3])).x_adv
    assert torch.equal(together[3], alone[0])
    places = (together == 1).flatten(1)
    assert len({tuple(row.tolist()) for row in places}) > 3
    again = brittle.attack(one, victim, x, labels, brittle.box(), seed=1).x_adv
    assert not torch.equal(together, again)
    assert float(brittle.attack(one, victim, x, labels, brittle.linf(0.1)).size.max()) <= 0.1 + 1e-6


def test_it_survives_a_file(tmp_path: Path) -> None:
    made = Patch.of(torch.rand(3, 5, 5), round=False, side=(0.1, 0.35), angle=7.5)
    made.save(tmp_path / "patch.safetensors")
    assert Patch.read(tmp_path / "patch.safetensors") == made
    assert brittle.parse_attack(f"stick:path={tmp_path / 'patch.safetensors'}") == made
    brittle.Replay.of(torch.zeros(3, 4)).save(tmp_path / "delta.safetensors")
    said = {"delta.safetensors": "is not a saved patch", "none.safetensors": "does not exist; give a patch"}
    for name, sentence in said.items():
        with pytest.raises(InputError, match=sentence):
            Patch.read(tmp_path / name)


class Sights(nn.Module):
    """Each class has a pattern of 5 x 5 pixels of its own, and an output as high as the place that is most like it."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns = nn.Conv2d(3, 8, 5, bias=False)
        with torch.no_grad():
            self.patterns.weight.copy_(torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.patterns(x - 0.5).amax((2, 3))


def noisy_pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    return x, Sights()(x).argmax(1)


def test_one_that_is_made_beats_random_pixels_on_unseen_data() -> None:
    net = Sights().eval()
    how = {"side": (0.4, 0.5), "steps": 80, "step_size": 0.1}
    made = patch(net, noisy_pictures(60, 0), 3, **how)  # type: ignore[arg-type]
    assert made == patch(net, noisy_pictures(60, 0), 3, **how)  # type: ignore[arg-type]
    x, labels = noisy_pictures(300, 1)
    x, labels = x[labels != 3], labels[labels != 3]
    random = Patch.of(torch.rand(made.shape, generator=torch.Generator().manual_seed(2)), side=made.side)
    own, other = (
        float(brittle.attack(one, net, x, labels, brittle.box(), targets=3).success.double().mean())
        for one in (made, random)
    )
    assert own > 0.9, own
    assert other < 0.3, other


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"side": (0.5, 1.2)}, "is no range of shares"),
        ({"angle": 200.0}, "angle=200 is out of range; give 0 to 180 degrees"),
        ({"steps": 0}, "steps=0 is too few"),
        ({"step_size": 0.0}, "step_size=0 is no step"),
        ({"target": 10}, "10"),
    ],
)
def test_what_is_wrong_gets_a_sentence(victim: Victim, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        patch(victim, open_data("digits"), **{"target": 3, "samples": 8, **given})  # type: ignore[arg-type]


def test_other_shapes_get_a_sentence(victim: Victim) -> None:
    with pytest.raises(InputError, match=r"give a square picture \(C, P, P\)"):
        Patch.of(torch.zeros(3, 4, 5))
    x, labels = open_data("digits").batch(range(2))
    with pytest.raises(InputError, match="the patch has 3 channels"):
        brittle.attack(Patch.of(torch.zeros(3, 4, 4)), victim, x, labels, brittle.box())


def test_the_command_writes_what_an_evaluation_sticks_on(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "three.safetensors"
    args = ["patch", f"net:{saved}", "digits?split=train", "--target", "3", "--out", str(out)]
    ended = CliRunner().invoke(app, [*args, "--steps", "5", "--samples", "50", "--side", "0.5"])
    assert ended.exit_code == 0, ended.output
    assert Patch.read(out).side == (0.5, 0.5)
    with Image.open(out.with_suffix(".png")) as image:
        assert image.size == (4, 4)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Ninety pictures of noise as the photographs, labelled by the network itself, and a second network that is another size's."""
    folder = tmp_path / "imagenet_1000"
    folder.mkdir()
    x, labels = noisy_pictures(90, 0)
    rows = ["file,label"]
    for i, (picture, label) in enumerate(zip(x, labels.tolist(), strict=True)):
        Image.fromarray(pixels(picture.numpy(), (0.0, 1.0))).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(rows))
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path))
    net, large = (Victim(Sights().eval(), name=f"of {size}", shape=(3, size, size)) for size in (24, 36))
    names = tuple(f"sight {i}" for i in range(8))
    return replace(scene(net, names, blank(net)), others=(large,))


def test_the_patch_that_is_shown_is_the_one_that_is_kept(stage: Scene, tmp_path: Path) -> None:
    exhibit = universal_patch(stage, "sight 3", made_on=50, judged_on=40, steps=60)
    assert exhibit.held, exhibit.found
    page, _ = write_exhibit(exhibit, tmp_path / "shown")
    kept = Patch.read(page.parent / "patch.safetensors")
    x, labels = noisy_pictures(200, 3)
    x, labels = x[labels != 3], labels[labels != 3]
    assert (
        float(brittle.attack(kept, Sights().eval(), x, labels, brittle.box(), targets=3).success.double().mean()) > 0.8
    )
    rows = {row[0]: row[1] for row in exhibit.parts[1].tables[0].rows}
    assert list(rows) == ["made for it", "random pixels", "a photograph of “sight 3”"]


def test_one_perturbation_is_counted_on_pictures_that_it_was_not_made_on_and_on_other_networks(stage: Scene) -> None:
    exhibit = universal_perturbation(stage, made_on=50, judged_on=40, epochs=3)
    rows = exhibit.parts[1].tables[0].rows
    assert [row[0] for row in rows] == ["of 24", "of 36"]
    own, noise = (int(cell.split(" %")[0].lstrip("<>")) for cell in rows[0][1:])
    assert own > noise
    assert "on of 36" in exhibit.found


def test_photographs_are_never_counted_twice(stage: Scene) -> None:
    pictures = photographs(stage.victim)
    one, two = pictures.apart(0, 60, 30)
    assert sorted(one + two) == list(range(90))
    assert one != pictures.apart(1, 60, 30)[0]
    with pytest.raises(InputError, match="91 photographs are needed, images:imagenet_1000 has 90"):
        pictures.apart(0, 61, 30)


@pytest.mark.slow
@pytest.mark.data
def test_a_toaster_patch_works_on_photographs_that_it_was_not_made_on() -> None:
    exhibit = shown("patch", steps=80, judged_on=40, side=(0.5, 0.6))
    assert exhibit.held, exhibit.found


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("net", "size"), [("mobilenet_v1_0.75_192_qat", 192), ("mobilenet_v2_1.0_224_qat", 224)])
def test_one_perturbation_fools_a_network_on_most_photographs(net: str, size: int) -> None:
    exhibit = shown("universal", net, size, made_on=100, judged_on=60, epochs=4)
    own, noise = (int(cell.split(" %")[0]) for cell in exhibit.parts[1].tables[0].rows[0][1:])
    assert own > 70 > noise + 30, exhibit.found


def shown(name: str, net: str = "mobilenet_v1_0.75_192_qat", size: int = 192, **how: object) -> Exhibit:
    pytest.importorskip("timm")
    from published import network

    names = Path(os.environ["BRITTLE_DATA"]) / "data" / "imagenet_1000" / "synset_words.txt"
    experiment = EXPERIMENTS[name]
    stage = setting(
        experiment, Victim(network(net), name=net, shape=(3, size, size), module=network(net)), classes=names
    )
    return experiment.run(stage, experiment.target, **how)  # type: ignore[call-arg]
