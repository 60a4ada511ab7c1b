"""The small networks, their training and their files."""

from __future__ import annotations

import os
import time

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from brittle.data import as_data, open_data
from brittle.errors import InputError
from brittle.victims.networks import Architecture, Card, known_networks, load, parse_network, save
from brittle.victims.train import accuracy, train

SHAPE = (2, 9, 13)


@pytest.mark.parametrize("text", ["mlp", "mlp:5", "mlp:7,5,3", "cnn", "cnn:3", "cnn:4,6,8"])
def test_networks_give_logits(text):
    module = parse_network(text, SHAPE, 11).build().eval()
    assert module(torch.rand(7, *SHAPE)).shape == (7, 11)


def test_widths_are_the_layers():
    linear = [m for m in parse_network("mlp:7,5", (4, 3), 2).build() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(12, 7), (7, 5), (5, 2)]
    default = [m.out_features for m in Architecture("mlp", (4,), 2).build() if isinstance(m, torch.nn.Linear)]
    assert default == [128, 64, 2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mpl", "did you mean mlp"),
        ("mlp:0", "1 or more"),
        ("mlp:big", "NAME:WIDTH"),
        ("mlp:hidden=3", "NAME:WIDTH"),
    ],
)
def test_wrong_networks_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_network(text, SHAPE, 3)


@pytest.mark.parametrize("shape", [(12,), (3, 2, 9), (1, 2, 3, 4)])
def test_a_cnn_needs_images(shape):
    with pytest.raises(InputError, match="use mlp"):
        Architecture("cnn", shape, 3).build()


def test_a_saved_network_comes_back(tmp_path):
    architecture = parse_network("cnn:3", SHAPE, 5)
    module = architecture.build()
    save(module, architecture, tmp_path / "n.safetensors", data="toy", bounds=(-1, 1), training={"epochs": 3})
    before = torch.random.get_rng_state()
    again, card = load(tmp_path / "n.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert card == Card(architecture, "toy", (-1.0, 1.0), {"epochs": 3})
    assert not any(m.training for m in again.modules())
    assert all(p.requires_grad for p in again.parameters())
    x = torch.rand(7, *SHAPE)
    assert torch.equal(again(x), module(x))
    assert os.listdir(tmp_path) == ["n.safetensors"]


def test_saving_leaves_an_old_file_whole_or_replaces_it(tmp_path, monkeypatch):
    architecture = Architecture("mlp", (3,), 2, (4,))
    path = tmp_path / "n.safetensors"
    save(architecture.build(), architecture, path)
    old = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left"):
        save(architecture.build(), architecture, path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]
    monkeypatch.undo()
    save(architecture.build(), architecture, path)
    assert path.read_bytes() != old


def test_saving_needs_a_folder(tmp_path):
    architecture = Architecture("mlp", (3,), 2, (4,))
    with pytest.raises(InputError, match="folder that exists"):
        save(architecture.build(), architecture, tmp_path / "none" / "n.safetensors")


def test_files_that_are_no_saved_network_are_refused(tmp_path):
    architecture = Architecture("mlp", (3,), 2, (4,))
    path = tmp_path / "n.safetensors"
    save(architecture.build(), architecture, path)
    weights = load_file(path)
    card = {"brittle": msgspec.json.encode(Card(architecture)).decode()}
    huge = msgspec.json.encode(Card(architecture)).decode().replace("[4]", "[400000000000]")

    def refused(sentence, tensors=weights, metadata=card) -> None:
        save_file(tensors, path, metadata)
        with pytest.raises(InputError, match=sentence):
            load(path)

    refused("does not say of which network", metadata=None)
    refused("cannot be read", metadata={"brittle": "{}"})
    refused("cannot be read", metadata={"brittle": "not json"})
    refused("cannot be read", metadata={"brittle": card["brittle"].replace("mlp", "mpl")})
    refused("does not fit|cannot be read", metadata={"brittle": huge})
    refused(
        r"for 1\.bias it has no such tensor, not torch\.float32 \(4,\)",
        {k: v for k, v in weights.items() if k != "1.bias"},
    )
    refused(r"for 9\.bias it has torch.float32 \(1,\), not no such tensor", {**weights, "9.bias": torch.zeros(1)})
    refused("does not fit", {**weights, "1.bias": torch.zeros(5)})
    refused("does not fit", {k: v.half() for k, v in weights.items()})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load(path)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load(tmp_path / "none.safetensors")


def test_each_network_has_a_line():
    for name in known_networks():
        assert parse_network(name, SHAPE, 3).name == name


@pytest.mark.slow
@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_digits_are_learnt_in_seconds(net):
    data = open_data("digits?split=train")
    heard = []
    module = train(
        data,
        parse_network(net, data.shape, 10),
        epochs=30,
        batch_size=32,
        progress=lambda epoch, loss: heard.append((epoch, loss)),
    )
    assert accuracy(module, open_data("digits")) >= 0.95
    assert [epoch for epoch, _ in heard] == list(range(1, 31))
    assert heard[0][1] > 1
    assert heard[-1][1] < 0.2
    assert not any(m.training for m in module.modules())


def test_training_is_repeatable_and_leaves_the_random_numbers_alone():
    data = open_data("digits")
    architecture = parse_network("mlp:8", data.shape, 10)

    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in train(data, architecture, 1, seed=seed).parameters()])

    before = torch.random.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(weights(3), first)
    assert not torch.equal(weights(4), first)


def test_the_learning_rate_falls_to_nothing_over_the_last_epoch(monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def recorded(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    train(as_data((torch.rand(19, 3), torch.arange(19) % 2)), Architecture("mlp", (3,), 2), 2, 4, lr=0.5)
    assert rates == pytest.approx([0.5] * 6 + [0.4, 0.3, 0.2, 0.1])


def test_accuracy_is_a_share():
    data = as_data((torch.eye(3)[[0, 1, 2, 0, 0]], [0, 1, 2, 1, 2]))
    assert accuracy(torch.nn.Identity().eval(), data) == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0.0}, "lr=0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": 1e30, "epochs": 2}, "no longer finite"),
        ({"architecture": Architecture("mlp", (3,), 10)}, r"samples \(1, 8, 8\), the network takes \(3,\)"),
        ({"architecture": Architecture("mlp", (1, 8, 8), 9)}, "10 classes, the network 9"),
    ],
)
def test_wrong_training_is_refused(changes, sentence):
    settings = {"architecture": Architecture("mlp", (1, 8, 8), 10, (4,)), **changes}
    with pytest.raises(InputError, match=sentence):
        train(open_data("digits"), **settings)


@pytest.mark.data
@pytest.mark.slow
def test_mnist_is_learnt_to_97_percent_in_under_a_minute():
    data = open_data("mnist?split=train")
    start = time.process_time()
    module = train(data, parse_network("mlp", data.shape, 10))
    assert time.process_time() - start < 120  # processor time, of at most two cores for a minute
    assert accuracy(module, open_data("mnist")) >= 0.97
