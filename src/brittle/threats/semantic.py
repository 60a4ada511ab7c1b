"""Threats that change how a picture looks as a whole, by one number: brightness, contrast, saturation, hue, blur; and several at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ..core.bounds import Edge, limits, widest
from ..core.norms import NORMS
from ..errors import InputError, unknown
from .ball import Ball
from .region import BallRegion
from .spatial import Flow, Render, Spatial, SpatialRegion, bound

# Luma (of Rec. 601) and two colour axes of RGB, which a grey pixel does not have: Y, I, Q.
_YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


@dataclass(frozen=True)
class Semantic:
    """One number a sample, between -eps and eps, that changes all of a picture; zero changes nothing.

    brightness: added to every feature, in input units. contrast: x is scaled about its mean by 1 + the number. saturation: colours are
    scaled about their luma by 1 + the number. hue: colours turn about the grey axis by this angle in radians, at the same luma. blur:
    heat flows between pixels until a point has this standard deviation, in pixels, whatever the sign; none is lost at the edges. What
    leaves the input range is clipped. Hsiung et al., Towards compositional adversarial robustness, CVPR 2023, arXiv:2202.04235, take hue
    3.14, saturation 0.3, brightness 0.2, contrast 0.3. Deviations: hue and saturation are linear in YIQ, where theirs go through HSV,
    which has corners; contrast scales about the mean, not about black.
    """

    name: str
    eps: float

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise unknown("semantic threat", self.name, _KINDS)
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more")

    def with_eps(self, eps: float) -> Semantic:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> SpatialRegion:
        """Bind to samples x (B, *S): (B, 3, H, W) for colours, (B, C, H, W) or (B, H, W) for blur, any for the others."""
        kind, shape = _KINDS[self.name], tuple(x.shape[1:])
        if kind.colours and (len(shape) != 3 or shape[0] != 3):
            raise InputError(f"{self.name} changes colours; samples of shape {shape} have none: give (3, H, W)")
        if kind.pixels and len(shape) not in (2, 3):
            raise InputError(f"{self.name} needs pixels; samples of shape {shape} have none: give (C, H, W) or (H, W)")
        most = kind.most
        if most == math.inf:
            most = float(max(shape[-2:], default=1)) if kind.pixels else widest(lower, upper)
        if most * (1 + 1e-6) < self.eps < math.inf:
            raise InputError(
                f"eps={self.eps:g} is too large for {self.name}; the largest that means anything is {most:g}"
            )
        return _region(x, lower, upper, 1, min(self.eps, most), most, kind.render)


@dataclass(frozen=True)
class Composite:
    """Several threats one after the other, in this order, each as far as its own eps: semantic ones, `spatial`, `flow` and `linf`.

    Hsiung et al., CVPR 2023, arXiv:2202.04235, section 3. A point is (B, N): what each of them turns, as shares of its eps in [-1, 1];
    `eps` scales all of them, and at 1 is the whole. So a gradient attack turns all of them in each step. Deviation: the order is given;
    the paper looks for the worst one too.
    """

    threats: tuple[Semantic | Spatial | Flow | Ball, ...]
    eps: float = 1.0

    name: ClassVar[str] = "composite"

    def __post_init__(self) -> None:
        if not self.threats:
            raise InputError("composite has nothing to compose; give threats such as hue(0.5), linf(8 / 255)")
        for threat in self.threats:
            if not isinstance(threat, Semantic | Spatial | Flow | Ball) or (
                isinstance(threat, Ball) and threat.name != "linf"
            ):
                raise InputError(f"composite takes no {threat.name}; give semantic threats, spatial, flow or linf")
            if isinstance(threat, Ball) and threat.mask is not None:
                raise InputError("composite takes no mask; give a linf without one")
            if isinstance(threat, Ball) and threat.scale is not None:
                raise InputError("composite takes no eps for each feature; give linf with one number")
        if not self.eps >= 0:
            raise InputError(f"eps={self.eps:g} is not a size; give zero or more (1 is the whole of each threat)")

    def with_eps(self, eps: float) -> Composite:
        return replace(self, eps=eps)

    def around(self, x: Tensor, lower: Edge, upper: Edge) -> SpatialRegion:
        """Bind to samples x (B, *S)."""
        regions = [threat.around(x, lower, upper) for threat in self.threats]
        parts = tuple(
            _Part(
                region.transform if isinstance(region, SpatialRegion) else _added,
                tuple(region.origin.shape[1:]),
                float(region.radius.amax()) if len(x) else 0.0,
            )
            for region in regions
        )
        low, high = limits(x, lower, upper)
        chained = partial(_chained, parts=parts, width=high - low if x.ndim == 4 else (high - low)[:, None])
        return _region(x, lower, upper, sum(part.count for part in parts), min(self.eps, 1.0), 1.0, chained)


def _region(
    x: Tensor, lower: Edge, upper: Edge, count: int, radius: float, most: float, render: Render
) -> SpatialRegion:
    """Of points (B, count), no number of which is larger than the radius, nor a larger radius than `most`."""
    limit = x.new_full((1, count), most)
    parameters = BallRegion(NORMS["linf"], x.new_zeros(len(x), count), x.new_full((len(x),), radius), -limit, limit)
    return bound(parameters, x, lower, upper, render)


@dataclass(frozen=True)
class _Part:
    transform: Render
    shape: tuple[int, ...]  # of its points
    size: float  # of the whole of it

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def _chained(images: Tensor, point: Tensor, parts: tuple[_Part, ...], width: Tensor) -> Tensor:
    """Every part in turn, clipped to the input range after each."""
    for part, turned in zip(parts, torch.split(point, [part.count for part in parts], dim=1), strict=True):
        images = part.transform(images, (turned * part.size).view(-1, *part.shape)).clamp_min(0).minimum(width)
    return images


def _added(images: Tensor, delta: Tensor) -> Tensor:
    return images + delta.view_as(images)


def _brightness(images: Tensor, point: Tensor) -> Tensor:
    return images + _wide(point, images)


def _contrast(images: Tensor, point: Tensor) -> Tensor:
    mean = images.mean(dim=tuple(range(1, images.ndim)), keepdim=True)
    return mean + (1 + _wide(point, images)) * (images - mean)


def _saturation(images: Tensor, point: Tensor) -> Tensor:
    luma = torch.einsum("c,bchw->bhw", images.new_tensor(_YIQ[0]), images)[:, None]
    return luma + (1 + _wide(point, images)) * (images - luma)


def _hue(images: Tensor, point: Tensor) -> Tensor:
    axes = images.new_tensor(_YIQ)
    cos, sin = point[:, 0].cos(), point[:, 0].sin()
    turn = torch.zeros(len(point), 3, 3, dtype=images.dtype, device=images.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    return torch.einsum("bij,bjhw->bihw", torch.linalg.inv(axes) @ turn @ axes, images)


def _blur(images: Tensor, point: Tensor) -> Tensor:
    """exp(sigma^2 / 2 * Laplacian) of the pixel grid: weights are positive and sum to one, as those of a Gaussian."""
    size = point[:, 0] * torch.where(point[:, 0] < 0, -1.0, 1.0)
    variance = size + (size.square() - size).detach()  # the slope of the square is zero where nobody has moved yet
    down, across = (_diffusion(size, variance) for size in images.shape[-2:])
    return down[:, None] @ images @ across[:, None]


def _diffusion(size: int, variance: Tensor) -> Tensor:
    """(B, size, size), symmetric: what each pixel of a line gets of every other, with reflecting ends."""
    places = torch.arange(size, dtype=variance.dtype, device=variance.device)
    waves = torch.cos(math.pi / size * places[:, None] * (places + 0.5)) * math.sqrt(2 / size)  # one a row
    waves[0] /= math.sqrt(2)
    rates = 2 - 2 * torch.cos(math.pi / size * places)
    fading = torch.exp(-variance[:, None] / 2 * rates)
    return (waves.T * fading[:, None]) @ waves


def _wide(point: Tensor, images: Tensor) -> Tensor:
    return point[:, 0].view(-1, *(1,) * (images.ndim - 1))


@dataclass(frozen=True)
class _Kind:
    render: Callable[[Tensor, Tensor], Tensor]
    most: float = math.inf  # the largest eps that means anything
    colours: bool = False
    pixels: bool = False


_KINDS = {
    "brightness": _Kind(_brightness),
    "contrast": _Kind(_contrast, 1.0),
    "saturation": _Kind(_saturation, 1.0, colours=True),
    "hue": _Kind(_hue, math.pi, colours=True),
    "blur": _Kind(_blur, pixels=True),
}
SEMANTIC = tuple(_KINDS)


def brightness(eps: float) -> Semantic:
    """The same is added to every feature, at most eps (input units)."""
    return Semantic("brightness", float(eps))


def contrast(eps: float) -> Semantic:
    """Scaled about the mean, by a factor of 1 - eps to 1 + eps; at 1, from grey to twice the contrast."""
    return Semantic("contrast", float(eps))


def saturation(eps: float) -> Semantic:
    """Colours scaled about their luma, by a factor of 1 - eps to 1 + eps; at 1, from grey to twice as colourful."""
    return Semantic("saturation", float(eps))


def hue(eps: float) -> Semantic:
    """Colours turned by at most eps radians about the grey axis; 3.14 is all of the circle."""
    return Semantic("hue", float(eps))


def blur(eps: float) -> Semantic:
    """Blurred with a standard deviation of at most eps pixels."""
    return Semantic("blur", float(eps))


def composite(*threats: Semantic | Spatial | Flow | Ball, eps: float = 1.0) -> Composite:
    """Several threats one after the other, each as far as its own eps: `composite(hue(0.5), contrast(0.3), linf(8 / 255))`."""
    return Composite(threats, float(eps))
