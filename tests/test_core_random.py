"""Victims that answer at random are judged by tests on fresh answers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.drawn import mean_of, settled
from brittle.core.goal import Classify
from brittle.core.victim import as_victim
from brittle.data.samples import as_data
from brittle.tasks.classification import Classification


def fickle(x: Tensor) -> Tensor:
    """Class 0 at odds that the input sets: with probability 1 - x it says 0, very sure, else 1."""
    says = (torch.rand(len(x)) < x[:, 0]).long()
    return 20.0 * torch.nn.functional.one_hot(says, 2).float()


def task(x: Tensor, batch_size: int = 256, draws: int = 512) -> Classification:
    data = as_data((x, torch.zeros(len(x), dtype=torch.long)), (0.0, 1.0))
    return Classification(as_victim(fickle), data, batch_size=batch_size, draws=draws)


def test_answers_come_to_the_class_that_is_named_most_and_the_mean_of_its_probabilities() -> None:
    answers, label = (
        torch.tensor([[9.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 0.0]]),
        torch.tensor([0]),
    )
    mean = answers.double().softmax(1).mean(0)
    assert torch.allclose(mean_of(answers).exp(), mean)
    said = settled(answers, label, Classify(label))
    assert (said.right, said.opinion.predicted, said.opinion.success) == (True, 0, False)
    assert said.opinion.margin == pytest.approx(float(mean[1].log() - mean[0].log()))
    assert said.opinion.confidence == pytest.approx(float(mean[0]))
    other = settled(answers, torch.tensor([1]), Classify(torch.tensor([1]), torch.tensor([0])))
    assert (other.right, other.opinion.success) == (False, True)
    unsure = settled(answers, label, Classify(label, torch.tensor([1]), confidence=0.9999))
    assert not unsure.opinion.success
    none = settled(answers[3:], label, Classify(label))
    assert (none.right, none.opinion.success) == (False, False)  # a tie names nobody


def test_one_lucky_answer_is_no_success() -> None:
    """From 0.3 noise of 0.1 gets to 0.4 at most, where the model is wrong four times in ten: only a judge of one draw counts that."""
    x = torch.cat([torch.full((30, 1), 0.3), torch.full((10, 1), 0.42)])
    once = task(x, draws=1).run(brittle.uniform_noise(), brittle.linf(0.1), range(40), 0)
    assert 0.1 < float(once.success[:30].float().mean()) < 0.6
    often = task(x)
    near, far = (often.run(brittle.uniform_noise(), brittle.linf(eps), range(40), 0) for eps in (0.1, 0.5))
    assert near.clean_correct.all()
    assert not near.success.any()  # 0.52 at most: that is not told from one half by 512 answers
    wrong = far.x_adv[:, 0]
    assert far.success[wrong > 0.7].all()
    assert not far.success[wrong < 0.5].any()
    assert 0.1 < float(far.success.float().mean()) < 0.5


@pytest.mark.slow
def test_however_many_attacks_are_tried_nothing_falls_where_nothing_matters() -> None:
    judged = task(torch.linspace(0.35, 0.6, 20)[:, None])
    attacks = [brittle.uniform_noise(draws=count) for count in range(1, 11)]
    clean = judged.run(None, brittle.box(), range(20), 0).clean_correct
    assert 10 < int(clean.sum()) < 16
    for attack in attacks:
        results = judged.run(attack, brittle.linf(1e-6), range(20), 0)
        assert torch.equal(results.clean_correct, clean)
        assert not results.success[clean].any()


def test_what_is_asked_of_a_sample_does_not_depend_on_its_neighbours() -> None:
    x = torch.linspace(0.1, 0.6, 12)[:, None]
    whole = task(x).run(brittle.uniform_noise(), brittle.linf(0.4), range(12), 0)
    assert 0 < int((whole.success & whole.clean_correct).sum()) < int(whole.clean_correct.sum()) < 12
    for ids, size in ((range(11, -1, -1), 5), ((3, 7, 8), 1)):
        part = task(x, size).run(brittle.uniform_noise(), brittle.linf(0.4), list(ids), 0)
        for field in fields(part):
            if field.name != "seconds":
                assert torch.equal(getattr(part, field.name), getattr(whole, field.name)[list(ids)]), field.name


@pytest.mark.parametrize("goal", ["second", "random", "class:1"])
def test_targets_are_chosen_by_all_answers_and_reached_by_proof_too(goal: str) -> None:
    data = as_data((torch.tensor([[0.1], [0.2]]), torch.tensor([0, 0])), (0.0, 1.0))
    judged = Classification(as_victim(fickle), data, goal, draws=512)
    assert judged.run(brittle.uniform_noise(), brittle.box(), range(2), 0).target.tolist() == [1, 1]


def test_attack_finds_out_that_the_model_is_random_and_says_so() -> None:
    x, labels = torch.linspace(0.05, 0.55, 11)[:, None], torch.zeros(11, dtype=torch.long)
    for seed in range(3):
        near = brittle.attack(brittle.uniform_noise(), fickle, x, labels, brittle.linf(1e-6), seed=seed)
        assert near.random
        assert not (near.success & near.clean_correct).any()
    assert "because the model answers at random" in repr(near)
    far = brittle.attack(brittle.uniform_noise(), fickle, x, labels, brittle.linf(0.5), batch_size=4)
    wrong = far.x_adv[:, 0]
    assert far.random
    assert far.success[wrong > 0.7].all()
    assert int((far.success & far.clean_correct).sum()) > 0
    steady = brittle.attack(
        brittle.uniform_noise(), lambda x: torch.cat([3 * x, 1 - x], 1), x, labels, brittle.linf(0.5)
    )
    assert not steady.random
    assert "random" not in repr(steady)


def test_the_callers_random_numbers_are_where_they_were() -> None:
    x, labels = torch.full((3, 1), 0.4), torch.zeros(3, dtype=torch.long)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    brittle.attack(brittle.uniform_noise(), fickle, x, labels, brittle.linf(0.1))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_evaluation_with_attacks_of_the_users_own_finds_it_out_too_and_says_how_it_judged() -> None:
    x, labels = torch.linspace(0.05, 0.45, 9)[:, None], torch.zeros(9, dtype=torch.long)
    attacks = {f"noise of {count}": brittle.uniform_noise(draws=count) for count in range(1, 6)}
    report = brittle.evaluate(fickle, (x, labels), brittle.linf(1e-6), attacks=attacks, grid=[1e-6], progress=False)
    assert report.plan.draws == 512
    assert report.robust_accuracy == report.clean_accuracy == 1.0
    (said,) = [doubt for doubt in report.summary.doubts if doubt.kind == "tested"]
    assert "The model answers at random" in said.measured
    assert "at most 0.5 %, in all 5 looks" in said.why
    steady = brittle.evaluate(
        nn.Linear(1, 2).eval(), (x, labels), brittle.linf(0.1), attacks=["fgsm"], grid=[0.1], progress=False
    )
    assert steady.plan.draws == 1
    assert "tested" not in {doubt.kind for doubt in steady.summary.doubts}


def test_more_looks_than_the_chance_is_spread_over_are_refused(tmp_path: Path) -> None:
    x, labels = torch.full((3, 1), 0.2), torch.zeros(3, dtype=torch.long)
    grid, out = [k / 1000 for k in range(1, 600)], tmp_path / "run"
    with pytest.raises(brittle.InputError, match="beyond 500 looks at a sample, luck alone may fool it"):
        brittle.evaluate(
            fickle, (x, labels), brittle.linf(0.1), attacks=["uniform_noise"], grid=grid, out=out, progress=False
        )
    assert not out.exists()
