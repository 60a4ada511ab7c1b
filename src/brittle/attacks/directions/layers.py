"""A layer of the surrogate, by its name: heard or changed while a question is asked, and as it was before afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from ...core.oracle import Run
from ...errors import InputError
from ..remedies.layers import find_layer
from .graph import halfway, trunk
from .role import Scene


@dataclass(frozen=True, eq=False)
class Layer:
    """One of the surrogate's modules; where it is called several times in a pass, its first call."""

    name: str
    module: nn.Module

    @contextmanager
    def changed(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Meanwhile the layer gives what `change` makes of its output. Raises InputError if it was never called, or gives no tensor."""
        calls: list[Any] = []

        def hook(_: nn.Module, __: Any, output: Any) -> Tensor | None:
            calls.append(output)
            if len(calls) > 1:
                return None
            if not isinstance(output, Tensor) or not output.is_floating_point():
                raise InputError(
                    f"the layer {self.name!r} gives a {type(output).__name__}; name one that gives a tensor of floats"
                )
            return change(output)

        handle = self.module.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
        if not calls:
            raise InputError(f"the layer {self.name!r} is not run when the surrogate is called; name one that is")

    def heard(self, run: Run, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, C) and the layer's own (B, *F) at x (B, *S), a row each; nothing that comes later overwrites them."""
        features: list[Tensor] = []

        def keep(output: Tensor) -> Tensor:
            features.append(output)
            return output.clone()

        with self.changed(keep):
            outputs = run(x)
        if len(features[0]) != len(x):
            raise InputError(
                f"the layer {self.name!r} gives {len(features[0])} rows for {len(x)} inputs; name one that gives a row an input"
            )
        return outputs, features[0]


@dataclass(frozen=True, eq=False)
class Hearing:
    """A detour that changes nothing, and keeps in `found` what the layer said: (rows, features), where rows None are all."""

    layer: Layer
    found: list[tuple[Tensor | None, Tensor]] = field(default_factory=list)
    rows: Tensor | None = None

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        outputs, features = self.layer.heard(run, x)
        self.found.append((self.rows, features))
        return outputs

    def select(self, rows: Tensor) -> Hearing:
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


@dataclass(frozen=True, eq=False)
class Outline:
    """A detour that changes nothing, and keeps in `found` the name of the module at about half of the operations, or None."""

    surrogate: nn.Module
    found: list[str | None] = field(default_factory=list)

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        ended: dict[Node, str] = {}  # the outermost module that ends with an operation of its own

        def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
            def hook(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
                end = getattr(output, "grad_fn", None)
                passed_on = any(end is getattr(one, "grad_fn", None) for one in given)
                if end is not None and not passed_on and name not in ended.values():
                    ended[end] = name

            return hook

        with ExitStack() as hooks:
            for name, module in self.surrogate.named_modules():
                if name:
                    hooks.callback(module.register_forward_hook(note(name)).remove)
            outputs = run(x.clone())
        half = None if outputs.grad_fn is None else halfway(trunk(outputs.grad_fn), ended)
        self.found.append(None if half is None else ended[half])
        return outputs

    def select(self, rows: Tensor) -> Outline:
        del rows
        return self


def find(scene: Scene, who: str, name: str | None) -> Layer:
    """The surrogate's layer of that name; None: of those through which everything goes, the nearest to half of the operations.

    Raises InputError, naming who asks, for a surrogate without such a layer. Cost: 1 forward without a name.
    """
    victim = scene.problem.door.victim
    if victim.module is None:
        raise InputError(
            f"{who} needs a layer of the surrogate, and {victim.name} is a function without layers; give an nn.Module"
        )
    if name is None:
        outline = Outline(victim.module)
        with scene.detouring(outline), torch.enable_grad():
            scene.detoured(scene.problem).oracle(scene.problem.x.detach().requires_grad_())
        (name,) = outline.found
    if name is None:
        raise InputError(
            f"{who} finds no layer of {victim.name} through which everything goes; name one, {who}:layer=..."
        )
    return Layer(name, find_layer(victim, name))
