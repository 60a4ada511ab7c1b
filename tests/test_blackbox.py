"""White box against black box: what is counted, what is claimed, and what is shown."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import brittle
import vision_ops  # noqa: F401
from brittle import blackbox
from brittle.app.train import train_head
from brittle.errors import InputError
from brittle.report.blackbox import BLACK, NOISE, WHITE, Curve, Study, claims, costs, render, write_study
from brittle.testing import network
from brittle.testing.victims import inputs
from brittle.victims import open_victim
from test_cli import run_brittle

SHAPE = (2, 5, 6)
X = inputs(SHAPE, 40, dtype=torch.float32, bounds=(0.0, 1.0))


def net(seed: int) -> nn.Module:
    module = network(SHAPE, seed=seed, dtype=torch.float32).module
    assert module is not None
    return module


LABELS = net(0)(X).argmax(1).detach()
LABELS[:6] = net(0)(X[:6]).topk(2).indices[:, 1]  # six that the target gets wrong, by a little


def study(threat: str = "linf:0.1", other: int = 1, **options: object) -> Study:
    settings = {"steps": (1, 3), "grid": [0.05], "progress": False, **options}
    return blackbox(net(0), net(other), (X, LABELS), threat, **settings)  # type: ignore[arg-type]


def test_the_white_box_is_the_attack_itself_and_mistakes_stay_mistakes() -> None:
    found = study()
    assert found.grid == (0.05, 0.1)
    assert [(curve.box, curve.steps) for curve in found.curves] == [
        *((box, steps) for box in (WHITE, BLACK) for steps in (1, 3)),
        (NOISE, 0),
    ]
    for steps in found.steps:
        direct = brittle.attack(brittle.ifgsm(steps), net(0), X, LABELS, brittle.linf(0.1))
        held = direct.clean_correct & ~direct.success
        assert found.at(WHITE, steps) == tuple(held.tolist())
        assert 0 < sum(found.at(WHITE, steps)) < 34
    assert found.right == (False,) * 6 + (True,) * 34
    found = study("linf:0.5", grid=[0.3])  # so much noise makes some of the six right
    assert all(not any(row[:6]) for curve in found.curves for row in curve.right)


def test_a_surrogate_that_is_the_target_is_a_white_box() -> None:
    found = study(other=0)
    for steps in found.steps:
        assert found.curve(WHITE, steps).right == found.curve(BLACK, steps).right
    assert study().curve(BLACK, 3).right != study().curve(WHITE, 3).right


def test_noise_is_as_large_as_the_perturbations() -> None:
    flipped: list[float] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flipped.append(float((x.detach() - 0.5).abs().min()))
            return self.inner(x)

    middle = torch.full_like(X, 0.5)
    blackbox(Watching().eval(), net(1), (middle, LABELS), "linf:0.1", steps=(1, 2), grid=[0.1], progress=False)
    assert flipped[-1] == pytest.approx(
        0.1, abs=1e-6
    )  # the last that was judged is the noise: every value moved by eps


def made(white: tuple[int, int], black: tuple[int, int], noise: int, n: int = 60) -> Study:
    def row(count: int) -> tuple[tuple[bool, ...], ...]:
        return (tuple(place < count for place in range(n)),)

    curves = [Curve(WHITE, 1, row(white[0])), Curve(WHITE, 20, row(white[1]))]
    curves += [Curve(BLACK, 1, row(black[0])), Curve(BLACK, 20, row(black[1])), Curve(NOISE, 0, row(noise))]
    right = (True,) * n
    return Study(
        target="a", surrogate="b", data="d", threat="linf", bounds=(0.0, 1.0), eps=8 / 255, grid=(8 / 255,),
        steps=(1, 20), right=right, surrogate_right=right, curves=tuple(curves),
    )  # fmt: skip


def test_the_claims_are_paired_differences_with_their_sign() -> None:
    known = claims(made(white=(30, 0), black=(40, 52), noise=60))
    assert [claim.held for claim in known] == [True, True, True]
    assert [round(60 * claim.gap.difference) for claim in known] == [20, 30, -12]
    assert known[2].found == "black-box I-FGSM 20 costs the target 20 points [12, 32] less than FGSM"
    against = claims(made(white=(10, 40), black=(50, 20), noise=30))
    assert [claim.held for claim in against] == [False, False, False]
    assert "costs the target 50 points [38, 62] more than FGSM" in against[2].found
    assert "costs the target 33 points [23, 46] less than noise" in against[0].found
    unsure = claims(made(white=(30, 30), black=(59, 59), noise=60))
    assert [claim.held for claim in unsure] == [None, None, None]
    assert costs(unsure[1].gap, "FGSM") == "costs the target 0 points [−6, 6] more than FGSM"


def test_the_page_and_the_picture_say_the_numbers(tmp_path: Path) -> None:
    page, picture, numbers = write_study(made(white=(30, 0), black=(40, 52), noise=60), tmp_path / "new")
    text = page.read_text()
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")  # noqa: PT018
    assert text.count("<svg") == 2
    assert "Seen here." in text
    for said in ("8/255", "I-FGSM 20, black box", "87 %", "75–95", "untouched 100 %"):
        assert said in text
    with Image.open(io.BytesIO(picture.read_bytes())) as opened:
        assert opened.width > 1200
        pixels = np.asarray(opened.convert("RGB"))
    assert pixels.std() > 5
    held = json.loads(numbers.read_text())
    assert held["curves"][3]["right"][0]["count"] == 52
    assert [claim["held"] for claim in held["claims"]] == [True, True, True]


def test_a_name_cannot_write_into_the_page() -> None:
    assert "<b>x" not in render(replace(made((30, 0), (40, 52), 60), target="<b>x"))


def test_samples_are_spread_over_the_classes() -> None:
    labels = torch.arange(40) // 10
    found = blackbox(net(0), net(1), (X, labels), "l2:0.5", steps=(1, 2), samples=4, progress=False)
    wanted = net(0)(X[::10]).argmax(1) == torch.arange(4)
    assert found.right == tuple(wanted.tolist())
    assert len(found.grid) == 5


def test_what_cannot_be_compared_is_refused() -> None:
    for options, why in (
        ({"steps": (5,)}, r"steps=\[5\] compare nothing"),
        ({"steps": (0, 5)}, "compare nothing"),
        ({"samples": 0}, "samples=0 is too few"),
        ({"threat": "box"}, "threat box has no size to go through"),
        ({"grid": [8.0]}, "8"),
    ):
        with pytest.raises(InputError, match=why):
            study(**options)  # type: ignore[arg-type]


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "boxnets.py").write_text(
        "import torch\n"
        "def net(seed='0'):\n"
        "    torch.manual_seed(int(seed))\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()\n"
    )
    command = ["blackbox", "digits", "--target", "py:boxnets:net", "--surrogate", "py:boxnets:net?seed=1"]
    text = run_brittle(
        *command, *["--threat", "linf:0.1", "--steps", "1,2", "--samples", "12", "--out", "shown"], cwd=tmp_path
    )
    assert "I-FGSM 2, black box" in text
    assert "more steps fit the surrogate" in text
    assert {path.name for path in (tmp_path / "shown").iterdir()} == {"blackbox.html", "blackbox.png", "blackbox.json"}
    text = run_brittle(*command, "--threat", "linf:0.1", "--steps", "1,x", cwd=tmp_path, code=2)
    assert "--steps 1,x are no numbers of steps" in text


@pytest.mark.data
@pytest.mark.slow
def test_the_published_facts_on_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    root = Path(os.environ["BRITTLE_DATA"])
    leaves, options = (
        f"images:{root}/data/plants/potato",
        "pad_type=same&mean=0.5&std=0.5&interpolation=bilinear&size=128x128",
    )
    heads = []
    for name, kept in (
        ("mobilenetv2_100", "mobilenet_v2_1.0_224_qat"),
        ("mobilenetv1_100", "mobilenet_v1_1.0_224_qat"),
    ):
        backbone = f"timm:{name}?checkpoint={root}/weights/{kept}/model.safetensors&{options}"
        heads.append(tmp_path / f"{name}.safetensors")
        assert train_head(f"{leaves}/train", heads[-1], test=f"{leaves}/val", backbone=backbone) >= 0.9
    target, surrogate = (open_victim(str(head)) for head in heads)
    eps = 16 / 255
    found = blackbox(
        target, surrogate, f"{leaves}/test", f"linf:{eps}", steps=(1, 5), grid=[eps], samples=40, progress=False
    )
    more_than_noise, more_steps, over_fit = claims(found)
    assert more_than_noise.held
    assert more_steps.gap.difference >= 0
    assert over_fit.held is not False
