"""Certificates are lower bounds: of sampled points, of corners, of attacks, of the exact minimum; for every layer and norm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.certify import Crown, Interval
from brittle.core.streams import Streams
from brittle.core.victim import Victim, as_victim
from brittle.threats.ball import Ball

METHODS = (Interval(), Crown(refined=0), Crown(refined=5), Crown(), Crown(steps=5))
THREATS = (brittle.linf(0.1), brittle.l2(0.4), brittle.l1(1.5))


class Residual(nn.Module):
    """Every kind of layer that is understood, both branches of a sum, constants, slices and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.3, 0.5]).view(1, 2, 1, 1))
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2)
        self.side = nn.Conv2d(4, 4, 1, stride=2, bias=False)
        self.wide = nn.Conv2d(4, 6, 2, dilation=2, padding=1)
        self.head = nn.Linear(6 * 2 * 2 + 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem((x - self.mean) / 0.25)))
        x = torch.relu(self.inner(x) + self.side(x))
        x = self.wide(nn.functional.pad(x[:, :, ::1], (1, 0, 0, 1)))
        x = nn.functional.max_pool2d(-x, 2, stride=2, padding=1)
        x = torch.cat([x[:, :, :2, :2].flatten(1), x.mean((2, 3)) * 2], 1)
        return 1 - self.head(nn.functional.dropout(x, 0.5, self.training).view(x.size(0), -1))


def _residual() -> nn.Module:
    model = Residual()
    with torch.no_grad():
        assert model.norm.running_mean is not None
        assert model.norm.running_var is not None
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
        model.norm.weight.normal_()
    return model


def _convolutions() -> nn.Module:
    layers = [nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 1, 1), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 7), nn.ReLU(), nn.Linear(7, 4))


def _pools() -> nn.Module:
    layers = [
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 2, padding=1),
        nn.MaxPool2d(2, 1),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))


def _dense() -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(98, 11), nn.BatchNorm1d(11), nn.ReLU(), nn.Dropout(), nn.Linear(11, 6), nn.ReLU()]
    return nn.Sequential(*layers, nn.Identity(), nn.Linear(6, 3))


NETWORKS = (_residual, _convolutions, _pools, _dense)


def _victim(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float32) -> Victim:
    torch.manual_seed(3)
    return as_victim(make().eval().to(dtype))


def _batch(victim: Victim, count: int = 3) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 2, 7, 7, generator=torch.Generator().manual_seed(1)).to(victim.dtype).mul(1.2).clamp(0.1, 1)
    with torch.no_grad():
        return x, victim(x).argmax(1)


def _smallest(victim: Victim, points: Tensor, labels: Tensor) -> Tensor:
    outputs = victim(points).double()
    own = outputs.gather(1, labels[:, None])
    return (own - outputs.scatter(1, labels[:, None], -torch.inf)).amin(1)


def _worst_found(victim: Victim, threat: Ball, x: Tensor, labels: Tensor) -> Tensor:
    """The smallest margin over random points, corners and two attacks."""
    region = threat.around(x, 0.0, 1.0)
    least = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for seed in range(60):
        streams = Streams.seeded(seed, torch.arange(len(x)))
        point = region.random(streams)
        least = torch.minimum(least, _smallest(victim, point, labels))
        corner = region.project(x + (point - x) * 100)
        least = torch.minimum(least, _smallest(victim, corner, labels))
    for text in ("pgd:steps=30,loss=margin,stop=false", "apgd:steps=20,loss=margin"):
        outcome = brittle.attack(brittle.parse_attack(text), victim, x, labels, threat)
        least = torch.minimum(least, _smallest(victim, outcome.x_adv, labels))
    return least


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("threat", THREATS, ids=lambda t: t.name)
@pytest.mark.parametrize("make", NETWORKS)
def test_no_point_of_the_region_is_below_the_bound(
    make: Callable[[], nn.Module], threat: Ball, dtype: torch.dtype
) -> None:
    victim = _victim(make, dtype)
    x, labels = _batch(victim)
    worst = _worst_found(victim, threat, x, labels)
    bounds = [method(victim, threat, x, labels) for method in METHODS]
    for bound in bounds:
        assert bool((bound <= worst).all())
    interval, _, _, crown, alpha = bounds
    assert bool((crown <= alpha + 1e-9).all())
    assert bool((interval < crown).all())
    assert bool((worst - crown < 0.8 * (worst - interval)).all())
