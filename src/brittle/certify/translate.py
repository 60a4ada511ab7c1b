"""Which layer of ours each module, function and method of torch is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .bends import MaxPool, Relu, windows_of
from .layers import Affine, Conv, Linear, Positive, Scale, Shape, Sum, reshape

KNOWN = (
    "Linear, Conv2d, BatchNorm, ReLU, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, mean, sums and differences, scaling by constants, "
    "flatten, reshape, slices, zero padding, concatenation, Identity, and dropout in evaluation mode"
)


class Unknown(Exception):
    """Why this use of a known operation is not understood: `with dilation 2`."""


@dataclass(frozen=True, eq=False)
class Call:
    """One traced operation: its node, the nodes among its arguments that depend on the input, and all values for a small batch."""

    node: fx.Node
    live: list[fx.Node]
    values: dict[fx.Node, Any]

    @property
    def x(self) -> Tensor:
        """The first live input."""
        value = self.values[self.live[0]]
        assert isinstance(value, Tensor)
        return value

    @property
    def y(self) -> Tensor:
        value = self.values[self.node]
        assert isinstance(value, Tensor)
        return value

    @property
    def source(self) -> Shape:
        return tuple(self.x.shape[1:])

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """A positional or named argument, with constants in place of the nodes that hold them."""
        value = self.node.args[place] if place < len(self.node.args) else self.node.kwargs.get(name, default)
        return fx.node.map_arg(value, lambda n: self.values[n])

    def again(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`function` with this call's arguments and other live inputs."""
        arguments, named, values, live = self.node.args, self.node.kwargs, self.values, self.live

        def run(*inputs: Tensor) -> Tensor:
            given = dict(zip(live, inputs, strict=True))
            look = lambda n: given[n] if n in given else values[n]  # noqa: E731
            return function(*fx.node.map_arg(arguments, look), **fx.node.map_arg(named, look))

        return run

    def alone(self) -> None:
        if len(self.live) != 1 or self.node.args[:1] != (self.live[0],):
            raise Unknown("of two values that depend on the input")


def _double(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, device=like.device).detach().double()


def _bias(bias: Tensor | None, weight: Tensor) -> Tensor:
    return weight.new_zeros(weight.shape[0], dtype=torch.float64) if bias is None else bias.detach().double()


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[-1])) if isinstance(value, tuple | list) else (int(value), int(value))


def _linear(weight: Tensor, bias: Tensor | None, call: Call) -> Affine:
    if len(call.source) != 1:
        raise Unknown(f"on inputs of shape {call.source}")
    return Linear(weight.detach().double(), _bias(bias, weight))


