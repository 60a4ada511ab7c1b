"""The experiments that leave the screen: a turtle that is a rifle from any view, and a stop sign with stickers."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vision_ops  # noqa: F401 - the networks import torchvision
from brittle.app.show import EXPERIMENTS, setting
from brittle.app.show.fresh import in_words, kinds, rate
from brittle.app.show.scene import Scene
from brittle.app.show.stop_sign import LEVELS, fitted, posted, sheet, stop_sign, two_stickers
from brittle.app.show.turtle import turtle
from brittle.core.victim import Victim, as_victim
from brittle.report.exhibit import Exhibit, write_exhibit
from brittle.threats.mask import Mask
from brittle.victims.views import Views
from published import network

NETWORKS = {"mobilenet_v1_0.75_192_qat": 192, "squeezenet1_0_deepcompression": 227}
MILD = Views(rotation=10, scale=(0.9, 1.2), shift=0.05, brightness=0.05, noise=0.05, jpeg=(75, 95))


def _scene(name: str, experiment: str) -> Scene:
    size = NETWORKS[name]
    victim = replace(as_victim(network(name), name=name), shape=(3, size, size))
    words = Path(os.environ["BRITTLE_DATA"]) / "data" / "imagenet_1000" / "synset_words.txt"
    return setting(EXPERIMENTS[experiment], victim, classes=words)


def _shares(exhibit: Exhibit, row: int, column: int = 1) -> list[float]:
    """The leading percentages of a row of the table of rates."""
    cells = exhibit.parts[-1].tables[0].rows[row][column:]
    return [float(cell.partition(" %")[0].strip("<>")) / 100 for cell in cells if " %" in cell]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_turtle_made_over_views_stays_a_rifle_and_plain_pgds_does_not(name: str, tmp_path: Path) -> None:
    shown = turtle(_scene(name, "turtle"), views=MILD, steps=15, draws=4, fresh=60)
    clean, plain, over = _shares(shown, -1)
    assert clean < 0.05
    assert over > 0.7
    assert over > plain + 0.3
    assert shown.held
    page, picture = write_exhibit(shown, tmp_path)
    assert "rifle" in page.read_text()
    assert Image.open(picture).width > 500


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_printed_stickers_change_the_sign_where_random_ones_do_not(name: str, tmp_path: Path) -> None:
    scene = _scene(name, "stop-sign")
    assert scene.name(int(scene.probabilities(scene.x)[0].argmax())) == "street sign"
    shown = stop_sign(scene, "scoreboard", views=MILD, steps=25, draws=3, fresh=60)
    none, random, made, printed = (_shares(shown, row)[0] for row in range(4))
    assert max(none, random) < 0.3
    assert min(made, printed) > 0.6
    assert shown.held
    write_exhibit(shown, tmp_path)
    with Image.open(tmp_path / "stop_sign_stickers.png") as printed_sheet:
        across = printed_sheet.width / printed_sheet.info["dpi"][0] * 25.4  # millimetres
    assert across == pytest.approx(380, abs=10)


def _light() -> Victim:
    """Of a picture (B, 3, 20, 20): class 0 where it is dark, 1 where it is bright."""
    return as_victim(lambda x: 20 * torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1), name="light")


def test_a_rate_counts_fresh_views_with_their_interval() -> None:
    scene = Scene(_light(), ("dark", "bright"), torch.full((1, 3, 20, 20), 0.5))
    even = rate(scene, Views(brightness=0.2), scene.x + 0.1, 1, 400)
    assert even.n == 400
    assert even.low < 0.75 < even.high
    assert rate(scene, Views(), scene.x + 0.1, 1, 10).count == 10
    assert rate(scene, Views(), scene.x + 0.1, 0, 10).count == 0


def test_each_kind_of_view_is_measured_alone() -> None:
    alone = kinds(MILD)
    assert list(alone) == ["rotation", "scale", "shift", "brightness", "noise", "JPEG"]
    assert alone["scale"] == Views(scale=(0.9, 1.2))
    assert in_words(Views(rotation=5.0, jpeg=(60, 95))) == "rotation 5.0, JPEG 60 to 95"


def test_stickers_change_nothing_but_what_the_mask_allows() -> None:
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[4:12, 20:36] = True
    scene = Scene(_light(), ("dark", "bright"), torch.full((1, 3, 20, 20), 0.3), mask=Mask.of(mask))
    views = Views(brightness=0.01)
    shown = stop_sign(scene, "bright", views=views, steps=10, draws=2, fresh=10)
    pictures = [panel.picture for panel in shown.parts[0].panels]
    allowed = fitted(Mask.of(mask), scene.x)
    assert torch.equal(allowed, mask[::2, ::2])
    for picture in pictures[1:]:
        assert (picture != pictures[0]).any()
        assert (picture == pictures[0])[~allowed.numpy()].all()
    levels = {int(level) for level in np.unique(pictures[2][allowed.numpy()])}
    assert levels <= {round(255 * level) for level in LEVELS} | {26, 76, 77, 127, 128, 178, 179, 229, 230}


def test_the_sheet_has_its_true_size_and_nothing_between_the_stickers() -> None:
    scene = Scene(_light(), ("dark", "bright"), torch.rand(1, 3, 100, 100))
    with Image.open(io.BytesIO(sheet(scene, scene.x, two_stickers(scene.x), 1000.0))) as printed:
        inches = [side / dots for side, dots in zip(printed.size, printed.info["dpi"], strict=True)]
        alpha = np.array(printed)[..., 3]
    assert [inch * 25.4 for inch in inches] == pytest.approx([380, 550], rel=1e-3)
    assert alpha[0, 0] == 255
    assert alpha[alpha.shape[0] // 2, 0] == 0


def test_a_transparent_sign_stands_on_its_pole() -> None:
    sign = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    sign.paste((200, 0, 0, 255), (20, 20, 80, 80))
    street = posted(sign)
    assert street.getpixel((50, 40)) == (200, 0, 0)
    assert street.getpixel((50, 95)) != street.getpixel((10, 95)) == street.getpixel((10, 5))
