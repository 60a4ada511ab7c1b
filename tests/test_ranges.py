"""Numbers that mean nothing are refused by every driver and command before anything is opened or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import brittle
from brittle.ranges import check_counts, check_seed
from test_cli import run_brittle

NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
DATA = (torch.rand(7, 3, 2, 2), torch.arange(7) % 3)
BALL = brittle.linf(0.1)
DRIVERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "attack": (lambda **o: brittle.attack(brittle.fgsm(), NET, *DATA, BALL, **o), ("batch_size", "budget")),
    "mimic": (lambda **o: brittle.mimic(NET, DATA[0], DATA[0], BALL, layer="0", **o), ("batch_size", "budget")),
    "evaluate": (
        lambda **o: brittle.evaluate(NET, DATA, BALL, progress=False, **o),
        ("samples", "workers", "batch_size", "shard"),
    ),
    "diagnose": (lambda **o: brittle.diagnose(NET, DATA, BALL, **o), ("samples",)),
    "inspect": (lambda **o: brittle.inspect(NET, DATA, **o), ("samples",)),
    "universal": (lambda **o: brittle.universal(NET, DATA, BALL, **o), ("samples", "epochs", "batch_size")),
    "patch": (lambda **o: brittle.patch(NET, DATA, 1, **o), ("samples", "steps", "batch_size")),
    "transfer": (lambda **o: brittle.transfer({"a": NET}, {"b": NET}, DATA, BALL, **o), ("samples", "batch_size")),
    "blackbox": (lambda **o: brittle.blackbox(NET, NET, DATA, BALL, **o), ("samples", "batch_size")),
    "extract": (lambda **o: brittle.extract(NET, DATA, **{"queries": 3, **o}), ("queries", "held_out", "epochs")),
}
CASES = [(name, option) for name, (_, options) in DRIVERS.items() for option in options]


@pytest.mark.parametrize(("name", "option"), CASES, ids=str)
@pytest.mark.parametrize("value", [0, -3, 1.5, float("nan"), True, 10**400], ids=lambda v: str(v)[:5])
def test_a_count_is_a_whole_number_from_one(name: str, option: str, value: object) -> None:
    with pytest.raises(brittle.InputError, match=rf"^{option}(=| has 401 digits)"):
        DRIVERS[name][0](**{option: value})


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, float("nan"), "3"], ids=str)
def test_a_seed_is_a_whole_number_that_generators_take(name: str, seed: object) -> None:
    with pytest.raises(brittle.InputError, match=r"^seed="):
        DRIVERS[name][0](seed=seed)


def test_what_is_in_range_passes() -> None:
    check_counts(samples=1, batch_size=None, shard=2**63 - 1)
    check_counts(0, keep=0)
    check_seed(0)
    check_seed(torch.tensor([3]).numpy()[0])  # NumPy's whole numbers are whole numbers


COMMANDS = [
    ("evaluate", "no.safetensors", "digits", "--threat", "linf:0.1", "--workers", "0"),
    ("evaluate", "no.safetensors", "digits", "--threat", "linf:0.1", "--samples", "0"),
    ("evaluate", "no.safetensors", "digits", "--threat", "linf:0.1", "--keep", "-1"),
    ("attack", "no.safetensors", "digits", "--threat", "linf:0.1", "--out", "x", "--samples", "-2"),
    ("attack", "no.safetensors", "digits", "--threat", "linf:0.1", "--out", "x", "--seed", "-2"),
    ("train", "digits", "--out", "x.safetensors", "--epochs", "0"),
    ("extract", "no.safetensors", "digits", "--out", "x.safetensors", "--queries", "0"),
    ("diagnose", "no.safetensors", "digits", "--threat", "linf:0.1", "--samples", "0"),
    ("inspect", "no.safetensors", "digits", "--samples", "0"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c[0]} {c[-2]} {c[-1]}")
def test_a_command_says_so_in_a_sentence_and_writes_nothing(command: tuple[str, ...], tmp_path: Path) -> None:
    assert run_brittle(*command, cwd=tmp_path, code=2).startswith(f"brittle: {command[-2].strip('-')}={command[-1]} is")
    assert list(tmp_path.iterdir()) == []
