"""The door to the victim, the judge, and the trial: what is charged, what is refused, what counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.incumbent import Incumbent
from brittle.core.judge import judge
from brittle.core.oracle import BudgetSpent, Ledger, Oracle
from brittle.core.trial import attempt
from brittle.core.victim import Victim, as_victim
from brittle.errors import InputError
from brittle.testing import linear, network
from brittle.testing.victims import inputs

X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))


def _oracle(access: Access = Access.GRADIENT, budget: int | None = None) -> tuple[Oracle, Ledger]:
    ledger = Ledger.empty(7, torch.device("cpu"))
    return Oracle(VICTIM, ledger, access, budget=budget), ledger


def test_a_forward_is_charged_a_row_and_a_backward_when_autograd_comes_back() -> None:
    oracle, ledger = _oracle()
    asked = X.clone().requires_grad_()
    outputs = oracle(asked)
    assert ledger.forwards.tolist() == [1] * 7
    assert ledger.backwards.tolist() == [0] * 7
    torch.autograd.grad(outputs[:, 0].sum(), asked, retain_graph=True)
    torch.autograd.grad(outputs[:, 1].sum(), asked)
    assert ledger.backwards.tolist() == [2] * 7
    assert ledger.forwards.tolist() == [1] * 7


def test_selected_rows_are_charged_to_the_whole_ledger() -> None:
    oracle, ledger = _oracle()
    part = oracle.select(torch.tensor([5, 0, 3]))
    part(X[[5, 0, 3]])
    again = part.select(torch.tensor([2]))  # row 3 of the whole
    asked = X[[3]].clone().requires_grad_()
    torch.autograd.grad(again(asked).sum(), asked)
    assert ledger.forwards.tolist() == [1, 0, 0, 2, 0, 1, 0]
    assert ledger.backwards.tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_scores_have_no_graph_and_labels_are_one_hot() -> None:
    asked = X.clone().requires_grad_()
    scores = _oracle(Access.SCORES)[0](asked)
    assert not scores.requires_grad
    torch.testing.assert_close(scores, VICTIM(X).detach())
    labels = _oracle(Access.LABELS)[0](asked)
    assert not labels.requires_grad
    assert torch.equal(labels.argmax(1), scores.argmax(1))
    assert torch.equal(labels.sum(1), torch.ones(7, dtype=labels.dtype))
    assert set(labels.unique().tolist()) == {0.0, 1.0}


def test_a_budget_allows_exactly_as_much_as_it_says() -> None:
    oracle, ledger = _oracle(Access.SCORES, budget=3)
    for _ in range(3):
        oracle(X)
    with pytest.raises(BudgetSpent, match="budget of 3 forwards and backwards"):
        oracle(X)
    assert ledger.forwards.tolist() == [3] * 7


def test_a_model_without_gradient_is_told() -> None:
    victim = as_victim(lambda x: VICTIM(x).detach())
    with pytest.raises(InputError, match="gives no gradient with respect to its input"):
        brittle.attack(brittle.fgsm(), victim, X, VICTIM(X).argmax(1), brittle.linf(0.1))
    brittle.attack(brittle.uniform_noise(3), victim, X, VICTIM(X).argmax(1), brittle.linf(0.1))


def test_the_judge_trusts_no_infeasible_point() -> None:
    model = linear((3, 4), 2)
    x = inputs((3, 4))
    labels = model.victim(x).argmax(1)
    region = brittle.linf(0.01).around(x, -10.0, 10.0)
    direction = (model.weight[1 - labels] - model.weight[labels]).sign().view_as(x)
    verdict = judge(model.victim, region, Classify(labels), x + 3 * direction)
    assert (verdict.margin > 0).all()
    assert not verdict.feasible.any()
    assert not verdict.success.any()
    torch.testing.assert_close(verdict.size, torch.full((7,), 3.0, dtype=torch.float64))
    outside = judge(model.victim, brittle.box().around(x, -10.0, 10.0), Classify(labels), x + 12 * direction)
    assert not outside.success.any()  # inside no box


def test_the_judge_counts_no_nan() -> None:
    x, steady = X.clone(), as_victim(lambda x: torch.nan_to_num(VICTIM(x)))
    x[2, 0, 0] = math.nan
    verdict = judge(steady, brittle.box().around(X, 0.0, 1.0), Classify(VICTIM(X).argmin(1)), x)
    assert not verdict.success[2]
    assert verdict.success[[0, 1, 3, 4, 5, 6]].all()
    with pytest.raises(InputError, match="NaN logits for 1 of 7 adversarial inputs"):
        judge(VICTIM, brittle.box().around(X, 0.0, 1.0), Classify(VICTIM(X).argmin(1)), x)


def test_a_point_on_the_boundary_is_not_won() -> None:
    victim = as_victim(lambda x: torch.zeros(len(x), 3))
    verdict = judge(victim, brittle.box().around(X, 0.0, 1.0), Classify(torch.zeros(7, dtype=torch.int64)), X)
    assert not verdict.success.any()
    assert (verdict.margin == 0).all()


@dataclass(frozen=True)
class _Cheat:
    """Moves the clean input itself, so that the way to it looks short."""

    access, minimises, paper = Access.SCORES, False, "none"

    def __call__(self, problem: Any) -> Tensor:
        problem.x.fill_(0.5)
        return problem.x


@dataclass(frozen=True)
class _Wrong:
    access, minimises, paper = Access.SCORES, False, "none"

    def __call__(self, problem: Any) -> Tensor:
        return problem.x[:, 0]


def test_an_attack_that_writes_into_the_clean_input_is_found_out() -> None:
    kept = X.clone()
    trial = attempt(_Cheat(), VICTIM, brittle.linf(0.01), X, Classify(VICTIM(X).argmin(1)), torch.arange(7), 0)
    assert not trial.verdict.feasible.any()
    assert torch.equal(X, kept)


def test_what_is_no_attack_is_told() -> None:
    goal = Classify(VICTIM(X).argmax(1))
    with pytest.raises(
        InputError, match=r"'fgsm' is not an attack value; did you forget to call it.*brittle\.fgsm\(\)"
    ):
        attempt(brittle.fgsm, VICTIM, brittle.linf(0.1), X, goal, torch.arange(7), 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"_Wrong returned \(7, 4\); an attack returns points of shape \(7, 3, 4\)"):
        attempt(_Wrong(), VICTIM, brittle.linf(0.1), X, goal, torch.arange(7), 0)


def test_the_incumbent_keeps_the_best_and_never_a_nan() -> None:
    best = Incumbent.at(torch.zeros(3, 2))
    best.offer(torch.ones(3, 2), torch.tensor([1.0, math.nan, -5.0]))
    assert best.point[:, 0].tolist() == [1, 0, 1]
    best.offer(torch.full((2, 2), 2.0), torch.tensor([0.5, 7.0]), torch.tensor([0, 1]))
    assert best.point[:, 0].tolist() == [1, 2, 1]
    assert best.score.tolist() == [1, 7, -5]


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_outputs_may_have_another_dtype_than_inputs(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    model = network((3, 4), dtype=dtypes[1])
    victim = as_victim(lambda x: model(x.to(dtypes[1])))
    x = X.to(dtypes[0])
    for attack in (brittle.pgd(5), brittle.pgd(5, restarts=3), brittle.uniform_noise(3)):
        outcome = brittle.attack(attack, victim, x, victim(x).argmax(1), brittle.l2(0.5))
        assert outcome.x_adv.dtype == dtypes[0]
        assert outcome.feasible.all()


def test_a_victim_that_gives_scores_refuses_attacks_by_gradient() -> None:
    blind = Victim(lambda x: x.flatten(1)[:, :2], access=Access.SCORES, name="far away")
    x, labels = torch.full((1, 2), 0.5), torch.tensor([0])
    with pytest.raises(InputError, match="GradientAscent needs gradients and far away gives scores alone"):
        attempt(brittle.fgsm(), blind, brittle.linf(0.1), x, Classify(labels), torch.arange(1), 0)
    assert (
        attempt(brittle.square(queries=5), blind, brittle.linf(0.1), x, Classify(labels), torch.arange(1), 0).forwards
        > 0
    )
