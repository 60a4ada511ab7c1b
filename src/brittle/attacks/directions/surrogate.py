"""The surrogate itself run another way: less through residual branches, ReLUs that are straight on the way back, ghosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from ...core.oracle import Run
from ...core.streams import Streams
from ...errors import InputError
from ...kernels.shapes import wide
from ..parts.options import between
from ..remedies.operations import name_of
from .graph import Paths, carried, halfway, joins, operands_of, operations, paths_to, trunk
from .layers import Layer, find
from .role import Gradient, Place, Scene

SUM, CONCATENATION = "AddBackward", "CatBackward"
RELUS = ("ReluBackward", "HardtanhBackward", "ThresholdBackward", "ClampBackward", "ClampMinBackward")
SUMS = {"add", "add_", "iadd", "radd"}
ACTIVATIONS = {"relu", "relu_", "relu6", "hardtanh", "leaky_relu", "elu", "gelu", "silu", "hardswish", "tanh"}


@dataclass(frozen=True, kw_only=True)
class SkipGradient:
    """The gradient where what comes back through a residual branch is multiplied by `decay`, and through a skip connection as it is.

    SGM, the skip gradient method, of Wu et al., ICLR 2020, arXiv:2002.05990. A branch is what is added to (ResNets, transformers) or
    concatenated with (DenseNets) the very tensor that it was made of, or that times a constant; beside a projection nothing decays. Found
    in what autograd records, so that any network will do. Deviation: without the authors' scaling of gradients by their deviation over
    the batch, which changes no direction. decay: the paper's gamma.
    """

    decay: float = 0.2

    place: ClassVar[Place] = Place.SURROGATE
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Wu 2020, arXiv:2002.05990"

    def __post_init__(self) -> None:
        between(self, 0, 1, "decay", ends="[]")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        def decay(end: Node, mark: Node | None) -> None:
            del mark
            beside = [(node, paths) for node, paths in joins(end, SUM, CONCATENATION) if paths.branches]
            if not beside:
                raise InputError(
                    f"sgm decays gradients beside skip connections, and met none in {_surrogate(scene)}; "
                    "use it on residual or dense networks"
                )
            for node, paths in beside:
                node.register_hook(_times(dict.fromkeys(paths.branches, self.decay)))

        return scene.along(gradient, lambda: Backward(decay))


@dataclass(frozen=True, kw_only=True)
class LinearBackward:
    """The gradient as if the ReLUs behind `layer` were not there on the way back.

    LinBP of Guo et al., NeurIPS 2020, arXiv:2012.03528. In residual networks, as there, a ReLU of a sum of paths stays, and what comes
    through a branch is scaled, a sample at a time, to the length that it would have with its ReLUs. layer: by its name in
    `named_modules`; None: where half of the surrogate's operations are done.
    """

    layer: str | None = None

    place: ClassVar[Place] = Place.SURROGATE
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Guo 2020, arXiv:2012.03528"

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        layer = None if self.layer is None else find(scene, "linbp", self.layer)

        def straighten(end: Node, mark: Node | None) -> None:
            if not _straightened(end, mark):
                where = "the second half" if layer is None else f"what follows {layer.name!r}"
                raise InputError(
                    f"linbp leaves ReLUs out, and met none in {where} of {_surrogate(scene)}; "
                    "name an earlier layer, or use another direction"
                )

        return scene.along(gradient, lambda: Backward(straighten, layer))


@dataclass(frozen=True, kw_only=True)
class GhostNetworks:
    """The gradient of a network that is drawn anew each time: skip connections scaled at random, or activations dropped.

    Li et al., AAAI 2020, arXiv:1812.03413. Skip connection erosion, for residual networks: each channel of a skip, times a number uniform
    in 1 -+ `skips` (paper: Lambda). Dropout erosion, for others: of what an activation function gives, dropped with the probability
    `dropout`, the rest scaled up; the paper's for Inception is ghost:skips=0,dropout=0.006. Each sample draws for itself.
    """

    skips: float = 0.22
    dropout: float = 0.0

    place: ClassVar[Place] = Place.SURROGATE
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Li 2020, arXiv:1812.03413"

    def __post_init__(self) -> None:
        between(self, 0, 1, "skips", ends="[]")
        between(self, 0, 1, "dropout", ends="[)")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        streams, asked = scene.streams.fork(_STREAM), iter(range(1 << 62))
        return scene.along(gradient, lambda: Ghost(self, streams.fork(next(asked)), _surrogate(scene)))


_STREAM = 0x6057  # keeps ghosts apart from the attack's other random numbers


@dataclass(frozen=True, eq=False)
class Backward:
    """A detour whose way there is the surrogate's own and whose way back `change` changes, given the last operation and the layer's."""

    change: Callable[[Node, Node | None], None]
    layer: Layer | None = None

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        x = x.clone()  # an operation, so that paths can part at the input
        outputs, features = (run(x), None) if self.layer is None else self.layer.heard(run, x)
        if outputs.grad_fn is not None:
            self.change(outputs.grad_fn, None if features is None else features.grad_fn)
        return outputs

    def select(self, rows: Tensor) -> Backward:
        del rows
        return self


@dataclass(frozen=True, eq=False)
class Ghost:
    """A detour through a ghost network of `name` for each sample, all of it drawn from its stream."""

    networks: GhostNetworks
    streams: Streams
    name: str

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        with _Eroding(self.streams, self.networks) as eroding:
            outputs = run(x.clone())
        if self.networks.skips and not eroding.scaled and outputs.requires_grad:
            raise InputError(
                f"ghost scales skip connections, and met none in {self.name}; write ghost:skips=0,dropout=0.006 to drop activations"
            )
        return outputs

    def select(self, rows: Tensor) -> Ghost:
        return replace(self, streams=self.streams.select(rows))


class _Eroding(TorchFunctionMode):
    """While it is on, skip connections are scaled where paths meet in a sum, and activations are dropped."""

    def __init__(self, streams: Streams, networks: GhostNetworks) -> None:
        super().__init__()
        self.streams, self.networks, self.scaled = streams, networks, False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = name_of(func)
        if self.networks.skips and name in SUMS:
            args = self._eroded(args, inplace=name in ("add_", "iadd"))
        result, dropout = func(*args, **kwargs or {}), self.networks.dropout
        if dropout and name in ACTIVATIONS:
            return result * (self._drawn(result, tuple(result.shape[1:])) >= dropout) / (1 - dropout)
        return result

    def _eroded(self, args: tuple[Any, ...], inplace: bool) -> tuple[Any, ...]:
        ends = {i: one.grad_fn for i, one in enumerate(args) if isinstance(one, Tensor) and one.grad_fn is not None}
        paths = paths_to(ends)
        if paths is None or paths.skip is None:
            return args
        skip = args[paths.skip]
        drawn = self._drawn(skip, (skip.shape[1], *(1,) * (skip.ndim - 2)))
        factor, self.scaled = 1 + self.networks.skips * (2 * drawn - 1), True
        scaled = skip.mul_(factor) if inplace and paths.skip == 0 else skip * factor
        return (*args[: paths.skip], scaled, *args[paths.skip + 1 :])

    def _drawn(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        count = len(self.streams.keys)
        if like.shape[:1] != (count,):
            raise InputError(
                f"ghost needs a row for each of {count} inputs within the surrogate, and met {tuple(like.shape)}"
            )
        return self.streams.uniform(shape).to(like)


def straight_after(end: Node, mark: Node | None) -> frozenset[Node]:
    """The ReLUs later than the mark, or than half of the operations, that are not right behind a sum of paths."""
    mark = halfway(trunk(end)) if mark is None else mark
    assert mark is not None  # the copy of the input is passed by all
    return frozenset(
        node
        for node in operations(end, mark)
        if node.name().startswith(RELUS) and not any(_is_sum(before) for before in operands_of(node).values())
    )


def _is_sum(node: Node) -> bool:
    return node.name().startswith(SUM) and len(operands_of(node)) > 1


def _straightened(end: Node, mark: Node | None) -> bool:
    """Whether there were any."""
    straight = straight_after(end, mark)
    for node in straight:
        node.register_hook(lambda left, came: (came[0], *left[1:]))
    for node, paths in joins(end, SUM):
        if any(way & straight for way in paths.ways.values()):
            node.register_hook(_levelled(node.next_functions, paths, straight & operations(node)))
    return bool(straight)


def _levelled(
    edges: tuple[Any, ...], paths: Paths, straight: frozenset[Node]
) -> Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]:
    """A hook that scales what goes into a branch; it holds nothing that is later than its operation, which would be a circle."""

    def passing(node: Node, came: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (came[0],) if node in straight else None

    def hook(left: tuple[Any, ...], came: tuple[Any, ...]) -> tuple[Any, ...]:
        factors = {}
        for i, way in paths.ways.items():
            if way & straight:
                bent = carried(left[i], edges[i], paths.start, way, lambda node, came: None).norm(dim=1)
                even = carried(left[i], edges[i], paths.start, way, passing).norm(dim=1)
                factors[i] = wide(bent / even.clamp_min(torch.finfo(even.dtype).tiny), left[i])
        return _times(factors)(left, came)

    return hook


def _times(factors: Mapping[int, Any]) -> Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]:
    """A hook that multiplies the gradients of some operands."""

    def hook(left: tuple[Any, ...], came: tuple[Any, ...]) -> tuple[Any, ...]:
        del came
        return tuple(part if part is None or i not in factors else part * factors[i] for i, part in enumerate(left))

    return hook


def _surrogate(scene: Scene) -> str:
    return scene.problem.door.victim.name
