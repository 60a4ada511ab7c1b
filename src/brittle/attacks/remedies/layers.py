"""Straight through a layer, by its name: for what torch cannot watch, such as numpy or a custom autograd function."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.victim import Victim
from ...errors import InputError, unknown
from ...kernels.sampling import keys_for, uniform
from .graft import graft

KERNEL = 5  # of a learned map between images of the same size
LARGEST = 4_000_000  # numbers that a learned map between other shapes may have
COPIES = 8  # of each sample, with noise, that a learned map is fitted on
SAMPLED = 20_000  # places that a learned convolution is fitted on
RIDGE = 1e-4  # of the inputs' mean square, added to keep what the samples do not tell at zero


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """The victim's own values, to the bit, and in the backward pass a stand-in for the module of the name `layer`.

    Without numbers the stand-in is the identity, for a layer whose output has the shape of its input; with the `numbers`, float32 bytes, it
    is a linear map: of shape (outputs, inputs), or a convolution of shape (channels out, channels in, height, width) that keeps the size;
    `learned` finds them. The layer itself runs without gradients, so that it may be anything. BPDA: Athalye, Carlini and Wagner, ICML 2018,
    arXiv:1802.00420, section 4.1. Needs a module; the layer must take one tensor first, and give one.
    """

    layer: str
    shape: tuple[int, ...] = ()
    numbers: bytes = b""

    paper: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420"

    def __post_init__(self) -> None:
        if len(self.numbers) != 4 * (math.prod(self.shape) if self.shape else 0) or len(self.shape) not in (0, 2, 4):
            raise InputError(
                f"a stand-in of shape {self.shape} with {len(self.numbers)} bytes is no map; give 4 bytes a number"
            )

    @classmethod
    def learned(cls, victim: Victim, x: Tensor, layer: str, seed: int = 0) -> StandIn:
        """The linear map nearest to what the layer does on x (B, *S) and 8 noisy copies; by least squares; 9 forwards, uncharged."""
        pairs: list[tuple[Tensor, Tensor]] = []

        def note(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            pairs.append((_tensor(args[0], layer).detach().double(), _tensor(output, layer).detach().double()))

        found = find_layer(victim, layer)
        handle = found.register_forward_hook(note)
        try:
            with torch.no_grad():
                victim(x)
                for copy in range(COPIES):
                    keys = keys_for(seed, torch.arange(len(x), device=x.device))
                    noise = victim.between(uniform(keys, copy, x[0].numel(), x.dtype).view_as(x))
                    share = (copy + 1) / (2 * COPIES)
                    victim(x.lerp(noise, share))
        finally:
            handle.remove()
        before, after = (torch.cat(part) for part in zip(*pairs, strict=True))
        before = before - before.mean(0)
        weight = _fitted(before, after - after.mean(0), layer).float().cpu().contiguous()
        return cls(layer=layer, shape=tuple(weight.shape), numbers=weight.numpy().tobytes())

    def __call__(self, victim: Victim) -> Victim:
        found, weight = find_layer(victim, self.layer), self._weight()

        def forward(x: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                return victim(x)
            with self._standing_in(found, weight):
                return victim(x)

        return replace(victim, forward=forward)

    @contextlib.contextmanager
    def _standing_in(self, layer: nn.Module, weight: Tensor | None) -> Iterator[None]:
        """While it lasts, the layer sees its input without gradient, and its output has the stand-in's."""
        inputs: list[Tensor] = []

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            inputs.append(_tensor(args[0] if args else None, self.layer))
            return (inputs[-1].detach(), *args[1:])

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor:
            output, given = _tensor(output, self.layer), inputs.pop()
            return graft(output, self._stand_in(given, output, weight)) if given.requires_grad else output

        handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _stand_in(self, x: Tensor, output: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            if x.shape != output.shape:
                raise InputError(
                    f"the layer {self.layer} makes {tuple(output.shape)} of {tuple(x.shape)}, which the identity cannot stand in "
                    "for; give StandIn.learned(victim, x, layer)"
                )
            return x.clone()
        weight = weight.to(x)
        if weight.ndim == 4:
            return F.conv2d(x, weight, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
        return (x.flatten(1) @ weight.T).view_as(output)

    def _weight(self) -> Tensor | None:
        if not self.shape:
            return None
        return torch.from_numpy(np.frombuffer(self.numbers, np.float32).copy()).view(self.shape)


def stand_in(layer: str) -> StandIn:
    """The identity in place of the layer; `StandIn.learned` finds a map where shapes differ."""
    return StandIn(layer=layer)


def find_layer(victim: Victim, layer: str) -> nn.Module:
    """The victim's module of that name; InputError where there is none, or the victim is a plain callable."""
    if victim.module is None:
        raise InputError(f"the layer {layer!r} cannot be looked up in a plain callable; give an nn.Module")
    modules: dict[str, nn.Module] = dict(victim.module.named_modules())
    if layer not in modules:
        raise unknown("layer", layer, [name for name in modules if name])
    return modules[layer]


def _tensor(value: Any, layer: str) -> Tensor:
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise InputError(
            f"the layer {layer} takes or gives a {type(value).__name__}; name one that takes one tensor of floats and gives one"
        )
    return value


def _fitted(x: Tensor, y: Tensor, layer: str) -> Tensor:
    """The weight (out, in), or (out, in, k, k) between images of one size, of the linear map nearest to y (N, ...) at x (N, ...)."""
    images = x.ndim == y.ndim == 4 and x.shape[2:] == y.shape[2:]
    if images:
        kernel = KERNEL if min(x.shape[2:]) >= KERNEL else 1
        count, channels = y.shape[1], x.shape[1]
        x = F.unfold(x, kernel, padding=kernel // 2).transpose(1, 2).flatten(0, 1)  # (N H W, in k k)
        y = y.flatten(2).transpose(1, 2).flatten(0, 1)
        every = max(1, len(x) // SAMPLED)
        weight = _ridge(x[::every], y[::every])
        return weight.view(count, channels, kernel, kernel)
    x, y = x.flatten(1), y.flatten(1)
    if x.shape[1] * y.shape[1] > LARGEST:
        raise InputError(
            f"a map between {x.shape[1]} and {y.shape[1]} numbers is too large to be learned for the layer {layer}; name a smaller one"
        )
    return _ridge(x, y)


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """(out, in): least squares with a little weight on being small, through whichever Gram matrix is smaller."""
    least = RIDGE * float(x.square().mean()) * len(x) + torch.finfo(x.dtype).tiny
    tall = len(x) >= x.shape[1]
    gram = x.T @ x if tall else x @ x.T
    gram.diagonal().add_(least)
    solved: Tensor = torch.linalg.solve(gram, x.T @ y if tall else y)
    return (solved if tall else x.T @ solved).T
