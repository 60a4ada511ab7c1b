"""One forward and one backward, watched: where the gradient is cut off, where it becomes exactly zero, who differentiates inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DERIVES = ("grad", "backward")  # torch.autograd.grad and Tensor.backward, as a function mode sees them


@dataclass(frozen=True)
class Place:
    """An operation and the module whose forward calls it, "" where the model is no module or the operation stands at its top."""

    operation: str
    module: str = ""

    def __str__(self) -> str:
        return f"{self.operation} in the module {self.module!r}" if self.module else self.operation


@dataclass(frozen=True, eq=False)
class Trace:
    """What was seen of B samples.

    grad: (B, *S) of the loss at the input, None where autograd does not come back. cuts: operations that took something which depends on
    the input and gave something that autograd does not follow, in order. dead: operations that a gradient reached and none left, each with
    the share of samples for which it was so. derives: calls of autograd inside the forward.
    """

    grad: Tensor | None
    cuts: tuple[Place, ...]
    dead: tuple[tuple[Place, float], ...]
    derives: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class _Step:
    place: Place
    inputs: tuple[Tensor, ...]  # those that autograd follows
    outputs: tuple[Tensor, ...]


class _Watch(TorchFunctionMode):
    """Notes every torch function that is called, and in which module."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self.cuts: list[Place] = []
        self.derives: list[Place] = []
        self.modules = [""]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        followed = tuple(t for t in _tensors((args, kwargs or {})) if t.requires_grad)
        given = func(*args, **(kwargs or {}))
        if name in _DERIVES:
            self.derives.append(Place(f"autograd.{name}", self.modules[-1]))
        elif followed and name != "__get__":
            self._note(Place(name.strip("_"), self.modules[-1]), followed, tuple(_tensors(given)))
        return given

    def _note(self, place: Place, followed: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        if outputs and not any(t.requires_grad for t in outputs):
            hidden = "" if torch.is_grad_enabled() else " under torch.no_grad()"
            self.cuts.append(Place(place.operation + hidden, place.module))
        elif outputs:
            self.steps.append(_Step(place, followed, tuple(t for t in outputs if t.requires_grad)))

    @contextlib.contextmanager
    def inside(self, module: nn.Module | None) -> Iterator[None]:
        """Know the names of the modules while they run."""

        def enter(name: str) -> Callable[..., None]:
            return lambda *_: self.modules.append(name)

        def leave(*_: Any) -> None:
            self.modules.pop()

        hooks: list[Any] = []
        try:
            for name, part in module.named_modules() if module is not None else ():
                hooks.append(part.register_forward_pre_hook(enter(name)))
                hooks.append(part.register_forward_hook(leave, always_call=True))
            yield
        finally:
            for hook in hooks:
                hook.remove()


def trace(
    forward: Callable[[Tensor], Tensor], module: nn.Module | None, x: Tensor, slope: Callable[[Tensor], Tensor]
) -> Trace:
    """Watch `forward` at x (B, *S), and the gradient of the loss whose slope at the outputs (B, C) is given; 1 forward and 1 backward."""
    watch = _Watch()
    with torch.enable_grad(), watch.inside(module):
        asked = x.detach().clone().requires_grad_()
        with watch:
            outputs = forward(asked)
        if not outputs.requires_grad:
            return Trace(None, tuple(watch.cuts), (), tuple(watch.derives))
        nodes = list(
            {id(t): t for t in [asked, *(t for step in watch.steps for t in (*step.inputs, *step.outputs))]}.values()
        )
        found = torch.autograd.grad(outputs, nodes, slope(outputs.detach()), allow_unused=True)
    live = {id(node): _live(grad, len(x)) for node, grad in zip(nodes, found, strict=True)}
    return Trace(found[0], tuple(watch.cuts), tuple(_dead(watch.steps, live, len(x))), tuple(watch.derives))


def _dead(steps: Iterable[_Step], live: dict[int, Tensor], count: int) -> Iterator[tuple[Place, float]]:
    """Steps of whose outputs some have a gradient and of whose inputs none, with the share of samples."""
    for step in steps:
        after = torch.stack([live[id(t)] for t in step.outputs]).any(0)
        before = torch.stack([live[id(t)] for t in step.inputs]).any(0)
        share = float((after & ~before).double().mean()) if count else 0.0
        if share:
            yield step.place, share


def _live(grad: Tensor | None, count: int) -> Tensor:
    """(B,) bool: whether any entry of the sample's gradient differs from zero; of tensors without a batch axis, all or none."""
    if grad is None:
        return torch.zeros(count, dtype=torch.bool)
    if grad.ndim == 0 or grad.shape[0] != count:
        return torch.full((count,), bool((grad != 0).any()))
    return (grad != 0).flatten(1).any(1).cpu() if grad.ndim > 1 else (grad != 0).cpu()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
