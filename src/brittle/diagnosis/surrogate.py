"""A plain network that imitates a victim: what it learns from the victim's answers has gradients that nothing masks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..core.problem import Region
from ..core.streams import Streams
from ..core.victim import Victim

STEPS, BATCH, RATE = 200, 64, 2e-3  # of its training
NEAR = 4  # random points of each sample's region that it sees


def imitate(victim: Victim, x: Tensor, answers: Tensor, classes: int, region: Region, streams: Streams) -> Victim:
    """A network of so many classes, trained to give the answers (N,) of the victim at x (N, *S) and at random points of their `region`.

    Papernot et al. 2017, arXiv:1602.02697, without their augmentation. Its random numbers are torch's: seed them.
    """
    module = _network(tuple(x.shape[1:]), classes).to(x.device, x.dtype)
    near = [region.render(region.random(streams)) for _ in range(NEAR)]
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    with torch.enable_grad():
        for step in range(STEPS):
            rows = torch.randint(len(x), (min(BATCH, len(x)),)).to(x.device)
            asked = torch.cat([x[rows], near[step % NEAR][rows]])
            loss = nn.functional.cross_entropy(module(asked), answers[rows].repeat(2))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Victim(module.eval(), victim.lower, victim.upper, "surrogate", "", module, victim.device)


def _network(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two convolutions for images, two hidden layers elsewhere."""
    if len(shape) != 3:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 256), nn.ReLU(), nn.Linear(256, classes))
    layers = [nn.Conv2d(shape[0], 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
    pool = [nn.AdaptiveAvgPool2d((min(shape[1], 8), min(shape[2], 8))), nn.Flatten(), nn.LazyLinear(128), nn.ReLU()]
    module = nn.Sequential(*layers, *pool, nn.Linear(128, classes))
    module(torch.zeros(1, *shape))  # gives the lazy layer its size
    return module
