"""VICTIM strings."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from brittle.core.victim import as_victim
from brittle.errors import InputError
from brittle.victims import known_victims, open_victim
from brittle.victims.networks import Architecture, save
from brittle.victims.open import opened

CODE = """
import torch
from torch import nn
from brittle.core.victim import as_victim

SEEN = {}
number = 3

def build(width=4, scale=1.0, deep=False, kind="relu", *, bias=True):
    SEEN.update(width=width, scale=scale, deep=deep, kind=kind, bias=bias)
    torch.manual_seed(0)
    return nn.Linear(3, width, bias=bias).eval()

def victim():
    return as_victim(build(), (-2.0, 2.0), name="mine")

def training(): return nn.Linear(3, 2)
def text(): return "model"
def needs(width): return build(width)
def fails(): return 1 / 0
def leaves(): raise SystemExit(0)
def endless(): return endless()
def anything(**options): return build(len(options))
"""


@pytest.fixture
def nets(tmp_path, monkeypatch, request):
    """The name of a module of this test alone, in the current folder."""
    name = f"nets_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / f"broken_{name}.py").write_text("import no_such_package_at_all\n")
    (tmp_path / f"wrong_{name}.py").write_text("def f(:\n")
    (tmp_path / f"leaving_{name}.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    return name


def test_a_function_of_the_users_is_called_with_its_options(nets):
    victim = open_victim(f"py:{nets}:build?width=5&scale=8/255&deep=true&kind=gelu&bias=False&bounds=-1..1")
    assert victim(torch.zeros(7, 3)).shape == (7, 5)
    assert sys.modules[nets].SEEN == {"width": 5, "scale": 8 / 255, "deep": True, "kind": "gelu", "bias": False}
    assert (victim.lower, victim.upper) == (-1, 1)
    assert victim.name.startswith(f"py:{nets}:build")
    assert victim.digest == open_victim(f"py:{nets}:build?width=5&bias=false").digest
    assert victim.digest != open_victim(f"py:{nets}:build?width=6").digest


def test_bounds_come_from_the_string_then_from_the_caller(nets):
    assert open_victim(f"py:{nets}:build", bounds=(0, 255)).upper == 255
    assert open_victim(f"py:{nets}:build?bounds=0..2", bounds=(0, 255)).upper == 2


def test_a_function_may_take_any_options(nets):
    assert open_victim(f"py:{nets}:anything?a=1&b=2")(torch.zeros(1, 3)).shape == (1, 2)


def test_a_victim_is_taken_as_it_is(nets):
    victim = open_victim(f"py:{nets}:victim", bounds=(0, 1))
    assert (victim.lower, victim.upper, victim.name) == (-2, 2, "mine")
    assert open_victim(f"py:{nets}:victim?bounds=-2..2", device="cpu").upper == 2
    with pytest.raises(InputError, match="leave bounds= away"):
        open_victim(f"py:{nets}:victim?bounds=0..1")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("py:{0}", "names no function"),
        ("py:", "names no function"),
        ("py:no_such_module:build", "there is no module 'no_such_module'"),
        ("py:no.such.module:build", "there is no module 'no.such.module'"),
        ("py:{0}:biuld", "did you mean build"),
        ("py:{0}:number", "is a int"),
        ("py:{0}:build?widht=3", "did you mean width"),
        ("py:{0}:needs", "missing a required argument: 'width'"),
        ("py:{0}:fails", "fails raised ZeroDivisionError: division by zero"),
        ("py:{0}:leaves", "leaves raised SystemExit: 0; mend the function"),
        ("py:{0}:endless", "endless raised RecursionError"),
        ("py:leaving_{0}:build", "raised SystemExit: 0; mend the module"),
        ("py:{0}:text", "returned a str"),
        ("py:{0}:training", "training mode"),
        ("py:broken_{0}:build", "No module named 'no_such_package_at_all'; mend"),
        ("py:wrong_{0}:f", "SyntaxError"),
        ("py:{0}:build?bounds=1..0", "no range"),
        ("pu:{0}:build", "did you mean py"),
        ("resnet", "unknown victim"),
        ("net:", "needs a .safetensors file"),
        ("none.safetensors", "none.safetensors does not exist"),
        ("torch:none.pt", "none.pt does not exist"),
        ("torch:none.pt?width=3", "unknown option of torch"),
    ],
)
def test_wrong_victims_get_a_sentence(nets, text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        open_victim(text.format(nets))
    assert "\n" not in str(caught.value)


def test_a_model_that_ends_the_program_when_it_is_asked_ends_nothing():
    def leaves(x):
        sys.exit(0)

    with pytest.raises(InputError, match="leaves ends with SystemExit: 0 when it is asked; mend the model"):
        as_victim(leaves)(torch.zeros(1, 3))


def test_a_device_that_is_not_there_is_a_sentence(nets):
    for device in ("cuda:99", "nonsense"):
        with pytest.raises(InputError, match=f"device '{device}' cannot be used"):
            open_victim(f"py:{nets}:build", device=device)


@pytest.mark.parametrize("text", ["net:{0}", "{0}"])
def test_a_trained_network_brings_its_bounds(tmp_path, text):
    architecture = Architecture("mlp", (3,), 2, (4,))
    module = architecture.build().eval()
    path = tmp_path / "n.safetensors"
    save(module, architecture, path, bounds=(-3, 3))
    victim = open_victim(text.format(path))
    x = torch.rand(7, 3)
    assert torch.equal(victim(x), module(x))
    assert (victim.lower, victim.upper) == (-3, 3)
    with pytest.raises(InputError, match="takes no options"):
        open_victim(f"{path}?bounds=0..1")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_not_opened_without_trust(tmp_path):
    torch.save(Trap(str(tmp_path / "sprung")), tmp_path / "m.pt")
    for text in (f"torch:{tmp_path}/m.pt", f"{tmp_path}/m.pt"):
        with pytest.raises(InputError, match=r"can run any code.*--trust"):
            open_victim(text)
    assert not (tmp_path / "sprung").exists()


def test_a_trusted_module_is_opened_in_eval_mode(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    torch.save(module, tmp_path / "m.pth")
    victim = open_victim(f"{tmp_path}/m.pth?bounds=0..4", trust=True)
    assert victim.upper == 4
    x = torch.rand(7, 3)
    assert torch.equal(victim(x), module.eval()(x))


def test_trusted_files_without_a_module_are_refused(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(InputError, match="a state dict, weights without their network"):
        open_victim(str(path), trust=True)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds a list"):
        open_victim(str(path), trust=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be unpickled"):
        open_victim(str(path), trust=True)


def test_each_known_victim_has_a_line():
    for name, line in known_victims().items():
        assert line.startswith(f"{name}:")


def test_a_module_keeps_the_bounds_that_its_caller_gives() -> None:
    found = opened(nn.Flatten().eval(), None, False, (-1.0, 2.0))
    assert (found.lower, found.upper) == (-1.0, 2.0)


def test_a_victim_in_training_mode_is_refused() -> None:
    victim = as_victim(nn.Sequential(nn.Flatten(), nn.Dropout()).eval())
    assert victim.module is not None
    victim.module.train()
    with pytest.raises(InputError, match="training"):
        opened(victim, None, False, (0.0, 1.0))
