"""Ways round a clean input on which the distance to it falls: the half circle over the segment from an adversarial point to it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]


def across(direction: Batch, along: Batch) -> Batch:
    """The part of the direction orthogonal to `along` (unit vectors), as unit vectors; zero where nothing is left of it."""
    rest = direction - (direction * along).sum(1, keepdim=True) * along
    rest = rest - (rest * along).sum(1, keepdim=True) * along  # once more: the first difference cancels
    return unit(rest)


def unit(direction: Batch) -> Batch:
    """Of length 1, or zero."""
    length: Tensor = direction.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return direction / length


def on_circle(along: Batch, sideways: Batch, distance: PerSample, angle: PerSample) -> Batch:
    """distance * cos(angle) * (cos(angle) * along + sin(angle) * sideways), where the circle is at this angle seen from the clean input.

    The clean input and `distance * along` are the ends of a diameter (Thales), so the distance is distance * cos(angle).
    """
    cosine = angle.cos()
    reach = distance * cosine
    return torch.addcmul(along * (reach * cosine)[:, None], sideways, (reach * angle.sin())[:, None])
