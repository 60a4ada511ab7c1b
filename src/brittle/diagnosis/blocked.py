"""Layers that no gradient passes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..core.victim import Victim


@dataclass(frozen=True)
class Blocked:
    """A layer by its name in the module, and whether its output has the shape of its input."""

    name: str
    same_shape: bool


def blocked(victim: Victim, x: Tensor) -> tuple[Blocked, ...]:
    """The innermost layers of the victim, in order, that get an input with gradient at x (B, *S) and pass none back.

    Either autograd ends in them (numpy, `detach`, `no_grad`), or what comes back is zero for every sample (rounding, signs); 1 forward and
    1 backward, uncharged. () for a plain callable, and for a layer that does not take one tensor of floats first and give one.
    """
    if victim.module is None:
        return ()
    calls: list[_Call] = []
    running: list[_Call] = []
    handles = []
    for name, layer in victim.module.named_modules():
        if name:
            handles.append(layer.register_forward_pre_hook(partial(_enter, name, calls, running)))
            handles.append(layer.register_forward_hook(partial(_leave, running)))
    outputs: Tensor | None = None
    try:
        with torch.enable_grad():
            outputs = victim(x.detach().requires_grad_())
    except RuntimeError:  # numpy refuses a tensor with a gradient
        if running:
            running[-1].stops = True
    finally:
        for handle in handles:
            handle.remove()
    if outputs is not None and outputs.requires_grad:
        _follow_back([call for call in calls if call.output is not None], outputs)
    stops = [call for call in calls if call.stops or (call.output is not None and not call.output.requires_grad)]
    names = {call.name for call in stops}
    inner = [call for call in stops if not any(name.startswith(call.name + ".") for name in names)]
    return tuple(dict.fromkeys(Blocked(call.name, call.same_shape) for call in inner))


@dataclass(eq=False)
class _Call:
    """A layer at work on an input with gradient."""

    name: str
    given: Tensor
    output: Tensor | None = None
    stops: bool = False

    @property
    def same_shape(self) -> bool:
        return self.output is None or self.output.shape == self.given.shape


def _enter(name: str, calls: list[_Call], running: list[_Call], layer: nn.Module, args: tuple[Any, ...]) -> None:
    given = args[0] if args else None
    call = _Call(name, given if isinstance(given, Tensor) else torch.empty(0))
    running.append(call)
    if call.given.requires_grad:
        calls.append(call)


def _leave(running: list[_Call], layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    call = running.pop()
    if isinstance(output, Tensor) and output.is_floating_point():
        call.output = output


def _follow_back(calls: list[_Call], outputs: Tensor) -> None:
    """Mark the calls that get a gradient at their output and give none at their input."""
    ends = [end for call in calls for end in (call.output, call.given) if end is not None and end.requires_grad]
    if not ends:
        return
    weights = torch.linspace(-1, 1, outputs.shape[1], dtype=outputs.dtype, device=outputs.device)
    grads = torch.autograd.grad((outputs * weights).sum(), ends, allow_unused=True)
    there = {id(end): grad is not None and bool((grad != 0).any()) for end, grad in zip(ends, grads, strict=True)}
    for call in calls:
        call.stops = there.get(id(call.output), False) and not there[id(call.given)]
