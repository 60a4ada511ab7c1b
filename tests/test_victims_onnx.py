"""ONNX files: the network's own logits and gradients, whatever the batch, and as a black box its scores."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.access import Access
from brittle.data import open_data
from brittle.errors import InputError
from brittle.victims import open_victim

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import vision_ops  # noqa: E402, F401 - onnx2torch imports torchvision

pytest.importorskip("onnx2torch")

X = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A residual block, as in a ResNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm2(self.second(torch.relu(self.norm(self.first(x))))))


def resnet(*last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), Block(8), nn.MaxPool2d(2), Block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 10), *last,
    )  # fmt: skip
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def _export(net: nn.Module, x: Tensor, path: Path, dynamic: bool = True, version: int = 17) -> Path:
    axes: Any = {"x": {0: "n"}, "y": {0: "n"}} if dynamic else None
    torch.onnx.export(
        net,
        (x,),
        str(path),
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=axes,
        opset_version=version,
        dynamo=False,
    )
    return path


def _gradient(forward: Any, x: Tensor) -> Tensor:
    asked = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad((forward(asked) * torch.linspace(-1, 1, 10)).sum(), asked)
    return grad


@pytest.mark.parametrize("dynamic", [True, False], ids=["any batch", "batch of 2"])
@pytest.mark.parametrize("version", [13, 17, 19])
@pytest.mark.filterwarnings("ignore")
def test_logits_and_gradients_are_the_networks_own(tmp_path: Path, dynamic: bool, version: int) -> None:
    net = resnet()
    path = _export(net, X[:2], tmp_path / "net.onnx", dynamic, version)
    victim = open_victim(f"onnx:{path}")
    assert (victim.access, victim.shape) == (Access.GRADIENT, (3, 12, 12))
    assert float((victim(X) - net(X)).abs().max()) <= 1e-4
    wanted = _gradient(net, X)
    assert float((_gradient(victim, X) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())
    box = open_victim(f"{path}?runtime=onnxruntime")
    assert (box.access, box.shape) == (Access.SCORES, (3, 12, 12))
    assert float((box(X) - net(X)).abs().max()) <= 1e-4
    assert box.digest != victim.digest == open_victim(f"onnx:{path}").digest


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
def test_a_published_network_keeps_its_logits(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(os.environ["BRITTLE_DATA"], "weights")))
    from load import load

    net, _ = load("mnist_kw_eps01")
    x, _ = open_data("mnist").batch(range(50))
    victim = open_victim(str(_export(net.eval(), x[:2], tmp_path / "net.onnx")))
    with torch.no_grad():
        assert float((victim(x) - net(x)).abs().max()) <= 1e-4
    wanted = _gradient(net, x)
    assert float((_gradient(victim, x) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())
    outcome = brittle.attack(brittle.pgd(steps=5), victim, x, torch.zeros(50).long(), brittle.linf(0.1))
    assert int(outcome.backwards.sum()) > 0


@pytest.mark.filterwarnings("ignore")
def test_a_softmax_at_the_end_is_taken_off(tmp_path: Path) -> None:
    path = _export(resnet(nn.Softmax(1)), X[:2], tmp_path / "net.onnx")
    for text in (f"onnx:{path}", f"onnx:{path}?runtime=onnxruntime"):
        assert float((open_victim(text)(X) - resnet()(X)).abs().max()) <= 1e-4


class Last(nn.Module):
    """A network that takes its channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.net = resnet()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.net(x.permute(0, 3, 1, 2))
        return outputs


@pytest.mark.filterwarnings("ignore")
def test_channels_that_come_last_are_found_and_put_first(tmp_path: Path) -> None:
    path = _export(Last().eval(), X.permute(0, 2, 3, 1), tmp_path / "net.onnx")
    for text in (f"onnx:{path}", f"onnx:{path}?runtime=onnxruntime", f"onnx:{path}?layout=nhwc"):
        victim = open_victim(text)
        assert victim.shape == (3, 12, 12)
        assert float((victim(X) - resnet()(X)).abs().max()) <= 1e-4
    assert open_victim(f"onnx:{path}?layout=nchw").shape == (12, 12, 3)


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_read_or_converted_is_one_sentence(tmp_path: Path) -> None:
    helper = onnx.helper
    floats = onnx.TensorProto.FLOAT
    x, y = (helper.make_tensor_value_info(name, floats, ["n", 4]) for name in "xy")
    node = helper.make_node("Mish", ["x"], ["y"])
    graph = helper.make_graph([node], "odd", [x], [y])
    onnx.save(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), str(tmp_path / "odd.onnx")
    )
    with pytest.raises(InputError, match="cannot be converted to torch .* runtime=onnxruntime"):
        open_victim(str(tmp_path / "odd.onnx"))
    box = open_victim(f"{tmp_path / 'odd.onnx'}?runtime=onnxruntime")
    assert torch.allclose(box(X[:, 0, 0, :4]), nn.functional.mish(X[:, 0, 0, :4]), atol=1e-5)
    (tmp_path / "words.onnx").write_text("no model")
    for text, sentence in (
        ("words.onnx", "cannot be read as ONNX"),
        ("nothing.onnx", "does not exist; give a .onnx file"),
        ("odd.onnx?output=z", "unknown output of the model 'z'; known are y"),
        ("odd.onnx?input=z", "unknown input of the model 'z'; known are x"),
        ("odd.onnx?runtime=tensorrt", "runtime=tensorrt is not accepted"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_victim(f"onnx:{tmp_path}/{text}")
