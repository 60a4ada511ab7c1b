"""Do our ensemble attacks compute what TransferAttack's compute? On two small random networks, a picture at a time, in float64.

    python benchmarks/ensemble_agreement.py

The largest difference between perturbations of the same attack. A picture at a time, because theirs weigh and draw for a whole batch; their
random choices are ours, and their random starts are left out. Needs the checkout that transfer.py names.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

import brittle
from brittle.core.streams import Streams
from brittle.core.victim import as_victim
from brittle.victims.ensemble import ensemble
from peers import without_torchvision

EPS, STEPS, PICTURES, SHAPE = 16 / 255, 10, 4, (3, 32, 32)
STRIDE = 250 / EPS / (3 * 32 * 32) ** 0.5  # their 250 is a Euclidean length
# name: our text; their module, class and options. Two networks: their mean over pairs is half of ours
METHODS: dict[str, tuple[str, tuple[str, str, dict[str, Any]]]] = {
    "ENS": ("mifgsm", ("ens", "ENS", {})),
    "SVRE": ("mifgsm+svre", ("svre", "SVRE", {"random_start": False})),
    "CWA": (f"mifgsm:step_size=3.2/255+cwa:stride={STRIDE}", ("cwa", "CWA", {"random_start": False})),
    "AdaEA": ("mifgsm+adaea:threshold=-0.6", ("adaea", "AdaEA", {})),
}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 6, 3, 2), nn.Tanh(), nn.Conv2d(6, 8, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(392, 5))
    module = nn.Sequential(*layers).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.mul_(2)
    return module


def drawn(sample: int) -> Iterator[int]:
    """The networks that SVRE draws for this sample: 4 rounds of 2 a step."""
    streams = Streams.seeded(0, torch.tensor([sample]))
    for _ in range(STEPS):
        yield from (streams.uniform((8,)).double() * 2).long()[0].tolist()


def prepared(modules: list[nn.Module]) -> None:
    """Their library, which loads networks by name and calls .cuda() throughout."""
    without_torchvision()
    importlib.import_module("torchvision")  # before pandas has a stand-in, which torch would look into
    sys.modules.setdefault("pandas", ModuleType("pandas"))
    sys.path.insert(0, str(Path(os.environ["BRITTLE_CHECKOUTS"]) / "TransferAttack"))
    for owner in (torch.Tensor, nn.Module):
        owner.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    together = importlib.import_module("transferattack.utils").EnsembleModel(modules)
    importlib.import_module("transferattack.attack").Attack.load_model = lambda self, given: together


def main() -> None:
    torch.set_default_dtype(torch.float64)
    modules = [network(1), network(2)]
    prepared(modules)
    victim = ensemble([as_victim(module) for module in modules])
    pictures = torch.rand(PICTURES, *SHAPE, generator=torch.Generator().manual_seed(0))
    labels = victim(pictures).argmax(1)
    print("| method | largest difference |\n|---|---:|")
    for name, (text, (where, kind, options)) in METHODS.items():
        attack, theirs = brittle.parse_attack(text), importlib.import_module(f"transferattack.ensemble.{where}")
        apart = 0.0
        for sample in range(PICTURES):
            x, label = pictures[sample : sample + 1], labels[sample : sample + 1]
            made = brittle.attack(attack, victim, x, label, brittle.linf(EPS), ids=torch.tensor([sample])).x_adv
            choices = drawn(sample)
            random = SimpleNamespace(randint=lambda _, choices=choices: next(choices))
            with (
                mock.patch.object(theirs, "np", SimpleNamespace(random=random), create=True),
                mock.patch.object(torch, "randn", lambda *shape, **_: torch.zeros(*shape)),
            ):
                delta = getattr(theirs, kind)(["one", "other"], **options)(x, label)
            apart = max(apart, float((made - x - delta).abs().max()))
        print(f"| {name} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
