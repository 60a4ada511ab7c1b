"""The four norms, each as a handful of kernels. Nothing else in brittle knows what a norm's name means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import ascent, planes, projections, proximal, sizes, trust_region
from .streams import Streams


@dataclass(frozen=True)
class Norm:
    """`nearest` is None where the ball is itself a box, which the region then folds into the input box.

    `dual` and `plane` are None in L0, which is no norm: the size of a gradient in the dual norm, and the smallest move onto a hyperplane.
    """

    name: str
    size: Callable[[Tensor], Tensor]
    ascend: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    nearest: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None
    noise: Callable[[Streams, tuple[int, ...], Tensor | None], Tensor]  # uniform in the unit ball of the free features
    rounding: Callable[[int], float]  # how rounding of N features adds up in the size
    dual: Callable[[Tensor], Tensor] | None = None
    plane: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None
    least: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = trust_region.l2
    prox: Callable[[Tensor, Tensor, Tensor], Tensor] = proximal.l2  # in a diagonal metric; of L_2/3 in L0


def _uniform_linf(streams: Streams, shape: tuple[int, ...], free: Tensor | None) -> Tensor:
    """Uniform in the unit Linf ball."""
    return _only(streams.uniform(shape).mul_(2).sub_(1), free)


def _uniform_l2(streams: Streams, shape: tuple[int, ...], free: Tensor | None) -> Tensor:
    """Uniform in the unit L2 ball: a Gaussian direction, length u^(1/n)."""
    direction = _only(streams.normal(shape), free)
    count = math.prod(shape) if free is None else free.flatten(1).sum(1)
    length = streams.uniform(()).pow(1 / count) / sizes.l2(direction)
    return direction.mul_(length.view(-1, *(1,) * len(shape)))


def _uniform_l1(streams: Streams, shape: tuple[int, ...], free: Tensor | None) -> Tensor:
    """Uniform in the unit L1 ball: signed exponentials over the sum of them and one more. Barthe et al., Ann. Probab. 2005."""
    size = _only(streams.uniform(shape).log_().neg_(), free)
    total = size.flatten(1).sum(1) - streams.uniform(()).log()
    sign = torch.where(streams.uniform(shape) < 0.5, -1.0, 1.0)
    return size.mul_(sign).div_(total.view(-1, *(1,) * len(shape)))


def _only(noise: Tensor, free: Tensor | None) -> Tensor:
    return noise if free is None else noise.mul_(free)


LINF = Norm(
    "linf",
    sizes.linf,
    ascent.linf,
    None,
    _uniform_linf,
    lambda n: 1.0,
    sizes.l1,
    planes.linf,
    least=trust_region.linf,
    prox=proximal.linf,
)
L2 = Norm(
    "l2",
    sizes.l2,
    ascent.l2,
    projections.l2,
    _uniform_l2,
    lambda n: n**0.5,
    sizes.l2,
    planes.l2,
    least=trust_region.l2,
    prox=proximal.l2,
)
L1 = Norm(
    "l1",
    sizes.l1,
    ascent.l1,
    projections.l1,
    _uniform_l1,
    lambda n: float(n),
    sizes.linf,
    planes.l1,
    least=trust_region.l1,
    prox=proximal.l1,
)
L0 = Norm(
    "l0", sizes.l0, ascent.l0, projections.l0, _uniform_linf, lambda n: 0.0, least=trust_region.l0, prox=proximal.l23
)
NORMS = {norm.name: norm for norm in (LINF, L2, L1, L0)}
