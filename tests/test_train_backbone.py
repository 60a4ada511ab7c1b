"""A new head on a frozen backbone: what is trained, what the file keeps, and what opens again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

import vision_ops  # noqa: F401
from brittle.app.train import train_head
from brittle.core.victim import as_victim
from brittle.data import open_data
from brittle.errors import InputError
from brittle.victims import open_victim
from brittle.victims.heads import HeadCard, features, fit_head, is_head, last_linear, save_head, with_head
from test_cli import run_brittle

MODULE = """
import torch
from safetensors.torch import load_file
from torch import nn

def net(ending="linear"):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 7))
    module.load_state_dict(load_file("w.safetensors"))
    if ending == "softmax":
        module.append(nn.Softmax(1))
    return module.eval()

def function():
    import brittle
    return brittle.Victim(lambda x: x.flatten(1))
"""
BACKBONE = "py:headnets:net"


def weights(seed: int, path: Path) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 7)).eval()
    save_file(module.state_dict(), path / "w.safetensors")
    return module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "headnets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with torch.random.fork_rng(devices=[]):
        yield tmp_path


def test_the_file_gives_the_backbones_features_through_the_head(folder: Path) -> None:
    module = weights(0, folder)
    reached = train_head("digits", "head.safetensors", backbone=BACKBONE, trust=True)
    assert reached > 0.9  # of ten classes; the backbone's own seven outputs are random
    victim = open_victim("head.safetensors", trust=True)
    data = open_data("digits")
    x, labels = data.batch(range(len(data)))
    head = load_file("head.safetensors")
    assert isinstance(module, nn.Sequential)
    with torch.no_grad():
        wanted = module[:3](x) @ head["weight"].T + head["bias"]
        assert (victim(x) - wanted).abs().max() <= 1e-4
        assert float((victim(x).argmax(1) == labels).float().mean()) == pytest.approx(reached)
    assert victim.classes == data.classes
    assert Path("head.safetensors").stat().st_size < 5000  # 48 x 10 weights, and not the backbone's
    assert "backbone" not in head


def test_the_head_is_the_one_minimum_of_logistic_regression() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    inputs = torch.randn(90, 4, generator=draw) * torch.tensor([1.0, 50.0, 0.01, 3.0]) + labels[:, None] * 0.3 + 20
    head = fit_head(inputs, labels, 3, decay=0.01)
    known = ((inputs - inputs.mean(0)) / inputs.std(0, correction=0)).numpy()
    wanted = LogisticRegression(C=1 / (0.01 * 90), tol=1e-8, max_iter=1000).fit(known, labels.numpy())
    assert np.abs(head(inputs).softmax(1).numpy() - wanted.predict_proba(known)).max() < 2e-3


def test_a_feature_that_never_changes_is_left_out() -> None:
    inputs = torch.cat([torch.linspace(-1, 1, 20)[:, None], torch.full((20, 1), 7.0)], 1)
    head = fit_head(inputs, (torch.arange(20) > 9).long(), 2)
    assert bool(head(inputs).isfinite().all())
    assert (head(inputs).argmax(1) == (torch.arange(20) > 9)).all()


def test_features_are_those_before_the_last_linear_layer(folder: Path) -> None:
    module = weights(0, folder)
    victim = as_victim(module)
    data = open_data("digits")
    assert last_linear(victim, data.batch([0])[0]) == "3"
    found = features(victim, "3", data)
    assert isinstance(module, nn.Sequential)
    with torch.no_grad():
        assert torch.allclose(found[40:50], module[:3](data.batch(range(40, 50))[0]), atol=1e-6)
    assert not module[3]._forward_pre_hooks


@pytest.mark.parametrize("behind", [[], [nn.ReLU(inplace=True)]])
def test_a_network_may_end_in_a_convolution(behind: list[nn.Module]) -> None:
    """As SqueezeNet and its kin: the head then takes the mean over the places of what enters it, and its logits may be negative."""
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(1, 12, 3), nn.Tanh())
    module = nn.Sequential(body, nn.Conv2d(12, 7, 1, padding=1), *behind, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    victim, data = as_victim(module), open_data("digits")
    x, labels = data.batch(range(60))
    layer = last_linear(victim, x[:1])
    assert layer == "1"
    inputs = features(victim, layer, data)
    with torch.no_grad():
        assert torch.allclose(inputs[:60], body(x).mean((2, 3)), atol=1e-6)
    head = fit_head(inputs[:60], labels, 10)
    headed = with_head(victim, layer, head, data.classes, "h")
    with torch.no_grad():
        assert torch.allclose(headed(x), head(body(x).mean((2, 3))), atol=1e-5)
        assert (headed(x) < 0).any()
    (grad,) = torch.autograd.grad(headed(x.requires_grad_()).sum(), x)
    assert (grad != 0).all()
    assert victim(x).shape == (60, 7)  # which is as it was
    assert not module[1]._forward_pre_hooks


def test_squeezenet_opens_again_with_its_head(folder: Path) -> None:
    pytest.importorskip("torchvision")
    backbone = "torchvision:squeezenet1_1?weights=none&size=32x32"
    for name, level in (("dark", 60), ("light", 190)):
        (folder / "leaves" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (level, level, level)).save(folder / "leaves" / name / "0.png")
    assert train_head("images:leaves", "h.safetensors", backbone=backbone) == 1.0
    victim, bare = open_victim("h.safetensors"), open_victim(backbone)
    x, head = torch.rand(3, 3, 32, 32), load_file("h.safetensors")
    with torch.no_grad():
        inside = bare.module.network.features((x - bare.module.mean) / bare.module.std).mean((2, 3))  # type: ignore[union-attr]
        assert torch.allclose(victim(x), inside @ head["weight"].T + head["bias"], atol=1e-4)
    assert victim.digest == open_victim("h.safetensors").digest != bare.digest


def test_another_backbone_is_refused(folder: Path) -> None:
    weights(0, folder)
    train_head("digits", "head.safetensors", backbone=BACKBONE, trust=True)
    weights(1, folder)
    with pytest.raises(InputError, match=r"py:headnets:net is not the backbone that the head in head.safetensors was"):
        open_victim("head.safetensors", trust=True)
    Path("w.safetensors").unlink()
    with pytest.raises(InputError, match=r"the backbone of head.safetensors cannot be opened: headnets:net raised"):
        open_victim("net:head.safetensors", trust=True)


def test_nothing_is_run_that_a_file_names_without_trust(folder: Path) -> None:
    weights(0, folder)
    train_head("digits", "head.safetensors", backbone=BACKBONE, trust=True)
    with pytest.raises(
        InputError, match=r"names py:headnets:net, which runs code; if you trust its origin add --trust"
    ):
        open_victim("head.safetensors")
    card = HeadCard("torch:evil.pt", "", "3", ("a", "b"))
    save_head(nn.Linear(4, 2), card, "evil.safetensors")
    with pytest.raises(InputError, match=r"'torch:evil.pt' is no backbone"):
        open_victim("evil.safetensors")


def test_no_half_file_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(0, folder)
    card = HeadCard(BACKBONE, "", "3", ("a", "b"))
    save_head(nn.Linear(4, 2), card, "head.safetensors")
    before, names = Path("head.safetensors").read_bytes(), sorted(os.listdir())

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left"):
        save_head(nn.Linear(4, 2), card, "head.safetensors")
    assert sorted(os.listdir()) == names
    assert Path("head.safetensors").read_bytes() == before


def test_a_file_that_does_not_fit_itself_is_refused(folder: Path) -> None:
    weights(0, folder)
    card = msgspec.json.encode(HeadCard(BACKBONE, "", "3", ("a", "b", "c"))).decode()
    save_file({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, "h.safetensors", {"brittle-head": card})
    with pytest.raises(InputError, match=r"weights \(2, 4\) and a bias \(2,\) for 3 classes"):
        open_victim("h.safetensors", trust=True)
    save_file({"weight": torch.zeros(2, 4)}, "h.safetensors", {"brittle-head": card})
    with pytest.raises(InputError, match="cannot be read as a head"):
        open_victim("h.safetensors", trust=True)
    assert not is_head("w.safetensors")


def test_what_is_no_backbone_is_refused(folder: Path) -> None:
    weights(0, folder)
    for backbone, why in (
        ("net:head.safetensors", "is no backbone; give a VICTIM string of timm:, torchvision:, hf:, py:"),
        ("py:headnets:net?ending=softmax", "does not end in a linear layer"),
        ("py:headnets:function", "is no torch network"),
    ):
        with pytest.raises(InputError, match=why):
            train_head("digits", "head.safetensors", backbone=backbone, trust=True)
    assert not Path("head.safetensors").exists()


def test_the_command(folder: Path) -> None:
    weights(0, folder)
    options = ("train", "digits", "--out", "head.safetensors", "--backbone", BACKBONE)
    assert "add --freeze to train a new last layer alone" in run_brittle(*options, cwd=folder, code=2)
    refused = run_brittle(*options, "--freeze", "--net", "cnn", cwd=folder, code=2)
    assert "--net and --epochs are of networks trained from nothing" in refused
    refused = run_brittle("train", "digits", "--out", "n.safetensors", "--freeze", cwd=folder, code=2)
    assert "name it with --backbone VICTIM" in refused
    assert "test accuracy 9" in run_brittle(*options, "--freeze", cwd=folder)
    same = run_brittle(*options, "--freeze", "--test", "digits?split=train", cwd=folder)
    assert "accuracy on" not in same
    found = run_brittle(
        *["evaluate", "head.safetensors", "digits", "--threat", "linf:0.02", "--attack", "fgsm", "--samples", "20"],
        "--trust",
        cwd=folder,
    )
    assert "fgsm" in found


def test_pictures_are_framed_as_the_backbone_takes_them(folder: Path) -> None:
    pytest.importorskip("timm")
    for name, level in (("dark", 60), ("light", 190)):
        for turn in range(4):
            rough = np.random.default_rng(turn).integers(level - 50, level + 50, (9, 9, 3)).astype(np.uint8)
            (folder / "leaves" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rough).resize((70, 90), Image.Resampling.BICUBIC).save(
                folder / "leaves" / name / f"{turn}.png"
            )
    backbone = "timm:test_resnet?pretrained=0&size=64x64"
    assert train_head("images:leaves", "h.safetensors", backbone=backbone) == 1.0
    victim = open_victim("h.safetensors")
    assert (victim.classes, victim.shape) == (("dark", "light"), (3, 64, 64))
    text = run_brittle(
        "train", "images:leaves", "--backbone", backbone, "--freeze", "--out", "h.safetensors", cwd=folder
    )
    assert "accuracy on the training data 100.0%" in text
