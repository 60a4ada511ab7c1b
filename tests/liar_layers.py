"""The layers that hide gradients, each with the `twin` that an attacker who knows of it would put in its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

Gradient = Callable[[Tensor], Tensor]


def with_gradient_of(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard`, the derivative of `soft`: BPDA, Athalye et al. 2018, arXiv:1802.00420."""
    return soft + (hard - soft).detach()


class StraightThrough(nn.Module):
    """A layer whose output has its input's shape: its value, and the identity's derivative."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hard = self.layer(x)
        return with_gradient_of(hard, x)


class Logits(nn.Module):
    """What a network says, changed by a function that keeps the order of the classes: (B, C) -> (B, C)."""

    def __init__(self, net: nn.Module, change: Gradient) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.net(x))


class Quantise(nn.Module):
    """Rounds to so many levels between 0 and 1."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return (x * (self.levels - 1)).round() / (self.levels - 1)


class Thermometer(nn.Module):
    """x (B, 1, H, W) -> (B, levels, H, W): which thresholds are reached. Buckman et al., ICLR 2018.

    `slope`: the width of the ramp that stands in for each step in the backward pass; None: none does.
    """

    def __init__(self, levels: int, slope: float | None = None) -> None:
        super().__init__()
        self.slope = slope
        self.register_buffer("thresholds", ((torch.arange(levels) + 0.5) / levels).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        hard = (x >= self.thresholds).to(x.dtype)
        return hard if self.slope is None else with_gradient_of(hard, ((x - self.thresholds) / self.slope).sigmoid())


class Jpeg(nn.Module):
    """Rounds the cosine transform of each 8 x 8 block, the coarser the higher the frequency. Guo et al., ICLR 2018, arXiv:1711.00117."""

    def __init__(self, step: float) -> None:
        super().__init__()
        k = torch.arange(8)
        cosines = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / 8) * 0.5  # orthonormal but for the first row
        cosines[0] /= math.sqrt(2)
        self.register_buffer("cosines", cosines)
        self.register_buffer("table", step * (1 + (k[:, None] + k[None]) / 2))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = self.cosines @ x @ self.cosines.T
        return (self.cosines.T @ ((spectrum / self.table).round() * self.table) @ self.cosines).clamp(0, 1)


class Median(nn.Module):
    """The median of each 3 x 3 window, computed by numpy, which autograd cannot see. Xu et al., NDSS 2018, arXiv:1704.01155."""

    def forward(self, x: Tensor) -> Tensor:
        wide = np.pad(x.detach().cpu().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3))
        return torch.from_numpy(np.median(windows, axis=(-2, -1))).to(x)


class Numpy(nn.Module):
    """Contrast by numpy in the middle of the forward pass, which autograd cannot see."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.sqrt(np.clip(x.detach().cpu().numpy(), 0, 1))).to(x)


class TotalVariation(nn.Module):
    """The z that minimises |z - x|^2 / 2 + weight * TV(z), by descent inside the forward pass. Guo et al., ICLR 2018, arXiv:1711.00117."""

    def __init__(self, weight: float, steps: int = 15) -> None:
        super().__init__()
        self.weight, self.steps = weight, steps

    def forward(self, x: Tensor) -> Tensor:
        z, x = x.detach().clone(), x.detach()
        for _ in range(self.steps):
            with torch.enable_grad():
                z.requires_grad_()
                rough = sum(((z.diff(dim=axis) ** 2 + 1e-3).sqrt().sum() for axis in (2, 3)), z.new_zeros(()))
                (grad,) = torch.autograd.grad(((z - x) ** 2).sum() / 2 + self.weight * rough, z)
            z = (z - 0.2 * grad).detach()
        return z


class ResizeAndPad(nn.Module):
    """Each image at a random size from 8 to 11, at a random place of a 12 x 12 canvas. Xie et al., ICLR 2018, arXiv:1711.01991."""

    def forward(self, x: Tensor) -> Tensor:
        size = torch.randint(8, 12, (len(x), 1), device=x.device)
        corner = (torch.rand(len(x), 2, device=x.device) * (13 - size)).floor()
        scale = torch.diag_embed((12 / size).expand(-1, 2))
        places = affine_grid(
            torch.cat([scale, ((12 - 2 * corner) / size - 1)[:, :, None]], 2), [len(x), 1, 12, 12], align_corners=False
        )
        return grid_sample(x, places.to(x), mode="nearest", align_corners=False)


class Noise(nn.Module):
    """Gaussian noise on the input, new at each call. Liu et al., ECCV 2018, arXiv:1712.00673."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma * torch.randn_like(x)


