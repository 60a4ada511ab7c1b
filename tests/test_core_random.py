"""Victims that answer at random are judged by the mean of their probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

import brittle
from brittle.core.victim import as_victim
from brittle.data.samples import as_data
from brittle.tasks.classification import Classification


def fickle(x: Tensor) -> Tensor:
    """Class 0 at odds that the input sets: with probability 1 - x it says 0, very sure, else 1."""
    says = (torch.rand(len(x)) < x[:, 0]).long()
    return 20.0 * torch.nn.functional.one_hot(says, 2).float()


def test_the_mean_of_the_probabilities_is_what_is_judged() -> None:
    x = torch.tensor([[0.1], [0.4], [0.6], [0.9]])
    victim = as_victim(fickle)
    torch.manual_seed(0)
    mean = victim.averaged(4000)(x).exp()
    assert torch.allclose(mean[:, 1], x[:, 0].double(), atol=0.03)
    assert torch.allclose(mean.sum(1), torch.ones(4, dtype=torch.float64))
    assert victim.averaged(1) is victim


def test_one_lucky_answer_is_no_success() -> None:
    """From 0.3 noise of 0.1 gets to 0.4 at most, where the model is wrong four times in ten: only a judge of one draw counts that."""
    x = torch.cat([torch.full((200, 1), 0.3), torch.full((200, 1), 0.42)])
    labels = torch.zeros(400, dtype=torch.long)
    data = as_data((x, labels), (0.0, 1.0))
    once, often = (
        Classification(as_victim(fickle), data, draws=draws).run(
            brittle.uniform_noise(), brittle.linf(0.1), range(400), 0
        )
        for draws in (1, 1000)
    )
    assert 0.2 < float(once.success[:200].float().mean()) < 0.55
    assert not often.success[:200].any()
    assert often.clean_correct.all()
    assert 0.02 < float(often.success[200:].float().mean()) < 0.2
