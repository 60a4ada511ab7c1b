"""Victims whose nearest adversarial example is known, and a small network that has all that a model can have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.bounds import limits
from ..core.victim import Victim, as_victim
from ..errors import unknown

# Size of w in the dual of each norm: moving by `eps` in the norm changes <w, x> by at most eps times this.
_DUAL: dict[str, Callable[[Tensor], Tensor]] = {
    "linf": lambda w: w.abs().sum(-1),
    "l2": lambda w: w.norm(dim=-1),
    "l1": lambda w: w.abs().amax(-1),
}


@dataclass(frozen=True, eq=False)
class LinearVictim:
    """A linear classifier z = W x + b: `victim`, `weight` (C, N), `bias` (C,)."""

    victim: Victim
    weight: Tensor
    bias: Tensor

    def distance(self, x: Tensor, labels: Tensor, norm: str, targets: Tensor | None = None) -> Tensor:
        """Size (B,) of the smallest perturbation of x (B, *S) that reaches the boundary, in linf, l2, l1 or l0.

        An attack can win exactly where its eps is greater (for l0: where eps is at least this number). Zero where
        already won. With `targets`, exact for two classes and a lower bound for more. The linf, l2 and l1 distances
        leave the box out, so choose bounds wide enough not to bind; the l0 distance takes it in, because without a
        box one feature is always enough.
        """
        if norm not in (*_DUAL, "l0"):
            raise unknown("norm", norm, [*_DUAL, "l0"])
        x, weight = x.double(), self.weight.double()
        outputs = x.flatten(1) @ weight.T + self.bias.double()
        winner = labels if targets is None else targets
        others = torch.arange(len(weight)) != winner[:, None]  # (B, C)
        sign = 1.0 if targets is None else -1.0
        gap = sign * (outputs.gather(1, winner[:, None]) - outputs)  # (B, C), > 0 is still to go
        rise = -sign * (weight[winner][:, None] - weight)  # (B, C, N): closes the gap
        each = self._features(x, gap, rise) if norm == "l0" else gap / _DUAL[norm](rise).clamp_min(1e-300)
        each = each.clamp_min(0)
        if targets is None:
            return torch.where(others, each, math.inf).amin(1)
        return torch.where(others, each, 0).amax(1)

    def _features(self, x: Tensor, gap: Tensor, rise: Tensor) -> Tensor:
        """How many features (B, C) must go to their limits to close each gap; N + 1 where all are not enough."""
        flat = x.flatten(1)[:, None]
        lower, upper = (limit.flatten(1)[:, None] for limit in limits(x, *self.victim.bounds))
        gain = rise * torch.where(rise > 0, upper - flat, lower - flat)
        reached = gain.sort(dim=2, descending=True).values.cumsum(2)
        return torch.where(gap < 0, 0, 1 + (reached <= gap[..., None]).sum(2)).double()


def linear(
    shape: tuple[int, ...],
    classes: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    bounds: tuple[float, float] = (-10.0, 10.0),
) -> LinearVictim:
    """A random linear classifier of inputs (B, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    count = math.prod(shape)
    layer = nn.Linear(count, classes, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, count, generator=generator, dtype=torch.float64))
        layer.bias.copy_(0.1 * torch.randn(classes, generator=generator, dtype=torch.float64))
    victim = as_victim(nn.Sequential(nn.Flatten(), layer).eval(), bounds, name=f"linear{shape}")
    return LinearVictim(victim, layer.weight.detach().clone(), layer.bias.detach().clone())


def network(
    shape: tuple[int, ...],
    classes: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Victim:
    """A small curved network of inputs (B, *shape), in evaluation mode, with BatchNorm, Dropout and a frozen layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(shape), 11),
            nn.BatchNorm1d(11),
            nn.Tanh(),
            nn.Dropout(0.5),
            nn.Linear(11, classes),
        ).to(dtype)
    for parameter in module[1].parameters():
        parameter.requires_grad_(False)
    return as_victim(module.eval(), bounds, name=f"network{shape}")


def inputs(
    shape: tuple[int, ...],
    count: int = 7,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Random inputs (count, *shape), uniform in the bounds."""
    generator = torch.Generator().manual_seed(1000 + seed)
    lower, upper = bounds
    return (lower + (upper - lower) * torch.rand(count, *shape, generator=generator, dtype=torch.float64)).to(dtype)
