"""The certificates themselves: each says how far above every other class the true one stays, at least."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..core.checks import check_inputs, check_labels
from ..core.problem import Threat
from ..core.recording import recording
from ..core.victim import Victim
from ..errors import InputError
from ..threats.union import Union
from .bends import ReluLines
from .bounds import ELEMENTS, Bounds, intervals, lower_bounds, narrow
from .neighbourhood import Neighbourhood, neighbourhood
from .network import Network, trace


class Certifier(Protocol):
    """`certifier(victim, threat, x, labels)` -> (B,) float64 lower bounds of the smallest z_y - z_j over all points that the threat allows.

    x (B, *S) lies in the victim's bounds, labels (B,). A sample is proved where the bound is > 0: no input of the region, computed by
    the network in its own floating point arithmetic, is classified otherwise.
    """

    def __call__(self, victim: Victim, threat: Threat, x: Tensor, labels: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Interval bounds, layer by layer; the last layers up to the last bend are merged with the difference of two classes.

    Gowal et al. 2018, arXiv:1810.12715, section 3. Under L2 and L1 the first layer goes by its weights' dual norms. Cost: about 5 forwards.
    """

    def __call__(self, victim: Victim, threat: Threat, x: Tensor, labels: Tensor) -> Tensor:
        return _each_part(victim, threat, x, labels, self._bound)

    def _bound(self, network: Network, around: Neighbourhood, unit: float, rows: Tensor, own: Tensor) -> Tensor:
        return _in_blocks(intervals(network, around, unit), rows, own, straight=False)


@dataclass(frozen=True, kw_only=True)
class Crown:
    """Two straight lines around each ReLU and pool, followed backwards from the difference of two classes to the input.

    Zhang et al., NeurIPS 2018, arXiv:1811.00866; on any graph Xu et al., NeurIPS 2020, arXiv:2002.12920. The limits that the lines stand on
    come from intervals, and for at most `refined` values of a sample in each layer, the loosest first, from such lines themselves: 0 is
    CROWN-IBP (Zhang et al., ICLR 2020, arXiv:1906.06316), None is CROWN, which goes back twice for every unstable ReLU. With `steps`, lower
    slopes of the ReLUs then climb by that many steps of Adam for each class that is not excluded yet (alpha-CROWN, Xu et al., ICLR
    2021, arXiv:2011.13824, with limits left as they are).
    """

    refined: int | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        if self.refined is not None and self.refined < 0:
            raise InputError(f"refined={self.refined} is no number of values; give 0 or more, or None for all of them")
        if self.steps < 0:
            raise InputError(f"steps={self.steps} is no number of steps; give 0 or more")

    def __call__(self, victim: Victim, threat: Threat, x: Tensor, labels: Tensor) -> Tensor:
        return _each_part(victim, threat, x, labels, self._bound)

    def _bound(self, network: Network, around: Neighbourhood, unit: float, rows: Tensor, own: Tensor) -> Tensor:
        bounds = intervals(network, around, unit, self.refined)
        lower = _in_blocks(bounds, rows, own)
        open_ = (lower <= 0).nonzero().squeeze(1)
        if self.steps and len(open_):
            lower[open_] = _in_blocks(bounds, rows[open_], own[open_], steps=self.steps)
        return lower


@dataclass(frozen=True)
class InTurn:
    """Each certifier for the samples that those before it did not prove; the bound is that of the last that looked, or a better one before.

    Cost: that of the first for all samples, of the others for those that are still open.
    """

    certifiers: tuple[Certifier, ...]

    def __call__(self, victim: Victim, threat: Threat, x: Tensor, labels: Tensor) -> Tensor:
        lower = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
        for certifier in self.certifiers:
            rows = (lower <= 0).nonzero().squeeze(1)
            if len(rows):
                lower[rows] = torch.maximum(lower[rows], certifier(victim, threat, x[rows], labels[rows]))
        return lower