def _conv(
    weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int, call: Call
) -> Affine:
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):
        twice = [_pair(dilation)[axis] * (weight.shape[2 + axis] - 1) for axis in (0, 1)]
        if any(size % 2 for size in twice):
            raise Unknown(f"with padding={padding!r} and a kernel of even size")
        padding = tuple(size // 2 for size in twice)
    return Conv(
        weight.detach().double(),
        _bias(bias, weight),
        _pair(stride),
        _pair(padding),
        _pair(dilation),
        groups,
        call.source,
    )


def _conv_module(module: nn.Conv2d, call: Call) -> Affine:
    if module.padding_mode != "zeros":
        raise Unknown(f"with padding_mode={module.padding_mode!r}")
    return _conv(module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups, call)


def _conv_function(call: Call) -> Affine:
    call.alone()
    stride, padding, dilation = (
        call.argument(3 + i, name, default)
        for i, (name, default) in enumerate((("stride", 1), ("padding", 0), ("dilation", 1)))
    )
    weight, bias, groups = call.argument(1, "weight"), call.argument(2, "bias"), call.argument(6, "groups", 1)
    return _conv(weight, bias, stride, padding, dilation, groups, call)


def _linear_function(call: Call) -> Affine:
    call.alone()
    return _linear(call.argument(1, "weight"), call.argument(2, "bias"), call)


def _norm(mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, call: Call) -> Affine:
    scale = (var.detach().double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.detach().double()
    centre, extra = mean.detach().double() * scale, _bias(bias, mean)
    wide = (-1, *(1,) * (len(call.source) - 1))
    shape = [part.view(wide).expand(call.source) for part in (scale, extra - centre, extra.abs() + centre.abs())]
    return Scale(*shape)


def _norm_module(module: nn.modules.batchnorm._BatchNorm, call: Call) -> Affine:
    if module.running_mean is None or module.running_var is None:
        raise Unknown("without running statistics, where samples of a batch depend on each other")
    return _norm(module.running_mean, module.running_var, module.weight, module.bias, module.eps, call)


def _norm_function(call: Call) -> Affine:
    if call.argument(5, "training", False):
        raise Unknown("in training mode")
    mean, var = call.argument(1, "running_mean"), call.argument(2, "running_var")
    return _norm(mean, var, call.argument(3, "weight"), call.argument(4, "bias"), call.argument(7, "eps", 1e-5), call)


def _relu(call: Call) -> Relu:
    return Relu()


def _max_pool(kernel: Any, stride: Any, padding: Any, plain: bool, call: Call) -> MaxPool:
    if not plain or len(call.source) != 3:
        raise Unknown("with dilation, ceil_mode or return_indices")
    windows = windows_of(call.source, _pair(kernel), _pair(kernel if stride is None else stride), _pair(padding))
    return MaxPool(windows.to(call.x.device), call.source, tuple(call.y.shape[1:]))


def _max_pool_module(module: nn.MaxPool2d, call: Call) -> MaxPool:
    plain = _pair(module.dilation) == (1, 1) and not module.ceil_mode and not module.return_indices
    return _max_pool(module.kernel_size, module.stride, module.padding, plain, call)


def _max_pool_function(call: Call) -> MaxPool:
    plain = _pair(call.argument(4, "dilation", 1)) == (1, 1)
    plain = plain and not call.argument(5, "ceil_mode", False) and not call.argument(6, "return_indices", False)
    kernel, stride, padding = (call.argument(i, n) for i, n in ((1, "kernel_size"), (2, "stride"), (3, "padding")))
    return _max_pool(kernel, stride, padding or 0, plain, call)


def _average(function: Callable[..., Tensor], call: Call) -> Affine:
    """Averages over places add up at most one sample's values."""
    places = max(1, call.x[0].numel() // max(call.source[0], 1)) if len(call.source) == 3 else call.x[0].numel()
    return Positive(function, (call.source,), places + 2)


def _average_module(module: nn.Module, call: Call) -> Affine:
    if getattr(module, "divisor_override", None) is not None:
        raise Unknown("with divisor_override")
    return _average(module, call)


def _mean(call: Call) -> Affine:
    axes = call.argument(1, "dim")
    if axes is None or any(axis % call.x.ndim == 0 for axis in (axes if isinstance(axes, tuple | list) else (axes,))):
        raise Unknown("over the batch")
    function = torch.mean if call.node.op == "call_method" else call.node.target
    return Positive(call.again(function), (call.source,), call.x[0].numel() + 2)  # type: ignore[arg-type]


def _average_function(call: Call) -> Affine:
    if call.argument(6, "divisor_override") is not None:
        raise Unknown("with divisor_override")
    return _average(call.again(call.node.target), call)  # type: ignore[arg-type]


def _copies(call: Call) -> Affine:
    """A slice, a permutation, a concatenation: every output is one of the inputs, or zero."""
    function = call.node.target if callable(call.node.target) else getattr(torch.Tensor, str(call.node.target))
    sources = tuple(tuple(call.values[n].shape[1:]) for n in call.live)
    return Positive(call.again(function), sources, 0)


def _index(call: Call) -> Affine:
    index = call.argument(1, "index")
    parts = index if isinstance(index, tuple) else (index,)
    if parts[0] != slice(None) or not all(
        part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts
    ):
        raise Unknown("with a tensor as index, or along the batch")
    return _copies(call)


def _pad(call: Call) -> Affine:
    if call.argument(2, "mode", "constant") != "constant" or call.argument(3, "value"):
        raise Unknown("with anything but zeros")
    return _copies(call)


def _shape(call: Call) -> Affine:
    return reshape(call.source, tuple(call.y.shape[1:]))


def _shape_module(module: nn.Module, call: Call) -> Affine:
    return _shape(call)


def _same(call: Call) -> None:
    return None


def _dropout_function(call: Call) -> None:
    if call.argument(2, "training", True) and call.argument(1, "p", 0.5):
        raise Unknown("in training mode")


def _add(call: Call) -> Affine | None:
    return _sum(call, 1)


def _subtract(call: Call) -> Affine | None:
    return _sum(call, -1)


def _sum(call: Call, sign: int) -> Affine:
    if call.node.kwargs.get("alpha", 1) != 1:
        raise Unknown("with alpha")
    first, second = call.node.args[0], call.node.args[1]
    if first in call.live and second in call.live:
        if first is second or call.values[first].shape != call.values[second].shape:  # type: ignore[index]
            raise Unknown("of a value with itself, or of two shapes")
        return Sum((1, sign))
    constant = _constant(call, call.argument(1 if first in call.live else 0, "other"))
    one = torch.ones_like(constant)
    if first in call.live:
        return Scale(one, sign * constant, constant.abs())
    return Scale(sign * one, constant, constant.abs())


def _multiply(call: Call) -> Affine:
    first = call.node.args[0]
    if len(call.live) > 1 or first is call.node.args[1]:
        raise Unknown("of two values that depend on the input")
    constant = _constant(call, call.argument(1 if first in call.live else 0, "other"))
    return Scale(constant, torch.zeros_like(constant), torch.zeros_like(constant))


def _divide(call: Call) -> Affine:
    if len(call.live) > 1 or call.node.args[0] not in call.live or call.node.kwargs.get("rounding_mode"):
        raise Unknown("by a value that depends on the input, or with rounding")
    constant = 1 / _constant(call, call.argument(1, "other"))
    return Scale(constant, torch.zeros_like(constant), torch.zeros_like(constant))


def _negate(call: Call) -> Affine:
    one = torch.ones(call.source, dtype=torch.float64, device=call.x.device)
    return Scale(-one, 0 * one, 0 * one)


def _constant(call: Call, value: Any) -> Tensor:
    """As large as one sample's value."""
    constant = _double(value, call.x)
    if call.y.shape != call.x.shape or (constant.ndim == call.x.ndim and len(constant) != 1):
        raise Unknown("with a constant that is larger than a sample's value")
    return constant.expand(1, *call.source)[0]


MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Linear: lambda m, call: _linear(m.weight, m.bias, call),
    nn.Conv2d: _conv_module,
    nn.BatchNorm1d: _norm_module,
    nn.BatchNorm2d: _norm_module,
    nn.ReLU: lambda m, call: Relu(),
    nn.MaxPool2d: _max_pool_module,
    nn.AvgPool2d: _average_module,
    nn.AdaptiveAvgPool2d: _average_module,
    nn.Flatten: _shape_module,
    nn.Unflatten: _shape_module,
    nn.ZeroPad2d: lambda m, call: Positive(m, (call.source,), 0),
    nn.Identity: lambda m, call: None,
    nn.Dropout: lambda m, call: None,
    nn.Dropout2d: lambda m, call: None,
}
FUNCTIONS: dict[Any, Callable[[Call], Any]] = {
    F.linear: _linear_function,
    F.conv2d: _conv_function,
    torch.conv2d: _conv_function,
    F.batch_norm: _norm_function,
    F.relu: _relu,
    torch.relu: _relu,
    F.max_pool2d: _max_pool_function,
    F.avg_pool2d: _average_function,
    F.adaptive_avg_pool2d: _average_function,
    torch.mean: _mean,
    torch.flatten: _shape,
    torch.reshape: _shape,
    torch.squeeze: _shape,
    torch.unsqueeze: _shape,
    F.pad: _pad,
    torch.cat: _copies,
    operator.getitem: _index,
    F.dropout: _dropout_function,
    F.dropout2d: _dropout_function,
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    operator.sub: _subtract,
    torch.sub: _subtract,
    operator.mul: _multiply,
    torch.mul: _multiply,
    operator.truediv: _divide,
    torch.div: _divide,
    operator.neg: _negate,
    torch.neg: _negate,
}
METHODS: dict[str, Callable[[Call], Any]] = {
    "relu": _relu,
    "relu_": _relu,
    "mean": _mean,
    "flatten": _shape,
    "reshape": _shape,
    "view": _shape,
    "squeeze": _shape,
    "unsqueeze": _shape,
    "contiguous": _same,
    "clone": _same,
    "add": _add,
    "add_": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "neg": _negate,
}