class AlwaysDropout(nn.Module):
    """Dropout that eval mode does not switch off. Dhillon et al., ICLR 2018, arXiv:1803.01442, in its simplest form."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.rate, training=True)


class Lottery(nn.Module):
    """One of the networks answers each call, drawn at random for each sample."""

    def __init__(self, *nets: nn.Module) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> Tensor:
        answers = torch.stack([net(x) for net in self.nets])  # (M, B, C)
        return answers[torch.randint(len(self.nets), (len(x),), device=x.device), torch.arange(len(x))]


class WinnersTakeAll(nn.Module):
    """Only the largest `share` of the units answer; the others are zero. Xiao et al., ICLR 2020, arXiv:1905.10510."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, round(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return torch.where(flat >= least, flat, 0).view_as(x)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope * (1 - torch.tanh(ctx.slope * x) ** 2), None


class Sign(nn.Module):
    """+1 or -1. In training, and where `honest`, the derivative of tanh; otherwise zero, as torch.sign has it."""

    def __init__(self, honest: bool = False) -> None:
        super().__init__()
        self.honest = honest

    def forward(self, x: Tensor) -> Tensor:
        return _Sign.apply(x, 1.0) if self.training or self.honest else torch.sign(x)


class Lookup(nn.Module):
    """A table of `levels` entries near the identity, read inside each entry along a line that rises or falls as a coin has fallen.

    Each value is right to 1 / levels, each slope wrong: gradient shattering.
    """

    def __init__(self, levels: int, steepness: float) -> None:
        super().__init__()
        coins = torch.rand(levels + 1, generator=torch.Generator().manual_seed(0)) < 0.5
        self.register_buffer("slopes", torch.where(coins, steepness, -steepness))
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        place = x * self.levels
        entry = place.detach().floor()
        return (entry + 0.5 + self.slopes[entry.long()] * (place - entry - 0.5)) / self.levels


class Frozen(nn.Module):
    """A layer called without gradients."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.layer(x)


class Decoy(nn.Module):
    """The network's answer without its gradient, and a whisper of an untrained one with."""

    def __init__(self, net: nn.Module, decoy: nn.Module) -> None:
        super().__init__()
        self.net, self.decoy = net, decoy

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.detach()) + 1e-3 * self.decoy(x)


class Detector(nn.Module):
    """A network that abstains where `suspicion(x)` (B, 1) exceeds the threshold: all its outputs are then equal.

    A tie is not won and not right: so the goal "any class but the label" reads "a wrong class, and not rejected". `suspicion` is a network
    of one output, trained to tell attacked inputs from others. Metzen et al., ICLR 2017, arXiv:1702.04267.
    """

    def __init__(self, net: nn.Module, suspicion: nn.Module, threshold: float) -> None:
        super().__init__()
        self.net, self.suspicion, self.threshold = net, suspicion, threshold

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.net(x)
        return torch.where(self.suspicion(x) > self.threshold, torch.zeros_like(outputs), outputs)


class Rejecting(nn.Module):
    """The detector's network with one class more, whose logit passes the largest as suspicion passes the threshold.

    Steered to a class, an attack must get there and be believed.
    """

    def __init__(self, detector: Detector, weight: float) -> None:
        super().__init__()
        self.detector, self.weight = detector, weight

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.detector.net(x)
        above = self.weight * (self.detector.suspicion(x) - self.detector.threshold)
        return torch.cat([outputs, outputs.amax(1, keepdim=True) + above], dim=1)


class Normalise(nn.Module):
    """(x - mean) / std."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Steep(nn.Module):
    """tanh(gain * x), which rounds to +1 or -1 almost everywhere; where `honest`, with the derivative of tanh(x)."""

    def __init__(self, gain: float, honest: bool = False) -> None:
        super().__init__()
        self.gain, self.honest = gain, honest

    def forward(self, x: Tensor) -> Tensor:
        hard = torch.tanh(self.gain * x)
        return with_gradient_of(hard, torch.tanh(x)) if self.honest else hard


def twin(module: nn.Module) -> nn.Module:
    """A copy in which every layer that lies has an honest derivative: for decisions the same, or nearly."""
    match module:
        case Logits() | Decoy():
            return twin(module.net)
        case Detector():
            return Rejecting(module, weight=1.0)
        case Quantise() | Jpeg() | Median() | Numpy() | TotalVariation() | Lookup():
            return StraightThrough(module)
        case Frozen():
            return module.layer
        case Thermometer():
            return Thermometer(module.thresholds.shape[1], slope=0.1)
        case Sign():
            return Sign(honest=True).eval()
        case Steep():
            return Steep(module.gain, honest=True)
        case nn.Sequential():
            return nn.Sequential(*map(twin, module)).eval()
    return module
