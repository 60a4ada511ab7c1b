"""Every call that attacks, beside `evaluate`: it honours the bounds, and a sample's result knows its id and not its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.testing import network
from brittle.testing.victims import inputs

SHAPE = (2, 4, 4)
X = (inputs(SHAPE, 16, dtype=torch.float32, bounds=(0.0, 1.0)) * 256).round() / 256  # 2 x - 1 is exact
WIDE = {"bounds": (-1.0, 1.0)}


def net(seed: int = 0) -> nn.Module:
    module = network(SHAPE, seed=seed, dtype=torch.float32).module
    assert module is not None
    return module.eval()


class Stretched(nn.Module):
    """The same network for inputs in [-1, 1]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x + 1) / 2)


LABELS = net()(X).argmax(1).detach()
Call = Callable[[Callable[[nn.Module], nn.Module], Tensor, Tensor, float, dict[str, Any]], Tensor]


def _study(at: Any, x: Tensor, labels: Tensor, scale: float, given: dict[str, Any]) -> Tensor:
    found = brittle.blackbox(
        at(net()), at(net(1)), (x, labels), brittle.linf(0.125 * scale), steps=(1, 4), progress=False, **given
    )
    return torch.tensor([found.right, *(row for curve in found.curves for row in curve.right)]).float()


DRIVERS: dict[str, Call] = {
    "universal": lambda at, x, y, scale, given: (
        brittle.universal(at(net()), (x, y), brittle.linf(0.125 * scale), epochs=3, batch_size=5, **given).delta / scale
    ),
    "mimic": lambda at, x, y, scale, given: (
        brittle.mimic(at(net()), x[:8], x[8:], brittle.linf(0.125 * scale), **given).distance
    ),
    "fool": lambda at, x, y, scale, given: (
        brittle.fool(
            at(net()), [0, 1], SHAPE, attack=brittle.pgd(steps=5), threat=brittle.linf(0.25 * scale), **given
        ).margin
    ),
    "attack": lambda at, x, y, scale, given: (
        brittle.attack(brittle.pgd(steps=5), at(net()), x, y, brittle.linf(0.125 * scale), **given).margin
    ),
    "blackbox": _study,
}


@pytest.mark.parametrize("name", DRIVERS)
def test_inputs_twice_as_wide_give_the_same_under_twice_the_eps(name: str) -> None:
    call = DRIVERS[name]
    plain = call(lambda module: module, X, LABELS, 1.0, {})
    wide = call(lambda module: Stretched(module).eval(), 2 * X - 1, LABELS, 2.0, WIDE)
    torch.testing.assert_close(wide.float(), plain.float(), atol=2e-5, rtol=1e-4)
    assert plain.float().std() > 0


def test_a_sample_of_the_black_box_study_is_its_own() -> None:
    """Noise and attacks of a sample are those of its number in the data, however many are studied at once."""
    one, other = (
        brittle.blackbox(
            net(), net(1), (X, LABELS), brittle.linf(0.6), steps=(1, 4), samples=count, batch_size=size, progress=False
        )
        for count, size in ((None, 32), (8, 3))
    )
    for curve, part in zip(one.curves, other.curves, strict=True):
        for row, some in zip(curve.right, part.right, strict=True):
            assert row[::2] == some
