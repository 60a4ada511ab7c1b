"""`brittle show`: the experiments on a linear network, whose answers are known; on networks that others trained; and their pages."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vision_ops  # noqa: F401
from brittle.app.show import EXPERIMENTS, setting
from brittle.app.show.noise import roughness
from brittle.app.show.scene import Scene, framed_picture, read_classes, scene
from brittle.core.victim import Victim, as_victim
from brittle.data import open_data
from brittle.errors import InputError
from brittle.report.exhibit import Exhibit, Likely, Panel, Part, Table, drawn, render, write_exhibit
from brittle.victims.preprocess import as_taken

SHAPE = (3, 8, 8)
MARGIN = 2.5  # levels of every pixel, by the sign of the weights, to the other class
NAMES = ("giant panda, panda, coon bear", "gibbon")


class Linear(nn.Module):
    """Two classes; the first leads by what a step of `MARGIN` levels takes away."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)))
        lead = MARGIN / 255 * self.weight.abs().sum() + (self.weight * x).sum()
        self.lead = nn.Parameter(lead.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (self.weight * x).flatten(1).sum(1) - self.lead
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.fixture
def stage() -> Scene:
    levels = np.random.default_rng(2).integers(100, 156, (1, *SHAPE))
    x = torch.from_numpy((levels / 255).astype(np.float32))
    return scene(as_victim(Linear(x[0]).eval(), name="linear"), NAMES, x)


def weight(stage: Scene) -> torch.Tensor:
    module = stage.victim.module
    assert isinstance(module, Linear)
    return module.weight.detach()


def numbers(exhibit: Exhibit, row: str) -> tuple[str, ...]:
    """The row of that name in the exhibit's last table."""
    tables = [table for part in exhibit.parts for table in part.tables]
    return next(cells for cells in tables[-1].rows if cells[0] == row)


def test_the_smallest_step_that_crosses_a_linear_boundary_is_found(stage):
    exhibit = EXPERIMENTS["panda"].run(stage, "gibbon")
    assert exhibit.held
    assert "One step of 4/255 turns “giant panda”" in exhibit.found  # 2 levels are too few for 2.5
    assert numbers(exhibit, "2")[1].startswith("giant panda")
    assert numbers(exhibit, "4")[1].startswith("gibbon")
    assert numbers(exhibit, "16")[3].startswith("giant panda")  # random signs of four times that size


def test_the_least_change_is_that_of_the_linear_network(stage):
    exhibit = EXPERIMENTS["bus"].run(stage, "gibbon")
    needed = MARGIN / 255 * float(weight(stage).abs().sum()) + math.log(0.98 / 0.02)
    length, levels = needed / float(weight(stage).norm()), needed / float(weight(stage).abs().sum()) * 255
    assert exhibit.held
    assert length <= float(numbers(exhibit, "L-BFGS")[2]) * 1.01 <= 1.08 * length
    assert levels <= float(numbers(exhibit, "I-FGSM")[3]) * 1.01 <= 1.08 * levels


def test_so_many_steps_as_the_linear_network_needs_make_the_frog(stage):
    exhibit = EXPERIMENTS["frog"].run(stage, "gibbon")
    needed = MARGIN / 255 * float(weight(stage).abs().sum()) + math.log(0.9 / 0.1)
    steps = math.ceil(needed / float(weight(stage).abs().sum()) * 255 / 0.5)
    assert exhibit.held
    assert numbers(exhibit, "gibbon")[1] == str(steps)


def test_noise_becomes_a_class_and_a_price_on_roughness_smooths_it(stage):
    exhibit = EXPERIMENTS["noise"].run(stage, "gibbon")
    panels = exhibit.parts[1].panels
    assert exhibit.held
    begun, rough, smooth = (float(panel.note.split("differ by ")[1].split()[0]) for panel in panels)
    assert smooth < begun < rough
    best = (weight(stage) > 0).float()  # every pixel to the end that the class likes
    seen = torch.from_numpy(panels[1].picture / 255).permute(2, 0, 1)
    assert float((seen - best).abs().mean()) < 0.05


def test_roughness_is_the_mean_difference_of_neighbours(stage):
    stripes = torch.zeros(1, *SHAPE)
    stripes[..., ::2] = 10 / 255
    assert roughness(stage, stripes) == pytest.approx(5)  # across 10, down 0


def test_classes_are_found_by_synonym_number_and_nearest_name(stage):
    assert [stage.index(name) for name in ("Panda", "coon bear", "gibbon", "1")] == [0, 0, 1, 1]
    assert stage.name(0) == "giant panda"
    with pytest.raises(InputError, match="unknown class 'gibon'; did you mean gibbon"):
        stage.index("gibon")
    with pytest.raises(InputError, match="unknown class '2'"):
        stage.index("2")
    nameless = scene(stage.victim, (), stage.x)
    assert (nameless.index("1"), nameless.name(1)) == (1, "class 1")
    with pytest.raises(InputError, match="no names of the classes are known; give --classes FILE"):
        nameless.index("gibbon")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_keeps_every_level_and_a_jpeg_does_not(channels):
    levels = np.random.default_rng(channels).integers(0, 256, (1, channels, 9, 11))
    x = torch.from_numpy(levels / 255 * 4 - 1).float()

    def same(asked: torch.Tensor) -> torch.Tensor:
        """Class 1 within a fiftieth of a level of x, else class 0."""
        away = (asked - x).flatten(1).abs().amax(1) * 255 / 4
        return torch.stack([torch.zeros_like(away), 0.02 - away], 1)

    exact = scene(Victim(same, -1.0, 3.0, name="same"), ("other", "same"), x)
    survival = exact.survival(x, lambda best: best == 1)
    assert [row[3] for row in survival.rows] == ["yes", "yes", "no", "no", "no"]
    assert survival.rows[1][0] == "8-bit PNG"


def test_a_difference_says_by_how_much_it_was_amplified(stage):
    panel = stage.difference(stage.x + 2 * stage.level)
    assert panel.title == "what was added, times 50"
    assert "2 of 255 levels" in panel.note
    assert np.unique(panel.picture).tolist() in ([227, 228], [228])  # 127.5 + 2 x 50


def exhibit_of(*parts: Part) -> Exhibit:
    return Exhibit("odd", "A <title> & more", "Is 1 < 2?", "“<b>bold</b>”", True, parts, (("network", "<i>net</i>"),))


def test_names_from_outside_are_text_and_nothing_else():
    panel = Panel("<img src=x>", np.zeros((4, 6, 3), np.uint8), (Likely("<script>alert(1)</script>", 0.003, True),))
    page = render(exhibit_of(Part("<h1>", "a & b", (panel,), (Table(("<td>",), (("<tr>",),), "<p>"),))))
    for tag in ("<script", "<b>bold", "<img src=x>", "<i>net", "<h2><h1>", "<td><", "“<b>"):
        assert tag not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;1 %" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched


def test_an_exhibit_without_pictures_and_one_with_long_names_are_drawn(tmp_path):
    plain = exhibit_of(Part("words", "alone"))
    long = tuple(Likely(f"a name that is much too long for a bar, {i} $x_", 0.2) for i in range(40))
    grey = Panel("grey", np.full((200, 170), 255, np.uint8), long, "a note")
    full = exhibit_of(Part("one", "", (grey,)), Part("two", "", (grey, Panel("no bars", grey.picture, note="n"))))
    for exhibit in (plain, full):
        page, picture = write_exhibit(exhibit, tmp_path / "made" / "here")
        assert page.read_text(encoding="utf-8") == render(exhibit)
        with Image.open(picture) as image:
            assert min(image.size) > 100
    assert render(full).count('class="panels"') == 2
    assert drawn(full) != drawn(exhibit_of(Part("one", "", (grey,))))


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give a place that is yours, with no file of that name"):
        write_exhibit(exhibit_of(), tmp_path / "file")


def test_class_names_are_read_as_imagenet_lists_them(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("n01440764 tench, Tinca tinca\n\n  night heron \n", encoding="utf-8-sig")
    assert read_classes(path) == ("tench, Tinca tinca", "night heron")
    path.write_text("\n")
    with pytest.raises(InputError, match="names no class"):
        read_classes(path)


@pytest.mark.parametrize(("channels", "value"), [(3, (51, 102, 255)), (1, (150,))])
def test_a_picture_file_is_framed_and_brought_into_the_victims_bounds(tmp_path, channels, value):
    Image.new("RGB" if channels == 3 else "L", (30, 20), value if channels == 3 else value[0]).save(tmp_path / "p.png")
    victim = Victim(lambda x: x.flatten(1), -2.0, 1.0, shape=(channels, 7, 5))
    x = framed_picture(tmp_path / "p.png", victim)
    assert x.shape == (1, channels, 7, 5)
    for channel, level in enumerate(value):
        torch.testing.assert_close(x[0, channel], torch.full((7, 5), -2 + 3 * level / 255))


MODULE = """
import torch
from brittle.core.victim import Victim

def darker():  # class 1 for what is darker than mid grey
    def forward(x):
        lightness = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([lightness, -lightness], 1)
    return Victim(forward, 0.0, 1.0, name="darker", shape=(3, 12, 10), classes=("light", "dark"))

def nameless():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(75, 2)).eval()

def pixelwise():
    return torch.nn.Identity().eval()
"""


def brittle_show(folder: Path, *args: str, code: int = 0) -> str:
    """What `brittle show` prints, run in the folder. It must exit with `code`."""
    return brittle(folder, "show", *args, code=code)


def brittle(folder: Path, *args: str, code: int = 0) -> str:
    """What the command prints, run in the folder, where there are no photographs. It must exit with `code`."""
    from brittle.cli import main

    (folder / "shown_nets.py").write_text(MODULE)
    out = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(SystemExit) as ended,
    ):
        patch.setenv("COLUMNS", "120")
        patch.setenv("BRITTLE_CACHE", str(folder / "cache"))
        patch.setenv("BRITTLE_DATA", str(folder))
        patch.setattr(sys, "argv", ["brittle", *args])
        main()
    assert (ended.value.code or 0) == code, out.getvalue()
    return out.getvalue()


DARKER = ("--victim", "py:shown_nets:darker")


def test_the_command_shows_a_picture_of_ones_own(tmp_path):
    Image.new("RGB", (50, 60), (140, 140, 140)).save(tmp_path / "mine.png")
    said = brittle_show(tmp_path, "panda", *DARKER, "--picture", "mine.png", "--target", "dark", "--out", "shown")
    assert "One step of 16/255 turns “light”" in said  # 12.5 levels above mid grey
    assert "shown/panda.html" in said
    page = (tmp_path / "shown" / "panda.html").read_text(encoding="utf-8")
    assert "darker" in page
    assert (tmp_path / "shown" / "panda.png").exists()


def test_the_command_lists_the_experiments(tmp_path):
    said = brittle_show(tmp_path)
    for name in EXPERIMENTS:
        assert name in said


def test_an_experiment_that_begins_from_noise_needs_no_picture(tmp_path):
    said = brittle_show(tmp_path, "noise", *DARKER, "--target", "dark")
    assert "Random pixels are taken for “dark”" in said
    assert (tmp_path / "runs" / "show" / "noise.html").exists()


def test_names_given_in_a_file_go_before_the_victims_own(tmp_path):
    Image.new("RGB", (50, 60), (140, 140, 140)).save(tmp_path / "mine.png")
    (tmp_path / "names.txt").write_text("hell\nfinster, dunkel\n")
    args = ("--picture", "mine.png", "--classes", "names.txt", "--target", "dunkel")
    assert "turns “hell”" in brittle_show(tmp_path, "panda", *DARKER, *args)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("pandas",), "unknown experiment 'pandas'; did you mean panda"),
        (("panda", *DARKER), "the photograph panda.png is in no folder photos of $BRITTLE_DATA; give one of your own"),
        (("panda", *DARKER, "--picture", "none.png"), "none.png does not exist; give a picture"),
        (("panda", *DARKER, "--picture", "shown_nets.py"), "cannot be read as an image"),
        (("noise", *DARKER, "--target", "drak"), "unknown class 'drak'; did you mean dark"),
        (("noise", *DARKER, "--classes", "none.txt"), "none.txt does not exist; give a text file with a name a line"),
        (("noise", *DARKER, "--classes", "three.txt"), "darker has 2 outputs and 3 class names"),
        (("noise", "--victim", "py:shown_nets:nameless"), "takes is not known; give one that it takes with --picture"),
        (("noise", *DARKER, "--mask", "none.png"), "--mask is for stop-sign; leave it away"),
        (("noise", *DARKER, "--also", DARKER[1]), "--also is for "),
        (("stop-sign", *DARKER, "--mask", "none.png"), "none.png does not exist; give a mask"),
        (
            ("panda", "--victim", "py:shown_nets:nameless", "--picture", "p.png"),
            "takes no picture of shape (3, 4, 5) (mat1",
        ),
        (("panda", "--victim", "py:shown_nets:pixelwise", "--picture", "p.png"), "shape"),
        (
            ("panda", *DARKER, "--picture", "p.png", "--target", "light"),
            "is the true label of a sample; choose another",
        ),
        (("noise", "--victim", "tim:resnet18"), "unknown victim 'tim'; did you mean timm"),
    ],
)
def test_what_is_wrong_gets_a_sentence(tmp_path, args, sentence):
    Image.new("RGB", (5, 4), (140, 140, 140)).save(tmp_path / "p.png")
    (tmp_path / "three.txt").write_text("light\ndark\ngrey\n")
    said = brittle_show(tmp_path, *args, code=2)
    assert said.startswith("brittle: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_picture_of_ones_own_is_attacked_as_what_it_is(tmp_path):
    Image.new("RGB", (50, 60), (110, 110, 110)).save(tmp_path / "mine.png")
    args = ("--threat", "linf:20/255", "--attack", "fgsm", "--out", "made")
    said = brittle(tmp_path, "attack", DARKER[1], "images:mine.png?label=dark", *args)
    assert "1 of 1 that were right are fooled, 1 of these still, inside the threat, after rounding" in said
    with (tmp_path / "made" / "examples.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert (row["label"], row["before"], row["after"]) == ("dark", "dark", "light")


def test_pictures_in_folders_named_as_the_victims_classes_get_its_numbers(tmp_path):
    for name in ("mouse", "ant"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    named = Victim(lambda x: x, name="zoo", shape=SHAPE, classes=("mouse", "cat", "ant"))
    taken = as_taken(open_data(f"images:{tmp_path}"), named)
    assert (taken.classes, taken.batch([0, 1])[1].tolist()) == (named.classes, [2, 0])
    one = open_data(f"images:{tmp_path}/ant/a.png?label=ants")
    with pytest.raises(InputError, match="unknown class of zoo 'ants'; did you mean ant"):
        as_taken(one, named)
    with pytest.raises(InputError, match="which output of zoo is 'ants' is not known; give the class's number"):
        as_taken(one, replace(named, classes=()))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["panda", "bus", "frog", "noise"])
def test_the_claim_comes_true_on_a_network_that_others_trained(name):
    pytest.importorskip("timm")
    from published import network

    names = Path(os.environ["BRITTLE_DATA"]) / "data" / "imagenet_1000" / "synset_words.txt"
    experiment = EXPERIMENTS[name]
    victim = Victim(network(NET), name=NET, shape=(3, 192, 192), module=network(NET))
    stage = setting(experiment, victim, classes=names)
    exhibit = experiment.run(stage, experiment.target)
    assert exhibit.held, exhibit.found
    for phrase in FOUND[name]:
        assert phrase in exhibit.found


NET = "mobilenet_v1_0.75_192_qat"
FOUND = {
    "panda": ("“giant panda”",),
    "bus": ("“school bus” becomes “ostrich”: L-BFGS needs", "; I-FGSM needs"),
    "frog": ("becomes “tailed frog” after", "and “tree frog” after"),
    "noise": ("Random pixels are taken for “school bus” with 9",),
}


def test_a_network_whose_normalisation_is_wrong_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brittle.app.show.photographs import doubts
    from brittle.data.framing import Framing
    from brittle.victims.preprocess import Preparation, Prepared

    class Middling(nn.Module):
        """Tells blue, green and red apart where zero is the middle of the range, and nothing elsewhere."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = (x.mean((1, 2, 3)).abs() < 0.6)[:, None]
            return 5 * x.mean((2, 3)).flip(1) * seen - torch.tensor([0.0, 0.0, 1e-3])

    def network(std: float) -> Victim:
        preparation = Preparation(framing=Framing(size=(16, 16), scaled=18), mean=(0.5,) * 3, std=(std,) * 3)
        module = Prepared(Middling(), preparation).eval()
        return Victim(module, name="colours", module=module, shape=(3, 16, 16), classes=("blue", "green", "red"))

    colours = [(20, 40, 200), (30, 190, 60), (210, 40, 30)]
    folder = tmp_path / "data" / "imagenet_1000"
    folder.mkdir(parents=True)
    lines = ["file,label,class_name"]
    for i in range(30):
        Image.new("RGB", (20, 20), colours[i % 3]).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{i % 3},{('blue', 'green', 'red')[i % 3]}")
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path))
    assert doubts(network(0.5)) == []  # no photographs are there yet
    (folder / "labels.csv").write_text("\n".join(lines))
    assert doubts(network(0.5)) == []
    (doubt,) = doubts(network(1 / 255))
    assert doubt.kind == "normalisation"
    assert doubt.mend == "Add mean=0.5&std=0.5 to the victim."
