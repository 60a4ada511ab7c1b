"""Lower bounds of linear functions of a network's values over a neighbourhood: intervals forwards, lines backwards.

Zhang et al., NeurIPS 2018, arXiv:1811.00866 (CROWN); Xu et al., NeurIPS 2020, arXiv:2002.12920 (on any graph).

Rounding. A value here is the number that the machine computes, not the exact one: y = W x + b + e with |e| <= g (|W| |x| + |b|) and
g = k u / (1 - k u), for k terms added in any order and u the unit roundoff of the network's own arithmetic (Higham 2002, section 3.1).
Every affine layer is charged with e, forwards and backwards, so a bound holds for the network as it runs. Convolutions that multiply less
by adding more (Winograd, FFT) are not of this form, and not covered. The bounds themselves are computed in float64, whose rounding has the
same form with 2^-53; u is never taken below 2^-32, and 1 % is added, which covers it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import patches
from .bends import Bend, Lines, Relu, ReluLines
from .layers import Affine, Conv, Linear, Positive, Scale, Shape, Sum
from .neighbourhood import DUAL, Neighbourhood
from .network import Network, Node
from .patches import Patches

Rows = Tensor | Patches
ELEMENTS = 1 << 21  # of the largest tensor that is made on the way; 16 MiB


@dataclass(eq=False)
class Bounds:
    """Limits (B, *S) of every value of a network over a neighbourhood, and what follows from them; built forwards, node by node."""

    network: Network
    around: Neighbourhood
    unit: float
    low: list[Tensor] = field(default_factory=list)
    high: list[Tensor] = field(default_factory=list)
    rounding: list[Tensor | None] = field(default_factory=list)
    lines: dict[int, Lines] = field(default_factory=dict)

    def limits(self, node: int) -> tuple[Tensor, Tensor]:
        return self.low[node], self.high[node]

    def append(self, limits: tuple[Tensor, Tensor], rounding: Tensor | None = None) -> None:
        self.low.append(limits[0])
        self.high.append(limits[1])
        self.rounding.append(rounding)

    def tighten(self, node: int, low: Tensor, high: Tensor) -> None:
        self.low[node] = torch.maximum(self.low[node], low)
        self.high[node] = torch.minimum(self.high[node], high)


def intervals(network: Network, around: Neighbourhood, unit: float, refined: int | None = 0) -> Bounds:
    """Limits of every value: by intervals, and before each bend by lines for at most `refined` values a sample, the loosest first
    (None: all of them)."""
    bounds = Bounds(network, around, max(unit, 2.0**-32))
    sway = {0: (around.radius, around.x)}  # how far from where a value moves in the threat's norm, while that is known
    for number, node in enumerate(network.nodes):
        if node.layer is None:
            bounds.append((around.low, around.high))
        elif isinstance(node.layer, Bend):
            (source,) = node.inputs
            if refined != 0 and network.mixes(source, around.norm):
                _refine(bounds, source, node.layer, refined)
            bounds.lines[number] = node.layer.lines(*bounds.limits(source))
            bounds.append(node.layer.interval(*bounds.limits(source)))
        else:
            low, high = node.layer.interval(*(bounds.limits(i) for i in node.inputs))
            error = _rounding(bounds, node.layer, node.inputs)
            bounds.append((low, high) if error is None else (low - error, high + error), error)
            _sway(bounds, number, sway)
    return bounds


def lower_bounds(
    bounds: Bounds,
    rows: Rows,
    own: Tensor | slice,
    start: int,
    straight: bool = True,
    slopes: dict[int, Tensor] | None = None,
) -> Tensor:
    """(R,) lower bounds of rows (R, *S) . the values of node `start`, over each row's own neighbourhood.

    Goes back to the input, or, not `straight`, to the nearest bends, whose limits stand for them. `slopes`: lower slopes of ReLUs (R, *S).
    """
    coefficients: dict[int, Rows] = {start: rows}
    total = bounds.low[start].new_zeros(len(rows.values) if isinstance(rows, Patches) else len(rows))
    for number in range(start, -1, -1):
        if number not in coefficients:
            continue
        row, node = coefficients.pop(number), bounds.network.nodes[number]
        if isinstance(row, Patches) and not _stays_local(row, node):
            row = row.whole(node.shape)
        if node.layer is None:
            return total + bounds.around.least(row, own)
        if isinstance(node.layer, Bend) and not straight:
            assert isinstance(row, Tensor)
            down = row.clamp(max=0)
            total = total + _dot(row - down, bounds.low[number], own) + _dot(down, bounds.high[number], own)
            continue
        pull = _pull_patches if isinstance(row, Patches) else _pull_whole
        backs, constant = pull(bounds, number, row, own, slopes)  # type: ignore[arg-type]
        total = total + constant
        for source, back in zip(node.inputs, backs, strict=True):
            here = coefficients.get(source)
            coefficients[source] = back if here is None else _plus(here, back, bounds.network.nodes[source].shape)
    return total


Pulled = tuple[tuple[Rows, ...], Tensor | float]


def _pull_whole(
    bounds: Bounds, number: int, row: Tensor, own: Tensor | slice, slopes: dict[int, Tensor] | None
) -> Pulled:
    """Coefficients of the node's inputs, and the constant that falls off on the way."""
    layer, error = bounds.network.nodes[number].layer, bounds.rounding[number]
    if isinstance(layer, Bend):
        back, constant = bounds.lines[number].pull(row, own, None if slopes is None else slopes.get(number))
        return (back,), constant
    assert layer is not None
    return layer.pull(row), layer.offset(row) - (0.0 if error is None else _dot(row.abs(), error, own))


