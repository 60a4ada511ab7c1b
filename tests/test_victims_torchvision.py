"""`torchvision:NAME`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import brittle
import vision_ops  # noqa: F401
from brittle.app.prove import provability
from brittle.data import open_data
from brittle.errors import InputError
from brittle.victims import open_victim
from brittle.victims.preprocess import as_taken

models = pytest.importorskip("torchvision.models")
NAME = "shufflenet_v2_x0_5"  # 1.4 million weights
WEIGHTS = models.get_model_weights(NAME).DEFAULT


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return models.get_model(NAME, weights=None).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "0").mkdir()
    for seed, size in enumerate([(400, 301), (190, 333)]):
        rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(folder / "0" / f"{seed}.png")
    return folder


def test_the_logits_are_those_of_torchvision_with_its_own_transform(network, weights, photos):
    victim = open_victim(f"torchvision:{NAME}?checkpoint={weights}")
    x, _ = as_taken(open_data(f"images:{photos}"), victim).batch([0, 1])
    transform = WEIGHTS.transforms()
    wanted = torch.stack([transform(Image.open(photos / "0" / f"{i}.png")) for i in (0, 1)])
    with torch.no_grad():
        assert (victim(x) - network(wanted)).abs().max() <= 1e-4
        apart = (network(wanted)[0] - network(wanted)[1]).abs().max()
        off = (victim(x.flip(3)) - network(wanted)).abs().max()
    assert apart > 0
    assert off > 100 * (victim(x) - network(wanted)).abs().max()  # the comparison would see a change
    assert victim.shape == (3, 224, 224)
    assert victim.classes == tuple(WEIGHTS.meta["categories"])


def test_the_resize_inside_is_that_of_torchvision_for_tensors(network, weights, photos):
    victim = open_victim(f"torchvision:{NAME}?checkpoint={weights}&resize=inside")
    x = torch.from_numpy(np.array(Image.open(photos / "0" / "0.png"))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        assert (victim(x) - network(WEIGHTS.transforms()(x))).abs().max() <= 1e-4


def test_published_weights_are_read_without_unpickling(monkeypatch, network):
    asked = {}

    def get_state_dict(_, **options):
        asked.update(options)
        return network.state_dict()

    monkeypatch.setattr(type(WEIGHTS), "get_state_dict", get_state_dict)
    victim = open_victim(f"torchvision:{NAME}")
    assert asked["weights_only"] is True
    assert victim.digest == open_victim(f"torchvision:{NAME}?weights=IMAGENET1K_V1").digest
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        mean, std = (torch.tensor(getattr(WEIGHTS.transforms(), key))[:, None, None] for key in ("mean", "std"))
        assert (victim(x) - network((x - mean) / std)).abs().max() <= 1e-4


def test_no_proof_is_tried_on_a_network_so_large(photos):
    victim = open_victim("torchvision:resnet18?weights=none&size=64")
    found = provability(victim, as_taken(open_data(f"images:{photos}"), victim), brittle.linf(1 / 255), "untargeted")
    assert found.entry is None
    assert "too large" in found.why_none


def test_other_classes_have_no_names():
    victim = open_victim(f"torchvision:{NAME}?weights=none&num_classes=4")
    assert victim(torch.rand(2, 3, 224, 224)).shape == (2, 4)
    assert victim.classes == ()
    assert victim.digest == open_victim(f"torchvision:{NAME}?weights=none&num_classes=4").digest


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("torchvision:", "unknown classifier of torchvision ''"),
        ("torchvision:resnet19", "did you mean .*resnet1"),
        ("torchvision:fasterrcnn_resnet50_fpn", "unknown classifier"),
        (f"torchvision:{NAME}?weights=IMAGENET1K_V7", "did you mean IMAGENET1K_V1"),
        (f"torchvision:{NAME}?weight=none", "did you mean weights"),
        (f"torchvision:{NAME}?weights=none&num_classes=one", "num_classes=one"),
        (f"torchvision:{NAME}?checkpoint=none.pth", "is no file"),
    ],
)
def test_wrong_strings_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        open_victim(text)


def test_weights_that_cannot_be_fetched(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(type(WEIGHTS), "get_state_dict", fail)
    with pytest.raises(InputError, match="no route to host.*checkpoint=FILE"):
        open_victim(f"torchvision:{NAME}")


def test_without_torchvision(monkeypatch):
    modules = __import__("sys").modules
    monkeypatch.setitem(modules, "torchvision", None)
    monkeypatch.setitem(modules, "torchvision.models", None)
    with pytest.raises(InputError, match=r"pip install.*'brittle\[torchvision\]'"):
        open_victim(f"torchvision:{NAME}")
