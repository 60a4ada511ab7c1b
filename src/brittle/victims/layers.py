"""A victim cut at one of its layers: what that layer says of an input, flattened, in place of the outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..core.victim import Victim
from ..errors import InputError, unknown


def cut(victim: Victim, layer: str | None) -> Victim:
    """The victim whose outputs (B, N) are those of the submodule of that name, as `named_modules` gives it; None: its own, flattened.

    What lies behind the layer is not run. A layer that is called several times is heard the first time.
    Raises InputError for a victim without submodules, a layer that is not there or not reached, and outputs that are not one row an input.
    """
    if layer is None:
        return replace(victim, forward=lambda x: _flat(victim(x), len(x), "the model"))
    if victim.module is None:
        raise InputError(
            f"layer={layer!r}: a callable has no layers; give an nn.Module, or a callable that returns the features"
        )
    layers = {name: part for name, part in victim.module.named_modules() if name}
    if layer not in layers:
        raise unknown("layer", layer, layers)

    def forward(x: Tensor) -> Tensor:
        handle = layers[layer].register_forward_hook(_stop)
        try:
            victim.forward(x)
        except _Reached as reached:
            return _flat(reached.output, len(x), f"the layer {layer!r}")
        finally:
            handle.remove()
        raise InputError(f"the layer {layer!r} is not run when the model is called; choose one that is")

    return replace(victim, forward=forward, name=f"{victim.name}.{layer}", digest=f"{victim.digest}.{layer}")


class _Reached(Exception):
    """The layer has answered."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _stop(_: nn.Module, __: Any, output: Any) -> None:
    raise _Reached(output)


def _flat(output: Any, count: int, what: str) -> Tensor:
    if not isinstance(output, Tensor) or not output.ndim or len(output) != count:
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise InputError(f"{what} returns {got} for {count} inputs; features must be a tensor with one row an input")
    return output.flatten(1) if output.ndim > 1 else output[:, None]
