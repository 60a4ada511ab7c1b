"""Transfer by what a layer of the surrogate says: perturbations there that are held small, and features that matter pushed down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.goal import Classify
from ...core.losses import find_slope
from ...core.oracle import Run
from ...errors import InputError
from ...kernels.shapes import wide
from ..parts.options import at_least, between
from .layers import Hearing, Layer, find
from .role import Gradient, Place, Scene

Slope = Callable[[Tensor, Classify], Tensor]  # (outputs (B, C), goal) -> (B, C)


@dataclass(frozen=True, kw_only=True)
class PerturbationDecay:
    """The gradient where the layer's features f(x') at the point count as f(x) + decay * (f(x') - f(x)), x being the clean input.

    ILPD of Li et al., NeurIPS 2023, arXiv:2304.13410. noise: x gets Gaussian noise, drawn anew each time, of this share of the input range
    (paper: sigma). decay: the paper's gamma. layer: by its name in `named_modules`; None: the one that `layers.find` finds. Cost: 1 forward
    more a step, and 1 to find a layer.
    """

    layer: str | None = None
    decay: float = 0.1
    noise: float = 0.05

    place: ClassVar[Place] = Place.FEATURES
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Li 2023, arXiv:2304.13410"

    def __post_init__(self) -> None:
        between(self, 0, 1, "decay", ends="(]")
        at_least(self, noise=0)

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        layer, x = find(scene, "ilpd", self.layer), scene.problem.x
        spread = self.noise * (scene.bounds[1] - scene.bounds[0])

        def bent(point: Tensor) -> Tensor:
            noise = scene.streams.normal(tuple(x.shape[1:])).to(x) * spread
            with torch.no_grad():
                still = asked(scene, layer, x + noise)
            with scene.detouring(Decayed(layer, still, self.decay)):
                return gradient(point)

        return bent


@dataclass(frozen=True, kw_only=True)
class FeatureImportance:
    """The gradient of -<w, f(x')>, f the layer's features and w how much they matter: the mean gradient of the own logit at masked inputs.

    FIA of Wang et al., ICCV 2021, arXiv:2107.14185. The inputs are clean ones of which each number is set to 0 with
    the probability `drop`. With a target it is +<w, f(x')> for what matters to the target. The loss of the attack is not looked at.
    layer: by its name in `named_modules`; None: the one that `layers.find` finds. Cost: `copies` forwards and backwards more, before the
    first step, and a forward to find a layer.
    """

    layer: str | None = None
    copies: int = 30
    drop: float = 0.3

    place: ClassVar[Place] = Place.FEATURES
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Wang 2021, arXiv:2107.14185"

    def __post_init__(self) -> None:
        at_least(self, copies=1)
        between(self, 0, 1, "drop", ends="[)")

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        layer, x = find(scene, "fia", self.layer), scene.problem.x
        masked = (x * (scene.uniform(tuple(x.shape[1:])).to(x) >= self.drop) for _ in range(self.copies))
        led = Led(layer, importance(scene, layer, masked, find_slope("logit")))
        return scene.along(gradient, lambda: led)


@dataclass(frozen=True, kw_only=True)
class NeuronAttribution:
    """The gradient of minus the sum of attributions w * (f(x') - f(black)), f the layer's features; those below 0 count `negative` times.

    NAA of Zhang et al., CVPR 2022, arXiv:2204.00008: w is the mean gradient of the own probability on the way from black to the
    clean input, in `samples` steps; negative is the paper's gamma, and attributions are taken as they are, which the paper found best. With
    a target it is the sum for the target's probability, of which those above 0 count so. The loss of the attack is not looked at. layer: by
    its name in `named_modules`; None: the one that `layers.find` finds. Cost: `samples` forwards and backwards and a forward more, before
    the first step, and a forward to find a layer.
    """

    layer: str | None = None
    samples: int = 30
    negative: float = 1.0

    place: ClassVar[Place] = Place.FEATURES
    passes: ClassVar[int] = 1
    paper: ClassVar[str] = "Zhang 2022, arXiv:2204.00008"

    def __post_init__(self) -> None:
        at_least(self, samples=1, negative=0)

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        layer, x = find(scene, "naa", self.layer), scene.problem.x
        weights = importance(
            scene, layer, (x * (i / self.samples) for i in range(1, self.samples + 1)), _probability_slope
        )
        with torch.no_grad():
            black = asked(scene, layer, torch.zeros_like(x))
        led = Led(layer, weights, black, self.negative)
        return scene.along(gradient, lambda: led)


@dataclass(frozen=True, eq=False)
class Decayed:
    """A detour on which the layer's features are drawn near to `still` (B, *F)."""

    layer: Layer
    still: Tensor
    decay: float

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        with self.layer.changed(lambda output: self.still.to(output).lerp(output, self.decay)):
            return run(x)

    def select(self, rows: Tensor) -> Decayed:
        return replace(self, still=self.still[rows])


@dataclass(frozen=True, eq=False)
class Led:
    """A detour with the surrogate's outputs, whose way back begins at the layer, with a gradient of its own in place of the loss's.

    That is, at features (B, *F), `weights` (B, *F); times `negative` where weights * (features - base) helps already, if there is a base.
    """

    layer: Layer
    weights: Tensor
    base: Tensor | None = None
    negative: float = 1.0

    def __call__(self, run: Run, x: Tensor) -> Tensor:
        outputs, features = self.layer.heard(run, x)
        if not features.requires_grad:
            return outputs
        led: Tensor = _Led.apply(outputs.detach(), features, self.slope(features.detach()))  # type: ignore[no-untyped-call]
        return led

    def slope(self, features: Tensor) -> Tensor:
        if self.base is None:
            return self.weights.to(features)
        helps = self.weights * (features - self.base) > 0
        return torch.where(helps, self.negative * self.weights, self.weights).to(features)

    def select(self, rows: Tensor) -> Led:
        return replace(self, weights=self.weights[rows], base=None if self.base is None else self.base[rows])


class _Led(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor, features: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        return None, ctx.saved_tensors[0], None


def asked(scene: Scene, layer: Layer, x: Tensor, slope: Slope | None = None) -> Tensor:
    """The layer's features (B, *F) at inputs (B, *S), charged; with a slope, the gradient there of the loss that has it."""
    hearing = Hearing(layer)
    with scene.detouring(hearing), torch.set_grad_enabled(slope is not None):
        problem = scene.detoured(scene.problem)
        outputs = problem.oracle(x.detach().requires_grad_(slope is not None))
        rows, said = hearing.found[0]
        if slope is not None:
            (grad,) = torch.autograd.grad(outputs, said, slope(outputs.detach(), problem.classes), allow_unused=True)
            if grad is None:
                raise InputError(
                    f"nothing goes from the layer {layer.name!r} to the outputs; name one that they depend on"
                )
            said = torch.nan_to_num(grad, nan=0.0)
    said = said.detach().to(x.dtype)
    return said if rows is None else said.new_zeros(len(x), *said.shape[1:]).index_copy(0, rows, said)


def importance(scene: Scene, layer: Layer, points: Iterable[Tensor], slope: Slope) -> Tensor:
    """The sum of the gradients (B, *F) at the layer over inputs (B, *S), of Euclidean length 1 a sample."""
    total = sum((asked(scene, layer, point, slope) for point in points), start=torch.zeros(()))
    return total / wide(total.flatten(1).norm(dim=1).clamp_min(torch.finfo(total.dtype).tiny), total)


def _probability_slope(outputs: Tensor, goal: Classify) -> Tensor:
    """Of the target's probability, or of minus the label's; the own entry as minus the sum of the others, so that it does not cancel."""
    chances = outputs.softmax(1)
    slope = (-chances * chances.gather(1, goal.steered)).scatter_(1, goal.steered, 0)
    slope.scatter_(1, goal.steered, -slope.sum(1, keepdim=True))
    return -slope if goal.aim is None else slope
