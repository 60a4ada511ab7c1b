"""The matrix of transfer: what counts, what stands beside it, and how it is printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

import brittle
from brittle.app.transfer import shuffled
from brittle.attacks.directions import Admix
from brittle.cli.transfer import shorter, table
from brittle.core.victim import as_victim
from brittle.testing import network
from brittle.testing.victims import inputs
from brittle.victims.ensemble import ensemble
from test_cli import run_brittle

SHAPE = (2, 5, 6)
X = inputs(SHAPE, 40, dtype=torch.float32, bounds=(0.0, 1.0))


def net(seed: int) -> nn.Module:
    module = network(SHAPE, seed=seed, dtype=torch.float32).module
    assert module is not None
    return module


class Sure(nn.Module):
    """Always the class that it was told, whatever it sees."""

    def __init__(self, wrong: int) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.full((len(x),), self.wrong), 4).to(x.dtype) + 0 * x.flatten(1)[:, :1]


A = net(0)
LABELS = A(X).argmax(1).detach()


def test_only_images_that_all_get_right_count() -> None:
    other = net(1)
    both = other(X).argmax(1) == LABELS
    matrix = brittle.transfer(
        {"a": A}, {"b": other}, (X, LABELS), "linf:0.05", attacks=["mifgsm:steps=3"], progress=False
    )
    assert matrix.images == tuple(both.nonzero().flatten().tolist())
    assert matrix.seen == 40
    assert all(share.n == int(both.sum()) for row in matrix.rows for share in row.wrong.values())
    with pytest.raises(brittle.InputError, match="none of 40 images is right for all of a, wrong"):
        brittle.transfer({"a": A}, {"wrong": net(0)}, (X, (LABELS + 1) % 4), "linf:0.05", progress=False)


def test_a_network_transfers_to_itself_as_it_is_attacked() -> None:
    attack = brittle.mifgsm(3)
    matrix = brittle.transfer({"a": A}, {"copy": A}, (X, LABELS), "linf:0.1", attacks={"mi": attack}, progress=False)
    noise, crafted, shuffle = matrix.rows
    direct = brittle.attack(attack, A, X, LABELS, brittle.linf(0.1))
    assert crafted.wrong["a"] == crafted.wrong["copy"]
    assert crafted.wrong["copy"].count == int(direct.success.sum()) > shuffle.wrong["copy"].count
    assert (noise.surrogates, noise.attack, shuffle.attack) == ((), "uniform noise", "mi, shuffled")
    assert (crafted.forwards, crafted.backwards) == (3.0, 3.0)


def test_a_network_that_ignores_its_input_is_never_fooled() -> None:
    labels = torch.full((40,), 2)
    right = labels == LABELS
    assert bool(right.any())
    matrix = brittle.transfer(
        {"a": A}, {"sure": Sure(2).eval()}, (X, labels), "linf:0.3", attacks=["mifgsm"], progress=False
    )
    assert all(row.wrong["sure"].count == 0 for row in matrix.rows)


def test_shuffling_keeps_what_is_added_and_loses_where() -> None:
    middle, delta = 0.5 * torch.ones_like(X), 0.1 * (X - 0.5)
    made = shuffled(middle, middle + delta, torch.arange(40), 0) - middle
    assert torch.allclose(made.flatten(2).sort(2).values, delta.flatten(2).sort(2).values, atol=1e-6)
    assert not torch.allclose(made, delta)
    pairs = delta.flatten(2)[0].T.sort(0).values  # channels of a pixel stay together
    assert torch.allclose(made.flatten(2)[0].T.sort(0).values, pairs, atol=1e-6)
    alone = shuffled(middle[7:8], (middle + delta)[7:8], torch.tensor([7]), 0) - middle[7:8]
    assert torch.equal(alone, made[7:8])


def test_several_surrogates_are_also_attacked_together() -> None:
    matrix = brittle.transfer(
        {"a": A, "b": net(0)}, {"c": net(2)}, (X, LABELS), "linf:0.1", attacks=["ifgsm:steps=2"], progress=False
    )
    assert ["+".join(row.surrogates) for row in matrix.rows] == ["", "a", "a", "b", "b", "a+b", "a+b"]


def test_an_ensemble_is_the_mean_of_the_outputs() -> None:
    one, other = as_victim(net(0)), as_victim(net(1))
    assert torch.allclose(ensemble([one, other])(X), (one(X) + other(X)) / 2)
    assert ensemble([one, other]).digest != ensemble([other, other]).digest
    with pytest.raises(brittle.InputError, match="has lower 0.0 and .* -1.0"):
        ensemble([one, as_victim(net(1), (-1.0, 1.0))])
    with pytest.raises(brittle.InputError, match="2 and 4 classes"):
        two = nn.Sequential(nn.Flatten(), nn.Linear(60, 2)).eval()
        ensemble([one, as_victim(two)])(X)


def test_admix_takes_its_pictures_from_the_data() -> None:
    matrix = brittle.transfer(
        {"a": A},
        {"b": A},
        (X, LABELS),
        "linf:0.1",
        attacks=["mifgsm:steps=2+admix:mixed=1,copies=2"],
        samples=9,
        progress=False,
    )
    assert len(matrix.images) == 9
    assert matrix.rows[1].forwards == 4
    assert Admix().pictures is None


def test_the_table_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\n"
        "def net(seed='0'):\n"
        "    torch.manual_seed(int(seed))\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()\n"
    )
    text = run_brittle(
        *["transfer", "digits", "--surrogate", "py:nets:net", "--target", "py:nets:net?seed=1"],
        *["--threat", "linf:0.2", "--attack", "mifgsm:steps=2", "--samples", "5", "--out", "m.json"],
        cwd=tmp_path,
    )
    assert "uniform noise" in text
    assert "mifgsm:steps=2, shuffled" in text
    found: dict[str, Any] = json.loads((tmp_path / "m.json").read_text())
    assert len(found["rows"]) == 3
    assert found["rows"][1]["wrong"]["py:nets:net"]["n"] == len(found["images"]) <= 5
    text = run_brittle(
        "transfer", "digits", "--surrogate", ",", "--target", "x", "--threat", "linf:1", cwd=tmp_path, code=2
    )
    assert "--surrogate is empty" in text


def test_names_are_short_where_they_can_be() -> None:
    texts = ["timm:resnet18", "net:runs/a/mine.safetensors", "torch:b.pt?x=1"]
    assert list(shorter(texts).values()) == ["resnet18", "mine", "b"]
    assert list(shorter(["net:a/m.pt", "net:b/m.pt"]).values()) == ["net:a/m.pt", "net:b/m.pt"]


def test_what_was_crafted_on_a_network_is_grey_in_its_column() -> None:
    matrix = brittle.transfer(
        {"a": A}, {"b": net(0)}, (X, LABELS), "linf:0.1", attacks=["ifgsm:steps=2"], progress=False
    )
    console = Console(width=100, record=True, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115
    console.print(table(matrix))
    assert "\x1b[2m" in console.export_text(styles=True)


def test_pictures_of_a_folder_are_framed_as_the_first_surrogate_takes_them(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    for place, side in enumerate((9, 12)):  # which open_data alone refuses
        Image.new("RGB", (side, side + place), "grey").save(tmp_path / "0" / f"{place}.png")
    seen: list[tuple[int, ...]] = []

    def constant(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape[1:]))
        return torch.tensor([[2.0, -1.0]]) + 0 * x.flatten(1)[:, :2]

    a = replace(as_victim(constant), shape=(3, 6, 6))
    matrix = brittle.transfer(
        {"a": a}, {"b": constant}, f"images:{tmp_path}", "linf:0.05", attacks=["mifgsm:steps=1"], progress=False
    )
    assert matrix.images == (0, 1)
    assert set(seen) == {(3, 6, 6)}
