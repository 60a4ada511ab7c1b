"""Classification: what is attacked, with which goal, and that the batch around a sample changes nothing."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import brittle
from brittle.errors import InputError
from brittle.tasks.classification import Classification, choose_targets
from brittle.testing import network
from brittle.testing.victims import inputs

X = inputs((3, 4), 11, bounds=(0.0, 1.0))
VICTIM = network((3, 4), classes=5)
OUTPUTS = VICTIM(X).detach()
LABELS = OUTPUTS.argmax(1)
LABELS[[2, 8]] = OUTPUTS[[2, 8]].argmin(1)  # wrong from the start
DATA: Any = SimpleNamespace(batch=lambda ids: (X[list(ids)], LABELS[list(ids)]))


def _run(attack: Any, ids: Any = range(11), goal: str = "untargeted", batch_size: int = 4) -> Any:
    return Classification(VICTIM, DATA, goal, batch_size).run(attack, brittle.linf(0.06), list(ids), seed=5)


def test_a_sample_that_is_wrong_untouched_is_not_attacked() -> None:
    results = _run(brittle.pgd(5))
    assert results.clean_correct.tolist() == [i not in (2, 8) for i in range(11)]
    for row in (2, 8):
        assert torch.equal(results.x_adv[row], X[row])
        assert results.size[row] == 0
        assert results.forwards[row] == results.backwards[row] == 0
        assert results.success[row]  # the untouched input is misclassified, and that is its result
    assert (results.forwards[results.clean_correct] > 0).all()


def test_without_an_attack_the_inputs_are_untouched() -> None:
    results = _run(None)
    assert torch.equal(results.x_adv, X)
    assert torch.equal(results.predicted, OUTPUTS.argmax(1))
    assert torch.equal(results.success, ~results.clean_correct)
    assert (results.forwards == 0).all()


@pytest.mark.parametrize("goal", ["untargeted", "least-likely", "second", "random", "class:3"])
def test_batch_order_and_subset_change_no_row(goal: str) -> None:
    whole = _run(brittle.pgd(5, restarts=2), goal=goal)
    for ids, size in (((10, 2, 4), 2), (range(11), 1), (range(10, -1, -1), 7)):
        part = _run(brittle.pgd(5, restarts=2), ids, goal, size)
        for field in fields(part):
            if field.name != "seconds":
                found, wanted = getattr(part, field.name), getattr(whole, field.name)[list(ids)]
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_targets_are_what_the_goal_says_and_never_the_label() -> None:
    chosen = {goal: _run(None, goal=goal).target for goal in ("least-likely", "second", "random", "class:3")}
    assert (_run(None).target == -1).all()
    for row in range(11):
        order = [c for c in OUTPUTS[row].argsort().tolist() if c != LABELS[row]]
        assert chosen["least-likely"][row] == order[0]
        assert chosen["second"][row] == order[-1]
        assert chosen["class:3"][row] == (order[-1] if LABELS[row] == 3 else 3)
        assert chosen["random"][row] != LABELS[row]


def test_random_targets_are_uniform_over_the_other_classes() -> None:
    from brittle.core.streams import Streams

    labels, streams = torch.full((4000,), 2), Streams.seeded(0, torch.arange(4000))
    targets = choose_targets("random", torch.zeros(4000, 5), labels, streams)
    assert targets is not None
    counts = targets.bincount(minlength=5)
    assert counts[2] == 0
    assert (counts[[0, 1, 3, 4]] - 1000).abs().max() < 5 * 1000**0.5


def test_a_goal_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="the goal 'worst' is not one of untargeted"):
        Classification(VICTIM, DATA, "worst")
    with pytest.raises(InputError, match="target class 9 is out of range: the model has 5 classes"):
        _run(None, goal="class:9")