def _pull_patches(bounds: Bounds, number: int, row: Patches, own: Tensor | slice, slopes: object) -> Pulled:
    layer, error, lines = bounds.network.nodes[number].layer, bounds.rounding[number], bounds.lines.get(number)
    if isinstance(lines, ReluLines):
        back, constant = patches.pull_relu(lines, row, own)
        return (back,), constant
    assert isinstance(layer, Conv | Scale | Sum)
    assert error is not None
    return patches.pull(layer, row), patches.offset(layer, row) - row.like(row.values.abs()).dot(error, own)


def _stays_local(rows: Patches, node: Node) -> bool:
    """Whether a patch is understood by the layer, and still smaller than the whole map."""
    local = node.layer is None or isinstance(node.layer, Conv | Scale | Sum | Relu)
    return local and 4 * rows.size[0] * rows.size[1] <= 3 * node.shape[1] * node.shape[2]


def _plus(one: Rows, other: Rows, shape: Shape) -> Rows:
    if isinstance(one, Patches) and isinstance(other, Patches):
        return one + other
    return sum(
        (p.whole(shape) if isinstance(p, Patches) else p for p in (one, other)), torch.zeros((), dtype=torch.float64)
    )


def _dot(rows: Tensor, values: Tensor, own: Tensor | slice) -> Tensor:
    """(R,) of rows (R, *S) with the values (B, *S) of their samples."""
    rows, values = rows.flatten(1), values[own].flatten(1)
    return rows @ values[0] if len(values) == 1 else torch.linalg.vecdot(rows, values)


def _rounding(bounds: Bounds, layer: Affine, inputs: tuple[int, ...]) -> Tensor | None:
    """(B, *S) how far the machine's value of an affine node may lie from the exact one; None where it only copies."""
    if layer.terms == 0:
        return None
    share = layer.terms * bounds.unit
    sizes = (torch.maximum(bounds.low[i].abs(), bounds.high[i].abs()) for i in inputs)
    tiny = torch.finfo(torch.float32).tiny  # what an underflow may lose
    return (layer.magnitude(*sizes) + layer.terms * tiny) * (1.01 * share / (1 - share))


def _sway(bounds: Bounds, number: int, sway: dict[int, tuple[Tensor, Tensor]]) -> None:
    """In L2 and L1 the box around a ball is far larger than it; the first layer knows better, by its weights' dual norms."""
    node = bounds.network.nodes[number]
    if bounds.around.norm == "linf" or len(node.inputs) > 1 or node.inputs[0] not in sway:
        return
    radius, at = sway[node.inputs[0]]
    layer = node.layer
    assert layer is not None
    assert not isinstance(layer, Bend)
    moved = layer.interval((at, at))[0]
    if isinstance(layer, Scale):
        sway[number] = radius * layer.scale.abs().max(), moved
    elif isinstance(layer, Positive) and layer.terms == 0:
        sway[number] = radius, moved
    elif isinstance(layer, Linear | Conv):
        gain = layer.gain(DUAL[bounds.around.norm])
        error = bounds.rounding[number]
        assert error is not None
        half = radius.view(-1, *(1,) * gain.ndim) * gain + error
        bounds.tighten(number, moved - half, moved + half)


def _refine(bounds: Bounds, node: int, bend: Bend, most: int | None) -> None:
    """Lines back from node's values, as many as `most` a sample, where the bend that follows has something to gain."""
    low, high = bounds.limits(node)
    shape = tuple(low.shape[1:])
    loose = bend.unsettled(low, high).flatten(1)
    wanted = loose > 0
    if most is not None and most < loose.shape[1]:
        first = torch.zeros_like(wanted).scatter_(1, loose.argsort(dim=1, descending=True, stable=True)[:, :most], True)
        wanted &= first
    samples, places = wanted.nonzero(as_tuple=True)
    block = max(ELEMENTS // bounds.network.widest, 1)
    flat_low, flat_high = low.flatten(1).clone(), high.flatten(1).clone()
    for begin in range(0, len(samples), block):
        own, at = samples[begin : begin + block], places[begin : begin + block]
        up, down = (_one_hot(at, shape, sign) for sign in (1.0, -1.0))
        flat_low[own, at] = torch.maximum(flat_low[own, at], lower_bounds(bounds, up, narrow(own), node))
        flat_high[own, at] = torch.minimum(flat_high[own, at], -lower_bounds(bounds, down, narrow(own), node))
    bounds.tighten(node, flat_low.view_as(low), flat_high.view_as(high))


def _one_hot(at: Tensor, shape: Shape, sign: float) -> Rows:
    if len(shape) == 3:
        return patches.one_hot(at, shape, sign)
    size = torch.Size(shape).numel()
    return (torch.nn.functional.one_hot(at, size).double() * sign).view(-1, *shape)


def narrow(own: Tensor) -> Tensor | slice:
    """Rows of one sample alone need no copies of what belongs to it."""
    first = int(own[0])
    return slice(first, first + 1) if first == int(own[-1]) else own
