"""`brittle.inspect` and `brittle inspect`: facts about small models, and each thing that may be wrong with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import brittle
from brittle.data.framing import Framing
from brittle.errors import InputError
from brittle.victims.preprocess import Preparation, Prepared
from test_cli import run_brittle

COLOURS = {"blue": (20, 40, 200), "green": (30, 190, 60), "red": (210, 40, 30)}


class Means(nn.Module):
    """Takes normalised pictures; the logit of a colour is its mean: blue, green, red."""

    def __init__(self, scale: float = 5.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * x.mean((2, 3)).flip(1)


@pytest.fixture
def photos(tmp_path):
    """12 pictures of each colour, of odd sizes, in a folder each."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            size = (20 + int(rng.integers(9)), 20 + int(rng.integers(9)), 3)
            noisy = (np.array(colour) + rng.normal(0, 20, size)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "photos" / name / f"{i}.png")
    return f"images:{tmp_path / 'photos'}"


def victim(module=None, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), classes=tuple(COLOURS), **options):
    preparation = Preparation(framing=Framing(size=(16, 16), scaled=18), mean=mean, std=std)
    wrapped = Prepared(module or Means(), preparation, **options).eval()
    shape = () if options.get("inside") else (3, 16, 16)
    return brittle.Victim(wrapped, name="colours", module=wrapped, shape=shape, classes=classes)


def kinds(found):
    return [finding.kind for finding in found.findings]


def test_a_sound_model_is_described(photos):
    found = brittle.inspect(victim(), photos, samples=36)
    assert found.architecture == "Means"
    assert (found.parameters, found.shape, found.bounds) == (1, (3, 16, 16), (0, 1))
    assert (found.classes, found.names) == (3, ("blue", "green", "red"))
    assert found.accuracy.count == found.accuracy.n == 36
    assert found.seconds[0] > 0
    assert found.seconds[1] > 0
    assert found.outputs[0] < 0 < found.outputs[1]
    assert found.findings == ()
    assert (
        found.preparation
        == "(x - 0.5) / 0.5; pictures of a folder before it: shorter side to 18, middle 16x16, bilinear"
    )


def test_pictures_may_be_framed_inside(photos):
    found = brittle.inspect(victim(inside=True), f"{photos}?size=30x40")
    assert found.shape == ()
    assert found.accuracy.value == 1
    assert "shorter side to 18" in found.lines()["inside"]
    assert "any size" in found.lines()["inputs"]


def test_without_data_the_model_is_asked_about_noise():
    found = brittle.inspect(victim())
    assert found.asked == "8 pictures of noise"
    assert found.accuracy is None
    assert found.outputs is not None
    assert found.findings == ()
    nothing = brittle.inspect(lambda x: x)
    assert (nothing.asked, nothing.outputs, nothing.architecture) == ("", None, "a function")


def test_another_normalisation_that_is_right_is_named(photos):
    class Offset(Means):
        """Right only where zero is the middle of the range."""

        def forward(self, x):
            return super().forward(x) * (x.mean((1, 2, 3)).abs() < 0.6)[:, None] - torch.tensor([0.0, 0.0, 1e-3])

    sound = brittle.inspect(victim(Offset()), photos, samples=36)
    assert sound.accuracy.value == 1
    wrong = brittle.inspect(victim(Offset(), std=(1 / 255,) * 3), photos, samples=36)
    assert wrong.accuracy.value < 0.5
    assert "normalisation" in kinds(wrong)
    assert wrong.findings[-1].mend == "Add mean=0.5&std=0.5 to the victim."
    assert kinds(wrong).count("normalisation") == 1


def test_colours_in_the_other_order_are_found(photos):
    class Swapped(Means):
        def forward(self, x):
            return super().forward(x.flip(1))

    found = brittle.inspect(victim(Swapped()), photos, samples=36)
    assert "normalisation" in kinds(found)
    assert "blue, green, red" in found.findings[0].measured


def test_classes_that_are_numbered_otherwise_are_named(photos):
    found = brittle.inspect(
        victim(nn.Sequential(Means(), Roll()), classes=("rot", "blau", "gruen")), photos, samples=36
    )
    assert "classes" in kinds(found)
    assert "'blue' in the data and 'rot' in the model" in found.findings[-1].measured


