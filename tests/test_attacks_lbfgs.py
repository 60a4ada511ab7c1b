"""L-BFGS: the batched solver against SciPy's, and the attack where the optimum is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import brittle
from brittle.attacks.minimum.lbfgs import LBFGS
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.kernels.lbfgs import minimise
from brittle.testing import linear
from brittle.testing.victims import inputs

B, N = 3, 17
Ask = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def _quadratic(x: Tensor, rows: Tensor) -> Tensor:
    factor = _normal(B, N, N)
    matrix = factor @ factor.mT / N + 0.02 * torch.eye(N, dtype=torch.float64)
    return (x * (matrix[rows] @ x[..., None]).squeeze(2)).sum(1) / 2 - (_normal(B, N)[rows] * x).sum(1)


def _rosenbrock(x: Tensor, rows: Tensor) -> Tensor:
    valley = 100 * (x[:, 1:] - x[:, :-1].square()).square() + (1 - x[:, :-1]).square()
    return valley.sum(1) + (_normal(B, N)[rows] * x).sum(1)


def _asked(function: Callable[[Tensor, Tensor], Tensor], counts: Tensor) -> Ask:
    def ask(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        counts[rows] += 1
        x = x.clone().requires_grad_()
        value = function(x, rows)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    return ask


def _scipy(ask: Ask, row: int, lower: Tensor, upper: Tensor) -> float:
    def one(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = ask(torch.from_numpy(z)[None], torch.tensor([row]))
        return float(value), grad[0].numpy()

    bounds = list(zip(lower.tolist(), upper.tolist(), strict=True))
    options = {"maxiter": 5000, "ftol": 1e-12, "maxcor": 8}
    return float(minimize(one, np.zeros(N), jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun)


@pytest.mark.parametrize("function", [_quadratic, _rosenbrock])
@pytest.mark.parametrize("room", [0.3, 2.0])
def test_as_low_as_scipy_with_limits_that_bind(function: Callable[[Tensor, Tensor], Tensor], room: float) -> None:
    lower = -room * _normal(B, N).abs()
    upper = torch.full_like(lower, room)
    counts, theirs = torch.zeros(B), torch.zeros(B)
    ask = _asked(function, counts)
    first = torch.full((B,), 0.1, dtype=torch.float64)
    start = torch.zeros(B, N, dtype=torch.float64)
    point, value = minimise(ask, start, lower, upper, first, 1000, tolerance=1e-12)
    assert bool(((point >= lower) & (point <= upper)).all())
    if function is _quadratic:
        assert bool(((point == lower) | (point == upper)).any(1).all())
    for row in range(B):
        assert float(value[row]) <= _scipy(_asked(function, theirs), row, lower[row], upper[row]) + 1e-6
    assert float(counts.sum()) <= 1.5 * float(theirs.sum())


def test_newton_s_answer_where_no_limit_binds() -> None:
    factor = _normal(B, N, N)
    matrix = factor @ factor.mT / N + 0.02 * torch.eye(N, dtype=torch.float64)
    wide = torch.full((B, N), 1e6, dtype=torch.float64)
    first, start = torch.ones(B, dtype=torch.float64), torch.zeros(B, N, dtype=torch.float64)
    point, _ = minimise(_asked(_quadratic, torch.zeros(B)), start, -wide, wide, first, 1000, tolerance=1e-14)
    torch.testing.assert_close(point, torch.linalg.solve(matrix, _normal(B, N)), rtol=1e-4, atol=1e-4)


def test_the_calls_are_capped_and_those_that_are_done_are_left_out() -> None:
    counts = torch.zeros(B)
    scale = torch.tensor([1e-9, 1.0, 1.0], dtype=torch.float64)
    wide = torch.full((B, N), 3.0, dtype=torch.float64)
    ask = _asked(lambda x, rows: _rosenbrock(x, rows) * scale[rows], counts)
    minimise(ask, 0 * wide, -wide, wide, torch.full((B,), 0.1, dtype=torch.float64), 9)
    assert counts.tolist() == [1, 9, 9]


def test_values_that_are_not_numbers_are_stepped_around() -> None:
    """f = -log(1 - x) - 3 x has its lowest point at 2/3 and is not a number beyond 1, which the first step overshoots."""

    def ask(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return (-(1 - x).log() - 3 * x).sum(1), 1 / (1 - x) - 3

    wide = torch.full((2, 1), 5.0, dtype=torch.float64)
    point, _ = minimise(ask, 0 * wide, -wide, wide, torch.full((2,), 2.0, dtype=torch.float64), 60, tolerance=1e-14)
    torch.testing.assert_close(point, torch.full_like(point, 2 / 3), rtol=1e-5, atol=0)


@pytest.mark.parametrize("target", [None, 2])
@pytest.mark.parametrize("shape", [(5,), (2, 5, 6)])
def test_nearest_point_of_linear_classes(shape: tuple[int, ...], target: int | None) -> None:
    model, x = linear(shape, 3), inputs(shape)
    labels = model.victim(x).argmax(1)
    targets = None if target is None else (labels + target) % 3
    trial = attempt(LBFGS(), model.victim, brittle.l2(math.inf), x, Classify(labels, targets), torch.arange(7), 0)
    ratio = trial.verdict.size / model.distance(x, labels, "l2", targets)
    assert bool(trial.verdict.success.all())
    assert bool((ratio >= 1 - 1e-9).all())
    # with a target the distance is a lower bound, and met where one other class is in the way
    assert float(ratio.max() if target is None else ratio.median()) <= 1.02


def test_nearest_point_inside_a_box_that_binds() -> None:
    """The nearest point of a half-space inside a box, which SciPy's SLSQP finds too."""
    model, x = linear((12,), 2, bounds=(0.0, 1.0)), inputs((12,), bounds=(0.0, 1.0))
    labels = model.victim(x).argmax(1)
    trial = attempt(LBFGS(), model.victim, brittle.l2(math.inf), x, Classify(labels), torch.arange(7), 0)
    for row in range(7):
        sign = 1.0 if int(labels[row]) == 0 else -1.0
        normal = sign * (model.weight[1] - model.weight[0]).numpy()
        offset = sign * float(model.bias[1] - model.bias[0])
        here = x[row].numpy()
        reachable = float(np.clip(normal, 0, None).sum()) + offset > 0
        if not reachable:
            assert not bool(trial.verdict.success[row])
            continue
        answer = minimize(
            lambda z, here=here: float(((z - here) ** 2).sum()),
            np.where(normal > 0, 1.0, 0.0),
            bounds=[(0, 1)] * 12,
            constraints={"type": "ineq", "fun": lambda z, n=normal, o=offset: float(n @ z) + o},
            method="SLSQP",
            options={"ftol": 1e-12},
        )
        assert float(trial.verdict.size[row]) <= 1.01 * math.sqrt(answer.fun)
        assert float(trial.verdict.size[row]) >= (1 - 1e-6) * math.sqrt(answer.fun)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_wanted_confidence_lies_as_far_beyond_the_boundary_as_its_log_odds(targeted: bool) -> None:
    model, x = linear((2, 5, 6), 2), inputs((2, 5, 6))
    outputs = model.victim(x)
    labels = outputs.argmax(1)
    goal = Classify(labels, 1 - labels if targeted else None, confidence=0.95)
    trial = attempt(LBFGS(), model.victim, brittle.l2(math.inf), x, goal, torch.arange(7), 0)
    slope = (model.weight[1] - model.weight[0]).norm()
    optimum = ((outputs[:, 1] - outputs[:, 0]).abs() + math.log(0.95 / 0.05)) / slope
    assert bool(trial.verdict.success.all())
    torch.testing.assert_close(trial.verdict.size, optimum, rtol=1e-3, atol=0)


def test_a_model_that_is_flat_at_x_is_left_by_noise() -> None:
    def forward(x: Tensor) -> Tensor:
        rise = (x.flatten(1) - 0.5).abs().clamp_min(0.01).sum(1)
        return torch.stack([torch.full_like(rise, 0.3), rise], 1)

    victim = brittle.as_victim(forward, (0.0, 1.0))
    x = torch.full((3, 6), 0.5, dtype=torch.float64)
    goal = Classify(torch.zeros(3, dtype=torch.int64))
    assert bool(attempt(LBFGS(), victim, brittle.l2(math.inf), x, goal, torch.arange(3), 0).verdict.success.all())


@pytest.mark.parametrize("options", [{"steps": 0}, {"rounds": 0}, {"memory": 0}, {"candidates": 0}, {"search": -1}])
def test_refuses_what_makes_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(brittle.InputError, match=next(iter(options))):
        LBFGS(**options)
