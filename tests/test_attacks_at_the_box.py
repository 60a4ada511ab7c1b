"""Where features stand at their limits: attacks that step onto a plane and clip win as often as the box allows, at the least size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.core.access import Access
from brittle.testing import check_attack, linear
from brittle.testing.references import reach
from registry import NAMES, RATIOS, quick, takes

SHAPE = (2, 5, 6)


def at_the_limits(count: int = 7) -> Tensor:
    """Two thirds of the features of inputs (count, *SHAPE) are 0 or 1."""
    generator = torch.Generator().manual_seed(11)
    return (3 * torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64) - 1).clamp(0, 1)


def outcome_and_optimum(attack: Any, norm: str, free: Tensor | None = None) -> tuple[Any, Tensor]:
    """The attack on a linear victim of two classes without a limit, and the least sizes (B,) inside the box; infinite: there are none."""
    model, x = linear(SHAPE, 2, seed=4, bounds=(0.0, 1.0)), at_the_limits()
    labels = model.victim(x).argmax(1)
    outcome = brittle.attack(attack, model.victim, x, labels, getattr(brittle, norm)(math.inf, mask=free))
    allowed = torch.ones(SHAPE, dtype=torch.bool) if free is None else free
    optimum = []
    for point, label in zip(x, labels, strict=True):
        rise = (model.weight[1 - label] - model.weight[label]).view(SHAPE)[allowed].double()
        outputs = model.victim(point[None])[0].detach()
        here, gap = point[allowed].numpy(), float(outputs[label] - outputs[1 - label])
        optimum.append(reach(rise.numpy(), gap, -here, 1 - here, norm))
    return outcome, torch.tensor(optimum, dtype=torch.float64)


MINIMISING = [name for name in NAMES if quick(name).minimises and quick(name).access is Access.GRADIENT]
LONGER = {"ead": {"steps": 100, "rounds": 9}, "sparsefool": {"steps": 20, "inner": 50, "reach": 1.0}}
FURTHER = {
    "ead": 1.15,
    "bisect_pgd": 1.2,
    "sparsefool": 1.1,
}  # times the optimum in L1, where the conformance suite asks for none


@pytest.mark.parametrize(
    ("name", "norm"), [(name, norm) for name in MINIMISING for norm in ("linf", "l2", "l1") if takes(name, norm)]
)
def test_wins_whatever_the_box_allows_at_the_least_size(name: str, norm: str) -> None:
    outcome, optimum = outcome_and_optimum(quick(name, **LONGER.get(name, {})), norm)
    assert bool(optimum.isfinite().all())
    assert bool(outcome.success.all())
    ratio = outcome.size / optimum
    assert float(ratio.min()) >= 1 - 1e-6
    assert float(ratio.max()) <= max(RATIOS.get(name, 1.02), FURTHER.get(name, 0))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_deepfool_under_a_mask_is_as_near_as_the_free_features_allow(norm: str) -> None:
    free = torch.arange(60).view(SHAPE) % 3 == 0
    outcome, optimum = outcome_and_optimum(brittle.deepfool(steps=30), norm, free)
    reachable = optimum.isfinite()
    assert bool(reachable.any())
    assert torch.equal(outcome.success, reachable)
    assert float((outcome.size / optimum)[reachable].max()) <= 1.02


def test_a_boundary_that_the_box_does_not_reach_is_approached_and_not_won() -> None:
    model = linear(SHAPE, 2, seed=4, bounds=(0.0, 1.0))
    rise = (model.weight[1] - model.weight[0]).view(SHAPE)
    last = (rise > 0).double()  # the corner nearest to the boundary of who is below it everywhere
    x = last[None].clone()
    x[0, 0, 0] = 0.5
    biased = lambda z: model.victim.forward(z) - torch.tensor([0.0, 1e3], dtype=torch.float64)  # noqa: E731
    outcome = brittle.attack(
        brittle.deepfool(steps=5), biased, x, torch.tensor([0]), brittle.l2(math.inf), bounds=(0.0, 1.0)
    )
    assert not bool(outcome.success.any())
    assert bool(outcome.x_adv.isfinite().all())


def test_an_attack_that_clips_its_own_step_breaks_the_law_of_the_limits() -> None:
    broken = [found for found in check_attack(brittle.deepfool(steps=1), [brittle.l2(0.3)]) if not found.passed]
    assert any("where features stand at their limits" in found.name for found in broken)
