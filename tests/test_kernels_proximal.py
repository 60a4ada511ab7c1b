"""Proximal operators against their definition, and Adam against torch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from brittle.kernels import projections, proximal
from brittle.kernels.adam import Adam

B, N = 7, 9
OPERATORS = {"l1": proximal.l1, "l2": proximal.l2, "linf": proximal.linf, "l23": proximal.l23}
SIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda z: z.abs().sum(-1),
    "l2": lambda z: z.norm(dim=-1),
    "linf": lambda z: z.abs().amax(-1),
    "l23": lambda z: z.abs().pow(2 / 3).sum(-1),
}


def _drawn(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """delta, weight and a metric that spans six orders of magnitude; weights from nothing to more than enough."""
    generator = torch.Generator().manual_seed(seed)
    delta = torch.randn(B, N, generator=generator, dtype=torch.float64)
    metric = 10 ** (6 * torch.rand(B, N, generator=generator, dtype=torch.float64) - 5)
    weight = 10 ** torch.linspace(-6, 2, B, dtype=torch.float64)
    return delta.to(dtype), weight.to(dtype), metric.to(dtype)


def _height(name: str, z: Tensor, delta: Tensor, weight: Tensor, metric: Tensor) -> Tensor:
    return weight * SIZES[name](z) + (metric * (z - delta).square()).sum(-1) / 2


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_point_is_lower_than_the_proximal_one(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    for seed in range(20):
        delta, weight, metric = _drawn(seed, dtype)
        z = OPERATORS[name](delta, weight, metric)
        lowest = _height(name, z.double(), delta.double(), weight.double(), metric.double())
        for scale in (1e-5, 1e-3, 0.1, 1.0):
            noise = scale * torch.randn(200, B, N, generator=generator, dtype=torch.float64)
            few = torch.rand(200, B, N, generator=generator) < 0.3
            for other in (z + noise * few, z * (1 + noise), torch.where(few, delta, z), torch.where(few, 0, z)):
                height = _height(name, other.double(), delta.double(), weight.double(), metric.double())
                assert float((lowest - height).max()) <= (1e-12 if dtype == torch.float64 else 2e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_entry_ends_between_zero_and_where_it_was(name: str) -> None:
    for seed in range(20):
        delta, weight, metric = _drawn(seed, torch.float32)
        z = OPERATORS[name](delta, weight, metric)
        assert (z * delta >= 0).all()
        assert (z.abs() <= delta.abs()).all()


@pytest.mark.parametrize("name", OPERATORS)
def test_nothing_to_pay_changes_nothing_and_too_much_gives_zero(name: str) -> None:
    delta, _, metric = _drawn(0)
    free = OPERATORS[name](delta, torch.zeros(B, dtype=torch.float64), metric)
    torch.testing.assert_close(free, delta, rtol=1e-9, atol=0)
    assert not OPERATORS[name](delta, torch.full((B,), 1e6, dtype=torch.float64), metric).any()


@pytest.mark.parametrize("name", OPERATORS)
def test_what_costs_nothing_to_move_is_given_up_without_nan(name: str) -> None:
    delta, weight, metric = _drawn(0, torch.float32)
    z = OPERATORS[name](delta, weight.clamp_min(0.1), torch.zeros_like(metric))
    assert not z.any()
    assert not OPERATORS[name](torch.zeros_like(delta), weight, metric).any()


def test_in_the_plain_metric_the_linf_operator_is_moreau_s_residue_of_the_l1_ball() -> None:
    delta, weight, _ = _drawn(3)
    wide = torch.full_like(delta, 1e9)
    nearest = projections.l1(delta, -wide, wide, weight)
    torch.testing.assert_close(proximal.linf(delta, weight, torch.ones_like(delta)), delta - nearest, rtol=0, atol=1e-9)


def test_in_the_plain_metric_l2_shrinks_the_whole_vector() -> None:
    delta, weight, _ = _drawn(4)
    share = (1 - weight / delta.norm(dim=1)).clamp_min(0)
    torch.testing.assert_close(
        proximal.l2(delta, weight, torch.ones_like(delta)), share[:, None] * delta, rtol=0, atol=1e-12
    )


def test_adam_is_torch_s_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    adam, reference = Adam.like(ours), torch.optim.Adam([theirs], lr=0.05)
    for step in range(30):
        grad = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) * (step % 5)
        theirs.grad = grad.clone()
        reference.step()
        adam.see(grad)
        adam.descend_(ours, 0.05 if step % 2 else torch.full((3,), 0.05, dtype=torch.float64))
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-12)


def test_adam_of_some_rows_goes_on_as_in_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    grads = torch.randn(6, 5, 4, generator=generator)
    whole, some = torch.zeros(5, 4), torch.zeros(2, 4)
    rows, all_of_them, few = torch.tensor([3, 1]), Adam.like(torch.zeros(5, 4)), None
    for step, grad in enumerate(grads):
        all_of_them.see(grad)
        all_of_them.descend_(whole, 0.1)
        if step == 2:
            few, some = all_of_them.select(rows), whole[rows].clone()
        elif few is not None:
            few.see(grad[rows])
            few.descend_(some, 0.1)
    torch.testing.assert_close(some, whole[rows])
