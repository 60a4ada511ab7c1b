"""Losses and goals, against the direct formulas in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from brittle.core.goal import Classify
from brittle.core.losses import LOSSES, find_loss, find_slope, register_loss
from brittle.errors import InputError

LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])
TARGETS = torch.tensor([1, 2, 3, 4, 0, 3, 4])
GOALS = {"untargeted": Classify(LABELS), "targeted": Classify(LABELS, TARGETS)}


def _outputs(seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _with_gradient(loss: object, outputs: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs.clone().requires_grad_()
    value = loss(outputs)  # type: ignore[operator]
    return value.detach(), torch.autograd.grad(value.sum(), outputs)[0]


@pytest.mark.parametrize("kind", GOALS)
def test_cross_entropy_is_torch_s_with_its_gradient(kind: str) -> None:
    goal, loss = GOALS[kind], find_loss("cross_entropy")
    sign, classes = (-1, TARGETS) if goal.targeted else (1, LABELS)
    ours = _with_gradient(lambda z: loss(z, goal), _outputs())
    theirs = _with_gradient(lambda z: sign * F.cross_entropy(z, classes, reduction="none"), _outputs())
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gap", [20.0, 40.0, 80.0])
def test_cross_entropy_keeps_its_gradient_where_float32_rounds_the_probability_to_one(gap: float) -> None:
    outputs = torch.zeros(7, 5).scatter(1, LABELS[:, None], gap)
    _, grad = _with_gradient(lambda z: find_loss("cross_entropy")(z, GOALS["untargeted"]), outputs)
    _, usual = _with_gradient(lambda z: F.cross_entropy(z, LABELS, reduction="none"), outputs)
    assert (usual.gather(1, LABELS[:, None]) == 0).all()  # what is avoided
    assert (grad.gather(1, LABELS[:, None]) < 0).all()
    assert ((grad != 0).sum(1) == 5).all()


@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_slope_is_the_gradient_of_its_loss(name: str, kind: str) -> None:
    for seed in range(5):
        _, wanted = _with_gradient(lambda z: find_loss(name)(z, GOALS[kind]), _outputs(seed))
        torch.testing.assert_close(find_slope(name)(_outputs(seed), GOALS[kind]), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gap", [20.0, 40.0, 80.0])
def test_the_slope_of_cross_entropy_does_not_cancel_to_zero(gap: float) -> None:
    outputs = torch.zeros(7, 5).scatter(1, LABELS[:, None], gap)
    slope = find_slope("cross_entropy")(outputs, GOALS["untargeted"])
    assert (slope.gather(1, LABELS[:, None]) < 0).all()
    torch.testing.assert_close(slope.sum(1), torch.zeros(7), atol=1e-12, rtol=0)


def test_dlr_is_the_paper_s() -> None:
    z = _outputs()
    for row in range(7):
        y, t, top = int(LABELS[row]), int(TARGETS[row]), z[row].sort(descending=True).values
        other = max(float(z[row, j]) for j in range(5) if j != y)
        untargeted = -(z[row, y] - other) / (top[0] - top[2])
        targeted = -(z[row, y] - z[row, t]) / (top[0] - (top[2] + top[3]) / 2)
        assert float(find_loss("dlr")(z, GOALS["untargeted"])[row]) == pytest.approx(float(untargeted))
        assert float(find_loss("dlr")(z, GOALS["targeted"])[row]) == pytest.approx(float(targeted))


@pytest.mark.parametrize("kind", GOALS)
def test_the_other_losses_are_their_formulas(kind: str) -> None:
    z, goal = _outputs(), GOALS[kind]
    p = z.softmax(1)
    for row in range(7):
        y, t = int(LABELS[row]), int(TARGETS[row])
        won, lost = (t, t) if goal.targeted else (None, y)
        for name, values in (("margin", z), ("probability_margin", p)):
            best = max(float(values[row, j]) for j in range(5) if j != lost)
            wanted = best - float(values[row, y]) if won is None else float(values[row, t]) - best
            assert float(find_loss(name)(z, goal)[row]) == pytest.approx(wanted)
        if goal.targeted:
            assert float(find_loss("logit_difference")(z, goal)[row]) == pytest.approx(float(z[row, t] - z[row, y]))


@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.parametrize(
    "name", ["cross_entropy", "margin", "dlr", "probability", "probability_margin", "logit_difference"]
)
def test_losses_ignore_a_shift_of_the_logits_and_dlr_their_scale(name: str, kind: str) -> None:
    z, loss = _outputs(), find_loss(name)
    torch.testing.assert_close(loss(z + 11, GOALS[kind]), loss(z, GOALS[kind]))
    assert torch.allclose(loss(3 * z, GOALS[kind]), loss(z, GOALS[kind])) == (name == "dlr")


@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.parametrize(
    "name", ["cross_entropy", "margin", "dlr", "probability", "probability_margin", "logit_difference"]
)
def test_losses_rise_towards_the_goal(name: str, kind: str) -> None:
    """Ascending a loss must help the adversary: its gradient points away from the label, or towards the target."""
    right = _outputs().scatter(1, LABELS[:, None], 9.0)  # where the label is third, dlr is flat
    _, grad = _with_gradient(lambda z: find_loss(name)(z, GOALS[kind]), right)
    if kind == "targeted":
        assert (grad.gather(1, TARGETS[:, None]) > 0).all()
    else:
        assert (grad.gather(1, LABELS[:, None]) < 0).all()


def test_dlr_says_how_many_classes_it_needs() -> None:
    goal = Classify(torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(InputError, match="needs at least 3 classes, the model has 2; use loss=margin"):
        find_loss("dlr")(torch.tensor([[1.0, 2.0]]), Classify(torch.tensor([0])))
    with pytest.raises(InputError, match="targeted dlr needs at least 4 classes, the model has 3"):
        find_loss("dlr")(torch.tensor([[1.0, 2.0, 3.0]]), goal)


def test_a_loss_of_one_s_own_is_found_and_no_name_is_taken_twice() -> None:
    with pytest.raises(InputError, match="a loss named 'margin' exists already"):
        register_loss("margin")(lambda outputs, goal: outputs[:, 0])
    mine = register_loss("of_my_own")(lambda outputs, goal: outputs[:, 0])
    try:
        assert find_loss("of_my_own") is mine
    finally:
        del LOSSES["of_my_own"]
    with pytest.raises(InputError, match=r"unknown loss 'cross_entrop'; did you mean cross_entropy\?"):
        find_loss("cross_entrop")


@pytest.mark.parametrize("kind", GOALS)
@given(seed=st.integers(0, 1000), confidence=st.floats(0.05, 0.95), scale=st.sampled_from([0.5, 3.0, 9.0]))
def test_the_margin_is_positive_exactly_when_the_winner_has_the_confidence(
    kind: str, seed: int, confidence: float, scale: float
) -> None:
    z, plain = _outputs(seed, scale), GOALS[kind]
    goal = Classify(plain.labels, plain.targets, confidence)
    probability, predicted = z.softmax(1).max(1)
    won = predicted == TARGETS if goal.targeted else predicted != LABELS
    assert torch.equal(plain.margin(z) > 0, won)
    clear = (probability - confidence).abs() > 1e-9
    assert torch.equal((goal.margin(z) > 0)[clear], (won & (probability > confidence))[clear])


def test_a_tie_is_not_won() -> None:
    z = torch.zeros(7, 5)
    for goal in GOALS.values():
        assert not (goal.margin(z) > 0).any()


def test_selecting_rows_of_a_goal() -> None:
    goal, rows = Classify(LABELS, TARGETS, 0.9), torch.tensor([4, 1])
    chosen = goal.select(rows)
    assert chosen.confidence == 0.9
    torch.testing.assert_close(chosen.margin(_outputs()[rows]), goal.margin(_outputs())[rows])