@recording
def prove(certifier: Certifier, victim: Victim, threat: Threat, x: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: samples of which it is proved that no point that the threat allows is classified as anything but the label."""
    return certifier(victim, threat, x, labels) > 0


def unit_roundoff(victim: Victim) -> float:
    """Of the network's arithmetic: 2^-24 for float32, 2^-53 for float64, 2^-11 where a GPU may use TF32 for float32."""
    tf32 = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    if victim.dtype is torch.float32 and victim.device.type == "cuda" and tf32:
        return 2.0**-11
    return torch.finfo(victim.dtype).eps / 2


class _Method(Protocol):
    def __call__(self, network: Network, around: Neighbourhood, unit: float, rows: Tensor, own: Tensor) -> Tensor: ...


@torch.no_grad()
def _each_part(victim: Victim, threat: Threat, x: Tensor, labels: Tensor, bound: _Method) -> Tensor:
    """Samples a part at a time, so that no tensor is larger than ELEMENTS numbers, or one sample's; of a union the least of its balls."""
    check_inputs(x, victim)
    x, labels, unit = x.to(victim.device), labels.to(victim.device), unit_roundoff(victim)
    if not len(x):
        return x.new_zeros(0, dtype=torch.float64)
    if isinstance(threat, Union):
        return torch.stack([_each_part(victim, ball, x, labels, bound) for ball in threat.balls]).amin(0)
    network = trace(victim, x)
    (classes,) = network.nodes[-1].shape
    check_labels(labels, len(x), classes)
    parts = []
    for part in _slices(len(x), max(ELEMENTS // network.widest, 1)):
        _check_agreement(network, victim, x[part], unit)
        around = neighbourhood(threat, x[part], victim.lower, victim.upper)
        rows, own = _differences(labels[part], classes)
        parts.append(bound(network, around, unit, rows, own).view(-1, classes - 1).amin(1))
    return torch.cat(parts)


def _differences(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Rows (B (C - 1), C) with +1 at the label and -1 at each other class in turn, and the sample (B (C - 1),) of each."""
    eye = torch.eye(classes, dtype=torch.float64, device=labels.device)
    other = torch.arange(classes - 1, device=labels.device).expand(len(labels), -1)
    other = other + (other >= labels[:, None])
    rows = eye[labels][:, None] - eye[other]
    own = torch.arange(len(labels), device=labels.device).repeat_interleave(classes - 1)
    return rows.flatten(0, 1), own


def _in_blocks(bounds: Bounds, rows: Tensor, own: Tensor, straight: bool = True, steps: int = 0) -> Tensor:
    """(R,) lower bounds of rows (R, C) . outputs, a block of rows at a time."""
    last, found = len(bounds.network.nodes) - 1, []
    for block in _slices(len(rows), max(ELEMENTS // bounds.network.widest, 1)):
        here = narrow(own[block])
        if steps:
            found.append(_raised(bounds, rows[block], here, last, steps))
        else:
            found.append(lower_bounds(bounds, rows[block], here, last, straight))
    return torch.cat(found)


def _raised(bounds: Bounds, rows: Tensor, own: Tensor | slice, last: int, steps: int) -> Tensor:
    """The best bound (R,) while each row's own lower slopes climb by Adam; begins with the slopes that the lines have."""
    relus = {number: lines for number, lines in bounds.lines.items() if isinstance(lines, ReluLines)}
    slopes = {n: lines.slope[own].expand(len(rows), *lines.slope.shape[1:]).clone() for n, lines in relus.items()}
    first, second = ({n: torch.zeros_like(s) for n, s in slopes.items()} for _ in range(2))
    best = rows.new_full((len(rows),), -torch.inf)
    for step in range(steps + 1):
        with torch.enable_grad():
            asked = {n: s.requires_grad_() for n, s in slopes.items()}
            value = lower_bounds(bounds, rows, own, last, slopes=asked)
            if step < steps and asked:
                grads = torch.autograd.grad(value.sum(), list(asked.values()), materialize_grads=True)
        best = torch.maximum(best, value.detach())
        if step == steps or not asked or bool((best > 0).all()):
            break
        for (number, slope), grad in zip(asked.items(), grads, strict=True):
            mean = first[number].mul_(0.9).add_(grad, alpha=0.1)
            square = second[number].mul_(0.999).addcmul_(grad, grad, value=0.001)
            size = (square / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-12)
            rise = mean / size * (_RATE * 0.95**step / (1 - 0.9 ** (step + 1)))
            slopes[number] = (slope.detach() + rise).clamp_(0, 1)
    return best


_RATE = 0.25


def _check_agreement(network: Network, victim: Victim, x: Tensor, unit: float) -> None:
    """What the module computes must lie where its traced layers say, up to rounding: hooks, random numbers and branches would show here."""
    low, high = intervals(
        network, Neighbourhood("linf", x.double(), x.double(), x.double(), x.new_zeros(len(x)).double()), unit
    ).limits(-1)
    outputs = victim(x).double()
    if outputs.shape != low.shape or not bool(((outputs >= low) & (outputs <= high)).all()):
        raise InputError(
            f"the layers of {victim.name} do not give the outputs that the model gives: it draws random numbers, has hooks, or branches; "
            "a certificate needs a forward that is nothing but its layers"
        )


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))
