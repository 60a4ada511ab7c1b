"""Sixty instances that verifiers have settled: the strongest attack finds every counterexample, and nothing succeeds where none exists."""

from __future__ import annotations

import pytest
from torch import Tensor

import brittle
import published
from brittle.attacks.combine.cascade import Cascade
from brittle.data.open import open_data

pytestmark = [pytest.mark.data, pytest.mark.slow]

STRONG = Cascade(tuple(brittle.parse_attack(text) for text in ("pgd:steps=20", "cr", "apgd", "apgdt:steps=50")))
OTHERS = (
    "fgsm",
    "pgd_cd",
    "square:queries=300",
    "rays:queries=300",
    "fmn:steps=100",
    "fab:steps=30",
    "pdpgd:steps=100",
    "cw:steps=50",
    "deepfool",
    "hop_skip_jump:queries=500",
)


def _batch(ids: list[int]) -> tuple[Tensor, Tensor]:
    return open_data("mnist").batch(ids)


def test_every_counterexample_is_found() -> None:
    missed = []
    for name, eps, ids in published.instances("sat"):
        outcome = brittle.attack(STRONG, published.network(name), *_batch(ids), brittle.linf(eps))
        missed += [(name, eps, i) for i, found in zip(ids, outcome.success.tolist(), strict=True) if not found]
    assert missed == []


@pytest.mark.parametrize("text", ["strong", *OTHERS])
def test_nothing_succeeds_where_it_is_proved_that_nothing_can(text: str) -> None:
    attack = STRONG if text == "strong" else brittle.parse_attack(text)
    count = 0
    for name, eps, ids in published.instances("unsat"):
        outcome = brittle.attack(attack, published.network(name), *_batch(ids), brittle.linf(eps))
        assert not outcome.success.any()
        assert outcome.feasible.all()
        count += len(ids)
    assert count == 44
