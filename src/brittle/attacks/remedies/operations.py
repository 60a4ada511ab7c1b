"""Straight through operations that have no useful derivative, wherever torch computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...core.victim import Victim
from ..parts.options import positive
from .graft import graft

Operation = Callable[..., Any]

STAIRS = {"round", "floor", "ceil", "trunc", "fix"}  # identity
REMAINDERS = {"frac", "fmod", "remainder"}  # x minus a stair: no gradient
STEPS = {"sign", "sgn", "heaviside"}  # a smooth step
COMPARISONS = {"gt": 1, "ge": 1, "greater": 1, "greater_equal": 1, "lt": -1, "le": -1, "less": -1, "less_equal": -1}
CASTS = {"float", "double", "half", "bfloat16", "to", "type", "type_as", "int", "long", "short", "byte", "bool", "char"}
ARITHMETIC = {
    "mul",
    "add",
    "sub",
    "div",
    "true_divide",
    "rsub",
    "truediv",
    "rtruediv",
    "multiply",
    "subtract",
    "divide",
}
NOT = {"invert", "logical_not", "bitwise_not"}
CHOICES = {"where", "masked_fill"}
SCATTERS = {"scatter", "scatter_"}
OUTWARD = {"numpy", "tolist", "array", "item"}  # leave torch: the gradient ends here


@dataclass(frozen=True, kw_only=True)
class StraightThrough:
    """The victim's own values, to the bit, and in the backward pass a stand-in for operations that have no useful derivative.

    Backward pass differentiable approximation: Athalye, Carlini and Wagner, ICML 2018, arXiv:1802.00420, section 4.1.1. The identity stands
    in for round, floor, ceil, trunc and whole-number division, for casts to whole numbers and back, for `detach` and `no_grad`. A step of
    `width` stands in for sign, heaviside and comparisons that are cast to floats, multiplied with or chosen by: its slope is
    1 / (1 + |x| / width)^2 / width, which never vanishes (Zenke and Ganguli 2018, arXiv:1705.11146). So it does for a mask of the largest,
    made by `scatter` at the indices of `topk`: a comparison with the least of them. Works on a module or a callable,
    whatever it calls of torch; what leaves torch (numpy), custom autograd functions, `inference_mode` and compiled modules are StandIn's,
    by the name of their layer.
    """

    width: float = 1.0

    paper: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420"

    def __post_init__(self) -> None:
        positive(self, "width")

    def __call__(self, victim: Victim) -> Victim:
        def forward(x: Tensor) -> Tensor:
            if not (torch.is_grad_enabled() and x.requires_grad):
                return victim(x)
            with _Straight(self.width):
                return victim(x.clone())  # a leaf would refuse operations in place

        return replace(victim, forward=forward)


@dataclass(eq=False)
class _Straight(TorchFunctionMode):
    """While it is on. `ghosts`: for a result of whole numbers or truth values, by its id, itself and the floats whose gradient it has.

    leads: for the indices of a topk, by their id, the topk, its input, and by how much each number is among the chosen.
    """

    width: float
    ghosts: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    leads: dict[int, tuple[Any, Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Operation, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, full = kwargs or {}, name_of(func)
        name = full.rstrip("_")
        if full == "set_grad_enabled" and args and args[0] is False:
            return None  # no_grad, and the end of an enable_grad inside it
        first = args[0] if args else kwargs.get("input")
        if "out" in kwargs:
            return func(*args, **kwargs)
        if any(id(arg) in self.ghosts for arg in args) and name in ARITHMETIC | NOT:
            return self._arithmetic(func, full, args, kwargs)
        if name in CHOICES and any(id(arg) in self.ghosts for arg in args):
            return self._choice(func, full, args, kwargs)
        if not isinstance(first, Tensor):
            return func(*args, **kwargs)
        if full in SCATTERS and len(args) > 2 and id(args[2]) in self.leads:
            return self._scatter(func, full, args, kwargs)
        if name in CASTS:
            return self._cast(first, func(*args, **kwargs))
        if not (first.requires_grad and first.is_floating_point()):
            return func(*args, **kwargs)
        if name in ("detach", "data"):
            return first if full == "detach_" else first.view_as(first)
        if name in OUTWARD:
            return func(first.detach(), *args[1:], **kwargs)
        if name == "topk":
            return self._topk(func, first, args, kwargs)
        if name in COMPARISONS:
            return self._compare(func, first, args, kwargs, COMPARISONS[name])
        stand_in = self._stand_in(name, first, args, kwargs)
        if stand_in is None:
            return func(*args, **kwargs)
        if not full.endswith("_"):
            return graft(func(*args, **kwargs), stand_in)
        value = func(first.detach().clone(), *args[1:], **kwargs)
        return first.copy_(graft(value, stand_in))

    def _stand_in(self, name: str, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """What the operation on x is differentiated as; None: as it is."""
        if name in STAIRS:
            return x.clone()
        if name in REMAINDERS:
            return 0 * x
        if name in STEPS:
            return _step(x, self.width) * (0.5 if name == "heaviside" else 1.0)
        if name in ("floordiv", "floor_divide", "div", "divide"):
            return torch.true_divide(x, args[1] if len(args) > 1 else kwargs["other"])
        return None

    def _compare(self, func: Operation, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any], sign: int) -> Any:
        """A comparison, and as its ghost a step of half the height at the difference."""
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            difference = x - (args[1] if len(args) > 1 else kwargs["other"])
            self.ghosts[id(result)] = (result, _step(difference, self.width) * (0.5 * sign))
        return result

    def _cast(self, x: Tensor, result: Any) -> Any:
        """The gradient follows a cast to whole numbers and back."""
        if not isinstance(result, Tensor) or result is x:
            return result
        ghost = self.ghosts[id(x)][1] if id(x) in self.ghosts else None
        if ghost is None and x.is_floating_point() and x.requires_grad and not result.requires_grad:
            ghost = x
        if ghost is None:
            return result
        if result.is_floating_point():
            return graft(result, ghost)
        self.ghosts[id(result)] = (result, ghost)
        return result

    def _arithmetic(self, func: Operation, full: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What is calculated with whole numbers and truth values has the gradient of their ghosts."""
        if full.endswith("_"):
            return func(args[0], *self._awake(args[1:], args[0].dtype), **kwargs)
        result = func(*args, **kwargs)
        kind = result.dtype if result.is_floating_point() else torch.get_default_dtype()
        awake = self._awake(args, kind)
        stand_in = -awake[0] if full in NOT else func(*awake, **kwargs)
        if result.is_floating_point():
            return graft(result, stand_in)
        self.ghosts[id(result)] = (result, stand_in)
        return result

    def _choice(self, func: Operation, full: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Of two values by a condition: their own gradients, and what they differ by times that of the condition."""
        if full.endswith("_") or kwargs or len(args) != 3:
            return func(*args, **kwargs)
        result = func(*args)
        ghosted = next(arg for arg in args if id(arg) in self.ghosts)
        yes, no = (
            arg for arg in args if arg is not ghosted
        )  # torch.where(c, a, b), a.where(c, b), a.masked_fill(c, b)
        if full == "masked_fill":
            yes, no = no, yes
        if not result.is_floating_point():
            return result
        gap = torch.as_tensor(yes, dtype=result.dtype, device=result.device) - no
        rise = self.ghosts[id(ghosted)][1] * gap.detach().nan_to_num(0.0, 0.0, 0.0)
        return graft(result, result + rise)

    def _topk(self, func: Operation, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The largest (or smallest), remembered for what is scattered to where they are."""
        found = func(*args, **kwargs)
        options = dict(zip(("k", "dim", "largest"), args[1:], strict=False)) | kwargs
        dim, largest = options.get("dim", -1), options.get("largest", True)
        lead = x - found.values.amin(dim, True) if largest else found.values.amax(dim, True) - x
        self.leads[id(found.indices)] = (found, x, lead)
        return found

    def _scatter(self, func: Operation, full: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A number, or the largest themselves, put where the largest are: what that changes times a step at the lead."""
        found, x, lead = self.leads[id(args[2])]
        put = args[3] if len(args) > 3 else kwargs.get("value", kwargs.get("src"))
        themselves = put is found.values
        if "reduce" in kwargs or not (themselves or isinstance(put, int | float)):
            return func(*args, **kwargs)
        gap = (x if themselves else put) - args[0].detach()
        value = func(args[0].clone(), *args[1:], **kwargs)
        result = graft(value, value + _step(lead, self.width) * 0.5 * gap.detach())
        return args[0].copy_(result) if full == "scatter_" else result

    def _awake(self, args: tuple[Any, ...], kind: torch.dtype) -> tuple[Any, ...]:
        """Those that have a ghost as floats of this kind."""
        return tuple(graft(arg.to(kind), self.ghosts[id(arg)][1]) if id(arg) in self.ghosts else arg for arg in args)


def _step(x: Tensor, width: float) -> Tensor:
    """From -1 to 1 around zero."""
    return x / (x.abs() + width)


def name_of(func: Operation) -> str:
    """`round`, `round_`, `gt`, `data` for the attribute, `floordiv` for `//`."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        name = getattr(getattr(func, "__self__", None), "__name__", "")
    return name.strip("_") if name.startswith("_") else name
