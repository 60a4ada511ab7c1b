"""What a model returns, read as logits: which part of it, and whether it is a logit or a probability."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, unknown
from .context import Bound, Context

KINDS = ("logit", "probability")


@dataclass(frozen=True)
class Output:
    """`PART`, `KIND` or `PART:KIND`, as in `logits`, `1`, `probability` or `score:logit`.

    part: a key or an attribute of what the model returns, or an index into it. kind: `logit`, one logit s for two classes, which becomes
    (-s / 2, s / 2); or `probability`, that of class 1, or of all classes as a softmax gives them, which become their logarithms. Where a
    probability has been rounded to 0 or 1 its logarithm is that of the nearest number that is neither, and has no gradient.
    """

    part: str | int | None = None
    kind: str | None = None

    @classmethod
    def parse(cls, text: str | int) -> Output:
        part: str | int | None = text
        kind = None
        if isinstance(text, str):
            before, _, last = text.strip().rpartition(":")
            part, kind = (before or None, last) if last in KINDS else (text.strip(), None)
        if part == "" or not isinstance(part, str | int | None) or isinstance(part, bool):
            raise InputError(
                f"output={text!r} names no part of what the model returns; give a key or an index, as in 'logits' or 1, "
                "'logit' or 'probability', or both, as in 'score:probability'"
            )
        return cls(int(part) if isinstance(part, str) and part.isdecimal() else part, kind)

    def __str__(self) -> str:
        return ":".join(str(one) for one in (self.part, self.kind) if one is not None)

    def __call__(self, returned: Any, count: int) -> Any:
        """The logits (B, C) in what is returned for `count` inputs, where it has them."""
        found = returned if self.part is None else _part(returned, self.part)
        if self.kind is None:
            return found
        if not isinstance(found, Tensor):
            raise InputError(
                f"output={str(self)!r}: that is a {type(found).__name__}; name its part, as in 'logits:{self.kind}'"
            )
        return _of_logit(found, count) if self.kind == "logit" else _of_probability(found, count)


@dataclass(frozen=True, eq=False)
class Reading:
    """A forward whose outputs are read so."""

    forward: Callable[[Tensor], Any]
    output: Output

    def __call__(self, x: Tensor) -> Any:
        return self.output(self.forward(x), len(x))

    def beside(self, context: Context) -> Reading:
        """The same, of a model that takes more than x."""
        return replace(self, forward=Bound(self.forward, context))


def logits_of(returned: Any, count: int) -> Tensor:
    """The tensor that is returned; of what holds several the `.logits`, or the first tensor of a tuple if it is (B, C), and that is said.

    Raises InputError, with the option that helps, for everything else.
    """
    if isinstance(returned, Tensor):
        return returned
    kind, told = type(returned).__name__, getattr(returned, "logits", None)
    if isinstance(told, Tensor):
        return _said(
            told, f"the model returns a {kind}; its .logits are what is attacked; output='logits' says the same"
        )
    if isinstance(returned, tuple | list):
        first = next((i for i, one in enumerate(returned) if isinstance(one, Tensor)), None)
        if first is not None and _rows_of_classes(returned[first], count):
            return _said(
                returned[first],
                f"the model returns a {kind} of {len(returned)}; number {first}, of shape {tuple(returned[first].shape)}, is what is "
                f"attacked; output={first} says the same",
            )
    raise InputError(f"the model returns a {kind}, not a tensor of logits; {_mend(returned, count)}")


def single(outputs: Tensor) -> str:
    """What to do about one output (B,) or (B, 1) for each sample; its values tell a probability from a logit."""
    low, high = float(outputs.min()), float(outputs.max())
    regression = (
        "for a regression, which is not supported yet, brittle.mimic moves the output towards that for another input"
    )
    if low >= 0 and high <= 1:
        return (
            "the model has one output; its values lie in [0, 1], which looks like a sigmoid's probability of class 1: give "
            f"output='probability', or output='logit' if there is no sigmoid; {regression}"
        )
    return (
        f"the model has one output; its values reach from {low:.3g} to {high:.3g}, which looks like a logit s of class 1: give "
        f"output='logit', or return torch.cat([-s / 2, s / 2], dim=1); {regression}"
    )


def _said(logits: Tensor, what: str) -> Tensor:
    warnings.warn(what, stacklevel=4)
    return logits


def _rows_of_classes(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.shape[0] == count and value.shape[1] > 1


def _named(returned: Any) -> dict[str | int, Any]:
    """The parts of what is returned by key or index."""
    if isinstance(returned, Mapping):
        return dict(returned)
    return dict(enumerate(returned)) if isinstance(returned, Sequence) else {}


def _part(returned: Any, part: str | int) -> Any:
    named = {str(key): value for key, value in _named(returned).items()}
    if str(part) in named:
        return named[str(part)]
    if isinstance(part, str) and not isinstance(returned, Tensor) and part in dir(returned):
        return getattr(returned, part)
    if isinstance(returned, Tensor):
        raise InputError(
            f"output={part!r}: the model returns one tensor, of shape {tuple(returned.shape)}; leave output= away"
        )
    raise unknown(f"part of the model's {type(returned).__name__}", str(part), named)


def _mend(returned: Any, count: int) -> str:
    items = returned if isinstance(returned, list | tuple) else [returned]
    if any(isinstance(one, Mapping) and "boxes" in one for one in items):
        return (
            "it looks like an object detector (boxes and scores), which is not supported yet; give brittle.mimic the part of it that "
            "computes features, such as model.backbone, or give a callable that returns one row of class scores an image"
        )
    if isinstance(returned, np.ndarray):
        return "give torch.from_numpy of it, and attacks that need no gradient"
    named = _named(returned)
    fitting = [key for key, one in named.items() if _rows_of_classes(one, count)]
    if fitting:
        return f"say which part is the logits: output={fitting[0]!r}, or wrap it as lambda x: model(x)[{fitting[0]!r}]"
    alone = [key for key, one in named.items() if isinstance(one, Tensor) and one.shape in ((count,), (count, 1))]
    if alone:
        return f"say which part is the output of two classes: output='{alone[0]}:logit', or output='{alone[0]}:probability'"
    places = [key for key, one in named.items() if isinstance(one, Tensor) and one.ndim > 2 and one.shape[0] == count]
    if places:
        return (
            f"{places[0]!r} of shape {tuple(named[places[0]].shape)} looks like logits for each position of a sample (segmentation), which "
            f"is not supported yet; attack one position, with the model as lambda x: model(x)[{places[0]!r}][:, :, i, j]"
        )
    shapes = [f"{key!r} {tuple(one.shape)}" for key, one in named.items() if isinstance(one, Tensor)]
    held = f"it holds {', '.join(shapes)}, and " if shapes else ""
    return f"{held}a classifier gives one row of logits an input, ({count}, classes): give a callable that returns them"


def _column(value: Tensor, count: int, kind: str) -> Tensor:
    """(B,) of one output a sample."""
    if value.shape not in ((count,), (count, 1)):
        raise InputError(
            f"output={kind!r} is for one output a sample, this has shape {tuple(value.shape)}; leave it away"
        )
    return value.reshape(count)


def _of_logit(value: Tensor, count: int) -> Tensor:
    half = _column(value, count, "logit") / 2
    return torch.stack([-half, half], 1)


def _of_probability(value: Tensor, count: int) -> Tensor:
    if value.numel() and not bool(((value >= 0) & (value <= 1)).all()):
        low, high = float(value.min()), float(value.max())
        mend = (
            "give output='logit'"
            if value.shape in ((count,), (count, 1))
            else "leave output= away: they look like logits"
        )
        raise InputError(f"output='probability', and the model returns values from {low:.3g} to {high:.3g}; {mend}")
    limits = torch.finfo(value.dtype)
    if _rows_of_classes(value, count):
        return value.clamp_min(limits.tiny).log()
    p = _column(value, count, "probability").clamp(limits.tiny, 1 - limits.eps / 2)
    half = (p.log() - (-p).log1p()) / 2
    return torch.stack([-half, half], 1)
