"""Remedies at the outputs: probabilities, saturation and underflow, where float32 has no gradient left to give."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...core.victim import Victim
from ...errors import InputError
from ..parts.options import positive
from .graft import graft

SPREAD = 5.0  # of the outputs: a cross-entropy that looks at the nearest classes, and is far from saturation
ROOM = 0.8  # of the exponents of the type: by a smaller number nothing is divided, its reciprocal would overflow on the way back
SOFTMAX = {"softmax", "log_softmax", "special_softmax", "special_log_softmax"}


@dataclass(frozen=True, kw_only=True)
class Logarithm:
    """Outputs that are probabilities become their logarithms, which are logits; log-odds and decisions stay.

    A probability below `least` counts as `least`, None: the smallest normal number of its type, and passes its gradient as if it were
    not cut off. Where the victim's own type has rounded to zero, nothing comes back: BeforeSoftmax or DoublePrecision goes before.
    Carlini and Wagner, S&P 2017, arXiv:1608.04644, section VIII: a loss of the softmax saturates, one of the logits does not.
    """

    least: float | None = None

    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __post_init__(self) -> None:
        positive(self, "least")

    def __call__(self, victim: Victim) -> Victim:
        def forward(x: Tensor) -> Tensor:
            probabilities = victim(x)
            least = self.least or torch.finfo(probabilities.dtype).tiny
            cut = probabilities.detach().clamp_min(least)
            return graft(cut.log(), probabilities / cut)

        return replace(victim, forward=forward)


@dataclass(frozen=True, kw_only=True)
class BeforeSoftmax:
    """What went into the softmax whose result the victim returns: the same order of classes, without saturation.

    The softmax, or log-softmax, is found by watching torch's functions at each question, so that it may be a layer, a function or a method,
    in a module or a plain callable. InputError where the outputs are not what one of them returned: a softmax written out, a compiled
    module, an average of several; Logarithm is for those. Carlini and Wagner, S&P 2017, arXiv:1608.04644, section VIII.
    """

    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __call__(self, victim: Victim) -> Victim:
        def forward(x: Tensor) -> Tensor:
            watch = _Watch()
            with watch:
                outputs = victim(x)
            for logits, result in reversed(watch.seen):
                if result is outputs or (result.shape == outputs.shape and torch.equal(result, outputs)):
                    return logits
            raise InputError(
                "no softmax of torch gives what the model returns, so there is nothing before it; use logarithm, or return the logits"
            )

        return replace(victim, forward=forward)


class _Watch(TorchFunctionMode):
    """Keeps what went into each softmax and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []  # logits, result

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") in SOFTMAX and isinstance(result, Tensor):
            self.seen.append((args[0] if args else kwargs["input"], result))
        return result


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Outputs divided by `scale`, so that losses of the softmax neither saturate nor underflow; None: spread to 5 at each point.

    The spread of a point is the standard deviation of its outputs over the classes, a constant for the gradient: the loss is then the
    cross-entropy at the temperature that suits the point, in the spirit of the DLR loss of Croce and Hein, ICML 2020, arXiv:2003.01690,
    which has no scale either. Decisions stay; confidences do not, so that a goal with a confidence is measured otherwise than judged.
    """

    scale: float | None = None

    paper: ClassVar[str] = "Croce and Hein 2020, arXiv:2003.01690"

    def __post_init__(self) -> None:
        positive(self, "scale")

    @classmethod
    def measured(cls, victim: Victim, x: Tensor) -> Rescale:
        """One scale for all, which spreads the median sample of x (B, *S) to 5; 1 forward, uncharged."""
        with torch.no_grad():
            spread = float(_spread(victim(x).double()).median())
        if not 0 < spread < float("inf"):
            raise InputError(f"the outputs spread by {spread:g} at the samples; nothing can be rescaled by that")
        return cls(scale=spread / SPREAD)

    def __call__(self, victim: Victim) -> Victim:
        def forward(x: Tensor) -> Tensor:
            outputs = victim(x)
            if self.scale is not None:
                return outputs / self.scale
            scale = _spread(outputs.detach())[:, None] / SPREAD
            return outputs / scale.clamp_min(torch.finfo(outputs.dtype).tiny ** ROOM)

        return replace(victim, forward=forward)


def _spread(outputs: Tensor) -> Tensor:
    """(B,): standard deviation over the classes; taken of numbers of size one, because squares underflow and overflow."""
    largest = outputs.abs().amax(1, keepdim=True)
    unit = outputs / torch.where(largest > 0, largest, 1)
    return unit.std(1, correction=0) * largest.squeeze(1)


@dataclass(frozen=True, kw_only=True)
class DoublePrecision:
    """The victim in float64, with a copy of its weights: what rounded to 0 or 1 in float32 has a gradient again.

    It helps where the saturation is inside the victim: a softmax before the last operation, or a sigmoid or tanh driven to its end, from
    gaps of about 17 or 100 in float32 to 37 or 700 in float64. Logits that are merely large are Rescale's, which is cheaper. Decisions stay
    but for rounding. Needs a module of float32; costs about two forwards of it a question, charged as one.
    """

    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1608.04644"

    def __call__(self, victim: Victim) -> Victim:
        if victim.module is None:
            raise InputError("double-precision copies weights, and the model is a plain callable; give an nn.Module")
        if victim.dtype != torch.float32:
            raise InputError(f"double-precision is for weights of float32, these are {victim.dtype}; leave it out")
        doubles = _doubles(victim.module)

        def forward(x: Tensor) -> Tensor:
            with _in_place(doubles):
                return victim(x.double())

        return replace(victim, forward=forward)


Slots = list[tuple[dict[str, Tensor | None], str, Tensor]]  # where a weight is kept, its name there, and its copy


def _doubles(module: nn.Module) -> Slots:
    copies: dict[int, Tensor] = {}
    slots: Slots = []
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            for name, value in table.items():
                if value is not None and value.is_floating_point():
                    copy = copies.setdefault(id(value), value.detach().double())
                    slots.append((table, name, copy))  # type: ignore[arg-type]
    return slots


@contextlib.contextmanager
def _in_place(slots: Slots) -> Iterator[None]:
    """Put copies where the module keeps its weights, and the weights back afterwards, whatever happens."""
    kept = [table[name] for table, name, _ in slots]
    try:
        for table, name, copy in slots:
            table[name] = copy
        yield
    finally:
        for (table, name, _), value in zip(slots, kept, strict=True):
            table[name] = value
