"""What a model takes beside x: one of each for every sample, selected with the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

Extra = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Context:
    """Further inputs (B, ...), by position or by name; the adversary does not change them."""

    positional: tuple[Tensor, ...] = ()
    named: tuple[tuple[str, Tensor], ...] = ()

    @classmethod
    def of(cls, inputs: Extra, count: int, device: torch.device) -> Context:
        """A tensor is the second argument of the model, a tuple the second and those that follow, a dict arguments by name."""
        positional = (inputs,) if isinstance(inputs, Tensor) else () if isinstance(inputs, Mapping) else tuple(inputs)
        named = tuple(inputs.items()) if isinstance(inputs, Mapping) else ()
        for name, value in (*enumerate(positional), *named):
            if not isinstance(value, Tensor) or value.shape[:1] != (count,):
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise InputError(f"inputs[{name!r}] is {got}; give a tensor with one row for each of {count} samples")
        return cls(
            tuple(value.detach().to(device) for value in positional),
            tuple((name, value.detach().to(device)) for name, value in named),
        )

    def select(self, rows: Tensor | slice) -> Context:
        """Those of some of the rows."""
        return Context(
            tuple(value[rows] for value in self.positional), tuple((name, value[rows]) for name, value in self.named)
        )

    def __len__(self) -> int:
        return len(next(iter((*self.positional, *(value for _, value in self.named))), ()))


@dataclass(frozen=True, eq=False)
class Bound:
    """A model of x and more, as one of x alone (B, *S), for the rows of the context."""

    forward: Callable[..., Any]
    context: Context

    def __call__(self, x: Tensor) -> Any:
        if len(x) != len(self.context):
            raise InputError(
                f"the model is asked about {len(x)} inputs beside {len(self.context)} rows of inputs=; "
                "choose an attack that asks about each sample once a query, such as pgd"
            )
        named = {name: value.clone() for name, value in self.context.named}  # copies, as of x: the model may write
        try:
            return self.forward(x, *(value.clone() for value in self.context.positional), **named)
        except TypeError as error:
            raise InputError(
                f"the model cannot be called with x and inputs= ({error}); give the arguments that its forward takes: a tensor, a tuple in "
                "their order, or a dict by name; ensembles and remedies take x alone"
            ) from error