class Roll(nn.Module):
    def forward(self, logits):
        return logits.roll(1, 1)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.Sequential(Means(), nn.Softmax(1)), "probabilities"),
        (nn.Sequential(Means(), nn.Threshold(1e9, float("nan"))), "refused"),
        (nn.Sequential(nn.Flatten(), nn.Linear(5, 3)), "failed"),
    ],
)
def test_what_is_wrong_with_outputs_is_said(photos, module, kind):
    assert kind in kinds(brittle.inspect(victim(module.eval()), photos, samples=36))


def test_data_that_do_not_fit_are_a_finding(photos):
    found = brittle.inspect(victim(), "digits")
    assert kinds(found) == ["refused"]
    assert "1x8x8, the model takes 3x16x16" in found.findings[0].measured
    few = brittle.inspect(victim(nn.Sequential(Means(), nn.Linear(3, 2)).eval()), photos, samples=36)
    assert kinds(few)[0] == "classes"
    assert few.findings[0].measured.endswith("has 3 classes, the model 2 outputs.")
    assert few.accuracy is None


class Brightness(nn.Module):
    """Takes grey pictures; the class is their brightness, in tenths."""

    def forward(self, x):
        if x.shape[1] != 1:
            raise RuntimeError("expected 1 channel")
        return -(x.mean((1, 2, 3))[:, None] - torch.arange(10) / 10).abs() * 9


@pytest.mark.parametrize(("by", "mend"), [(1, "outputs[:, 1:]"), (-1, "from 0")])
def test_classes_that_count_one_further_are_seen(by, mend):
    labels = torch.arange(40) % 8 + 1
    x = (labels / 10 + 0.02)[:, None, None, None].expand(-1, 1, 4, 4)
    found = brittle.inspect(Brightness().eval(), (x, labels), samples=40)
    assert found.accuracy.value == 1
    assert not {"classes", "accuracy"} & {*kinds(found)}
    found = brittle.inspect(Brightness().eval(), (x, labels - by), samples=40)
    assert f"its answer is the label {'plus' if by > 0 else 'minus'} one on 40" in found.findings[-1].measured
    assert mend in found.findings[-1].mend


def test_a_model_that_takes_grey_pictures_or_flat_ones_is_seen(photos):
    assert "grey: give grey pictures" in brittle.inspect(Brightness().eval(), photos + "?size=9").findings[0].mend
    grey = brittle.inspect(Brightness().eval(), photos + "?size=9&grey=1")
    assert "failed" not in kinds(grey)
    flat = brittle.inspect(nn.Linear(64, 10).eval(), "digits").findings[0]
    assert (flat.kind, "nn.Flatten()" in flat.mend) == ("failed", True)
    odd = brittle.inspect(nn.Linear(5, 3).eval(), photos + "?size=9").findings[0]
    assert odd.mend == "Give data of the shape and range that the model takes."


def test_data_of_0_to_255_on_a_model_of_0_to_1(photos):
    x = torch.rand(8, 3, 16, 16) * 255
    assert "bounds" in kinds(brittle.inspect(victim(), (x, torch.zeros(8, dtype=torch.int64))))


def test_a_model_in_training_mode_comes_back_as_it_was(photos):
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = torch.rand(16, 1, 8, 8)
    found = brittle.inspect(module, (x, torch.zeros(16, dtype=torch.int64)))
    assert "training-mode" in kinds(found)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_samples_out_of_range():
    with pytest.raises(InputError, match="samples=100"):
        brittle.inspect(victim(), samples=100)


CODE = """
import torch
def wrong(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.Softmax(1)).eval()
"""


def test_the_command_prints_and_ends_with_3_where_something_looks_wrong(tmp_path):
    (tmp_path / "softmaxed.py").write_text(CODE)
    printed = run_brittle("inspect", "py:softmaxed:wrong", "digits", cwd=tmp_path, code=3)
    assert "650 parameters (float32, cpu)" in printed
    assert "probabilities" in printed
    printed = run_brittle("inspect", "py:softmaxed:wrong", "digits", "--json", cwd=tmp_path, code=3)
    assert json.loads(printed)["classes"] == 10
