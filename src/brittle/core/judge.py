"""The judge: what an attack's answer is worth, measured again by other code, in full precision, and uncharged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import check_finite
from .context import Context
from .drawn import Draws, Opinion, tested
from .goal import Goal, about_classes
from .problem import Region
from .victim import Victim


@dataclass(frozen=True, eq=False)
class Verdict:
    """Per sample (B,): `success` needs both the goal and feasibility. Of a model that answers at random see `Opinion`."""

    success: Tensor
    feasible: Tensor
    size: Tensor
    margin: Tensor
    predicted: Tensor
    confidence: Tensor  # softmax probability of the predicted class


@torch.no_grad()
def judge(
    victim: Victim,
    region: Region,
    goal: Goal,
    point: Tensor,
    draws: Draws | None = None,
    context: Context | None = None,
) -> Verdict:
    """Measure a point (B, *P) of the region. Infeasible or non-finite points never count as a success.

    draws: how a model that answers at random is asked; success is then what its answers prove. context: what it takes beside x.
    """
    if draws is not None:
        x, rows = region.render(point), torch.split(torch.arange(len(point), device=point.device), 1)
        classes = about_classes(goal, "the judge of a model that answers at random")
        alone = [victim if context is None else victim.beside(context.select(row)) for row in rows]
        opinions = [
            tested(one, x[row], classes.select(row), draws.select(row)) for one, row in zip(alone, rows, strict=True)
        ]
        return said(region, point, opinions)
    outputs = (victim if context is None else victim.beside(context))(region.render(point))
    check_finite(outputs, "adversarial inputs")
    outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    confidence, predicted = outputs.softmax(1).max(1)
    margin = goal.margin(outputs)
    feasible = region.contains(point)
    return Verdict((margin > 0) & feasible, feasible, region.size(point), margin, predicted, confidence)


def said(region: Region, point: Tensor, opinions: Sequence[Opinion]) -> Verdict:
    """The verdict on points (B, *P) of a model that answers at random, from what it says of each."""
    feasible = region.contains(point)
    success, margin, predicted, confidence = (
        torch.tensor([getattr(opinion, name) for opinion in opinions], dtype=kind, device=point.device)
        for name, kind in _OPINION.items()
    )
    return Verdict(success & feasible, feasible, region.size(point), margin, predicted, confidence)


_OPINION = {"success": torch.bool, "margin": torch.float64, "predicted": torch.int64, "confidence": torch.float64}
