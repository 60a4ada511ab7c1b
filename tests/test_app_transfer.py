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
from brittle.app.transfer import drawn, shuffled
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


def test_ensembles_are_chosen_and_attacks_of_several_networks_are_crafted_on_them_alone() -> None:
    matrix = brittle.transfer(
        {"a": A, "b": net(0)},
        {"c": net(2)},
        (X, LABELS),
        "linf:0.1",
        attacks=["ifgsm:steps=2", "ifgsm:steps=2+svre:rounds=1"],
        ensembles=["logits", "probabilities"],
        progress=False,
    )
    assert [(*row.surrogates, row.ensemble, row.attack.partition(":")[2]) for row in matrix.rows[1:]] == [
        ("a", "", "steps=2"),
        ("a", "", "steps=2, shuffled"),
        ("b", "", "steps=2"),
        ("b", "", "steps=2, shuffled"),
        *(
            ("a", "b", way, text)
            for way in ("logits", "probabilities")
            for text in ("steps=2", "steps=2, shuffled", "steps=2+svre:rounds=1")
        ),
    ]
    assert [row.forwards for row in matrix.rows[1:8]] == [2, 0, 2, 0, 4, 0, 12]  # a pass of two networks is two
    assert matrix.plain()["rows"][-1]["ensemble"] == "probabilities"


def test_ensembles_that_cannot_be_are_refused_before_anything_is_asked() -> None:
    def never(x: Tensor) -> Tensor:
        raise AssertionError("asked")

    for surrogates, options, sentence in (
        ({"a": never}, {"attacks": ["mifgsm", "mifgsm+svre"]}, r"^mifgsm\+svre puts .* one surrogate, never; name two"),
        ({"a": never}, {"ensembles": ["losses"]}, "'losses' is no way to put networks together"),
        ({"a": never, "b": never}, {"ensembles": ["votes"]}, "'votes' is no way"),
    ):
        with pytest.raises(brittle.InputError, match=sentence):
            brittle.transfer(surrogates, {"b": never}, (X, LABELS), "linf:0.1", progress=False, **options)  # type: ignore[arg-type]


def test_a_target_is_drawn_for_each_image_whoever_is_beside_it() -> None:
    labels, ids = torch.arange(4000) % 5, torch.arange(4000)
    wanted = drawn(labels, ids, 5, 0)
    assert torch.equal(drawn(labels[7:9], ids[7:9], 5, 0), wanted[7:9])
    assert not torch.equal(drawn(labels, ids, 5, 1), wanted)
    counts = torch.stack([labels * 5 + wanted]).flatten().bincount(minlength=25).view(5, 5)
    assert torch.equal(counts.diagonal(), torch.zeros(5, dtype=torch.int64))
    assert 150 < int(counts[~torch.eye(5, dtype=torch.bool)].min()) <= int(counts.max()) < 250  # 200 expected
    assert torch.equal(drawn(labels[:4] % 2, ids[:4], 2, 0), 1 - labels[:4] % 2)


def test_targeted_transfer_counts_what_is_taken_for_the_target() -> None:
    attacks = {"logit": brittle.ifgsm(5, loss="logit"), "margin": brittle.ifgsm(5, loss="margin")}
    matrix = brittle.transfer(
        {"a": A, "b": net(0)},
        {"c": net(2)},
        (X, LABELS),
        "linf:0.2",
        attacks=attacks,
        targeted=True,
        progress=False,
    )
    ids, wanted = torch.tensor(matrix.images), torch.tensor(matrix.wanted)
    assert torch.equal(wanted, drawn(LABELS[ids], ids, 4, 0))
    rows = {(row.surrogates, row.attack): row.wrong for row in matrix.rows}
    for name, attack in attacks.items():
        made = brittle.attack(attack, A, X[ids], LABELS[ids], brittle.linf(0.2), targets=wanted, ids=ids)
        for judge, module in (("a", A), ("c", net(2))):
            assert rows[("a",), name][judge].count == int((module(made.x_adv).argmax(1) == wanted).sum())
        astray = int((A(made.x_adv).argmax(1) != LABELS[ids]).sum())
        assert rows[("a",), name]["a"].count == int(made.success.sum()) <= astray
    assert rows[("a",), "logit"]["a"].count > rows[(), "uniform noise"]["a"].count
    assert rows[("a",), "logit"]["a"].count > rows[("a",), "logit, shuffled"]["a"].count


@pytest.mark.parametrize("loss", ["logit", "margin", "cross_entropy"])
def test_targeted_losses_climb_what_their_papers_say(loss: str) -> None:
    """One step on a linear network, whose gradients are its weights: towards z_t (Zhao 2021), and towards z_t less the best other class."""
    layer = nn.Linear(60, 4, dtype=torch.float64)
    linear = nn.Sequential(nn.Flatten(), layer).eval()
    x, wanted = X.double(), (linear(X.double()).argmax(1) + 2) % 4
    outputs, weights = linear(x).detach(), layer.weight.detach()
    own, best = weights[wanted], weights[outputs.scatter(1, wanted[:, None], -torch.inf).argmax(1)]
    expected = {
        "logit": own,
        "margin": own - best,
        "cross_entropy": own - outputs.softmax(1) @ weights,
    }[loss].view_as(x)
    attack = brittle.ifgsm(1, step_size=0.001, loss=loss)
    made = brittle.attack(
        attack, linear, x, linear(x).argmax(1), brittle.linf(0.5), targets=wanted, bounds=(-1.0, 2.0)
    ).x_adv
    assert torch.allclose(made, x + 0.001 * expected.sign())


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
        *["transfer", "digits", "--surrogate", "py:nets:net,py:nets:net?seed=1", "--target", "py:nets:net?seed=1"],
        *["--threat", "linf:0.2", "--attack", "ifgsm:steps=2,loss=logit", "--attack", "ifgsm:steps=2+losses"],
        *["--ensemble", "probabilities", "--targeted", "--samples", "1", "--out", "m.json"],
        cwd=tmp_path,
    )
    assert "taken for a class drawn for each, of 1 images" in text
    assert "(mean of probabilities)" in " ".join(text.split())
    found = json.loads((tmp_path / "m.json").read_text())
    assert len(found["wanted"]) == 1
    assert [row["ensemble"] for row in found["rows"]] == [*[""] * 5, *["probabilities"] * 3]
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
