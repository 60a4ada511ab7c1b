"""Attacks that follow the linearised boundary: equal to their papers, optimal where the optimum is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

import brittle
import published
from brittle.attacks.minimum.deepfool import DeepFool
from brittle.attacks.minimum.fab import FAB
from brittle.attacks.minimum.fmn import FMN
from brittle.attacks.minimum.recipes import fabt
from brittle.attacks.minimum.superdeepfool import SuperDeepFool
from brittle.attacks.parts.hunt import Hunt
from brittle.attacks.parts.linearise import nearest_plane
from brittle.attacks.parts.shrink import shrunk
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.data.open import open_data
from brittle.errors import InputError
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS


def run(attack: Any, victim: Victim, x: Tensor, norm: str = "l2", starts: Tensor | None = None, **goal: Any) -> Trial:
    """Without a limit but the box."""
    with torch.no_grad():
        labels = victim(x).argmax(1)
    threat = THREATS[norm](math.inf)
    return attempt(attack, victim, threat, x, Classify(labels, **goal), torch.arange(len(x)), seed=1, starts=starts)


def pose(victim: Victim, x: Tensor, norm: str) -> Problem:
    region = THREATS[norm](math.inf).around(x, victim.lower, victim.upper)
    oracle = Oracle(victim, Ledger.empty(len(x), x.device), Access.GRADIENT)
    with torch.no_grad():
        goal = Classify(victim(x).argmax(1))
    return Problem(region, goal, oracle, Streams.seeded(0, torch.arange(len(x))))


def smallest_inside_the_box(w: Tensor, gap: float, x: Tensor, norm: str) -> float:
    """The least size of delta with <w, delta> >= gap and x + delta in [0, 1]: a linear program, or a quadratic one."""
    slope, low, high = w.numpy(), -x.numpy(), 1 - x.numpy()
    count = len(slope)
    if norm == "l2":
        free = {"type": "ineq", "fun": lambda d: slope @ d - gap}
        far = np.where(slope > 0, high, low)
        found = minimize(
            lambda d: d @ d, far, jac=lambda d: 2 * d, bounds=list(zip(low, high, strict=True)), constraints=free
        )
        return float(np.sqrt(found.fun))
    if norm == "l1":  # delta = p - q
        bounds = [*((0, top) for top in high), *((0, -bottom) for bottom in low)]
        found = linprog(np.ones(2 * count), A_ub=[np.concatenate([-slope, slope])], b_ub=[-gap], bounds=bounds)
        return float(found.fun)
    rows = np.hstack([np.vstack([np.eye(count), -np.eye(count)]), -np.ones((2 * count, 1))])  # |delta| <= t
    rows = np.vstack([rows, [*-slope, 0]])
    bounds = [*zip(low, high, strict=True), (0, None)]
    found = linprog([*np.zeros(count), 1], A_ub=rows, b_ub=[*np.zeros(2 * count), -gap], bounds=bounds)
    return float(found.fun)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("attack", [FAB(steps=20), FMN(steps=100)], ids=["fab", "fmn"])
def test_where_the_box_is_in_the_way_the_optimum_is_a_programs(attack: Any, norm: str) -> None:
    """A plane that lies so far that most features end at their limit."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(9, generator=generator, dtype=torch.float64)
    x = torch.rand(7, 9, generator=generator, dtype=torch.float64)
    reach = torch.where(weight > 0, (1 - x) * weight, -x * weight).sum(1)
    level = float(((x @ weight) + 0.5 * reach).max())
    assert bool(((x @ weight) + reach > level).all())  # within reach of all

    def forward(point: Tensor) -> Tensor:
        rise = point @ weight - level
        return torch.stack([torch.zeros_like(rise), rise], 1)

    trial = run(attack, brittle.as_victim(forward), x, norm)
    assert trial.verdict.success.all()
    for row in range(7):
        least = smallest_inside_the_box(weight, level - float(x[row] @ weight), x[row], norm)
        assert 1 - 1e-6 <= float(trial.verdict.size[row]) / least <= 1.02


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2), ("l1", math.inf)])
def test_deepfool_s_step_is_the_papers(norm: str, dual: float) -> None:
    """On linear classes one step, (1 + eta) |f_l| / ||w_l||_q, to the nearest of all other classes; two looks, two gradients."""
    model, x = linear((3, 4), 3, seed=5), inputs((3, 4), seed=5)
    z = model.victim(x).detach()
    labels = z.argmax(1)
    each = []
    for k in range(3):
        w = model.weight[k] - model.weight[labels]
        gap = z.gather(1, labels[:, None]).squeeze(1) - z[:, k]
        each.append(torch.where(labels == k, math.inf, gap / w.norm(p=dual, dim=1).clamp_min(1e-300)))
    trial = run(DeepFool(overshoot=0.3, search=0), model.victim, x, norm)
    torch.testing.assert_close(trial.verdict.size, 1.3 * torch.stack(each).amin(0), rtol=1e-4, atol=0)
    assert (trial.forwards == 3).all()
    assert (trial.backwards == 2).all()


def test_deepfool_walks_as_the_paper_says() -> None:
    """Algorithm 2 of the paper, one sample at a time; the overshoot is over the whole way, as in the authors' code."""
    victim, x = network((3, 4), classes=5, bounds=(-20.0, 20.0)), inputs((3, 4))
    trial = run(DeepFool(search=0), victim, x)
    for row in range(7):
        clean, total = x[row : row + 1], torch.zeros_like(x[:1])
        label = int(victim(clean).argmax(1))
        point, steps = clean, 0
        while int(victim(point).argmax(1)) == label:
            asked = point.clone().requires_grad_()
            z = victim(asked)[0]
            ways = {}
            for k in set(range(5)) - {label}:
                (w,) = torch.autograd.grad(z[k] - z[label], asked, retain_graph=True)
                ways[float((z[k] - z[label]).abs() / w.norm())] = w
            nearest = min(ways)
            total = total + nearest * ways[nearest] / ways[nearest].norm()
            point, steps = clean + 1.02 * total, steps + 1
        torch.testing.assert_close(trial.x_adv[row : row + 1], point, rtol=0, atol=1e-4)
        assert int(trial.backwards[row]) == 4 * steps


def test_the_likeliest_class_is_not_always_the_nearest() -> None:
    """The second class is ahead by its bias, the third is steeper: one candidate sees the second alone."""

    def forward(x: Tensor) -> Tensor:
        rise = x.flatten(1)
        return torch.stack([torch.zeros(len(x), dtype=x.dtype), rise[:, 0] - 1, 10 * rise[:, 1] - 2], 1)

    victim, x = brittle.as_victim(forward, (0.0, 5.0)), torch.zeros(2, 3, dtype=torch.float64)
    for candidates, distance in ((1, 1.0), (2, 0.2), (9, 0.2)):
        problem = pose(victim, x, "l2")
        _, value, normal = nearest_plane(problem, x, problem.region.norm, candidates)  # type: ignore[attr-defined]
        torch.testing.assert_close(value.abs() / normal.flatten(1).norm(dim=1), torch.full_like(value, distance))
        assert (problem.door.ledger.backwards == min(candidates, 2)).all()
        for attack in (DeepFool(candidates=candidates), FAB(steps=5, candidates=candidates)):
            size = run(attack, victim, x).verdict.size
            assert torch.allclose(size, torch.full_like(size, distance), rtol=2e-3)


def ellipse(x: Tensor) -> Tensor:
    """Class 1 outside the ellipse (x_0 / 3)^2 + x_1^2 = 1."""
    rise = (x[:, 0] / 3).square() + x[:, 1].square() - 1
    return torch.stack([torch.zeros_like(rise), rise], 1)


def test_the_nearest_point_of_an_ellipse() -> None:
    """DeepFool's steps go up the slope, which is not the shortest way out; the others find that, as a fine grid over the boundary does."""
    victim = brittle.as_victim(ellipse, (-5.0, 5.0))
    x = torch.tensor([[1.0, 0.3], [2.0, 0.2], [0.4, -0.5], [-1.5, 0.6]], dtype=torch.float64)
    angle = torch.linspace(0, 2 * math.pi, 100_001, dtype=torch.float64)
    rim = torch.stack([3 * angle.cos(), angle.sin()], 1)
    least = torch.cdist(x, rim).amin(1)
    plain = run(DeepFool(), victim, x).verdict.size / least
    assert float(plain.max()) > 1.01
    for attack in (SuperDeepFool(), FAB(steps=60), FMN()):
        ratio = run(attack, victim, x).verdict.size / least
        assert float(ratio.min()) >= 1 - 1e-6
        assert float(ratio.max()) <= 1.005


def test_superdeepfool_ends_when_the_projection_wins() -> None:
    """On two linear classes: look, step, look, project, look; and 5 forwards of search."""
    model, x = linear((3, 4), 2, seed=1), inputs((3, 4), seed=1)
    trial = run(SuperDeepFool(), model.victim, x)
    assert trial.verdict.success.all()
    assert (trial.backwards == 2).all()
    assert (trial.forwards == 1 + 1 + 1 + 1 + 1 + 1 + 5).all()


def test_fab_towards_a_class_costs_one_gradient_a_step() -> None:
    victim, x = network((3, 4), classes=6), inputs((3, 4), bounds=(0.0, 1.0))
    labels = victim(x).argmax(1)
    steered = run(FAB(steps=8), victim, x, towards=(labels + 1) % 6)
    alone = run(FAB(steps=8), victim, x)
    assert (steered.backwards == 8).all()
    assert (alone.backwards == 40).all()
    each = run(fabt(steps=8), victim, x)
    assert (each.backwards == 40).all()
    assert (each.verdict.size <= alone.verdict.size * 1.01).all()


def sleeper(x: Tensor) -> Tensor:
    """Steep units that wake a little away from zero; from zero, where their slope is zero, descent goes another way, many times as far."""
    rise = x[:, 0] / 4 + 20 * (x[:, 1:] - 0.02).clamp_min(0).sum(1) - 0.2
    return torch.stack([torch.zeros_like(rise), rise], 1)


def test_more_runs_of_fab_are_never_worse() -> None:
    """The later ones begin at random, and draw other numbers each."""
    victim, x = brittle.as_victim(sleeper, (-1.0, 1.0)), torch.zeros(7, 6, dtype=torch.float64)
    one, many = (run(FAB(steps=6, restarts=runs), victim, x).verdict.size for runs in (1, 5))
    assert (one > 0.5).all()
    assert (many <= one).all()
    assert (many < 0.1).any()


def test_fmn_walks_as_the_paper_says() -> None:
    """Algorithm 1 in l2, from x itself, with the radius found too large by its factor and the point on the sphere."""
    victim, x = network((3, 4), bounds=(-20.0, 20.0)), inputs((3, 4))
    labels, steps = victim(x).argmax(1), 40
    for row in range(7):
        delta, eps, best = torch.zeros_like(x[:1]), math.inf, math.inf
        for step in range(steps + 1):
            asked = (x[row : row + 1] + delta).requires_grad_()
            z, label = victim(asked)[0], int(labels[row])
            margin = torch.cat([z[:label], z[label + 1 :]]).max() - z[label]
            (grad,) = torch.autograd.grad(margin, asked)
            size, share = float(delta.norm()), (1 + math.cos(math.pi * step / steps)) / 2
            alpha, gamma = 40 * (0.01 + 0.99 * share), 0.001 + 0.049 * share
            if float(margin) > 0:
                best = min(best, size)
                eps = min(min(eps, size) * (1 - gamma), best)
            else:
                eps = (eps if best < math.inf else size + float(-margin / grad.norm())) * (1 + gamma)
            delta = delta + alpha * grad / grad.norm()
            delta = delta * eps / delta.norm()
        problem = pose(victim, x[row : row + 1], "l2").starting(x[row : row + 1])
        found, _ = FMN(steps=steps).walk(Hunt.begin(problem, "fmn", candidates=1))
        assert float(found.size) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_given_start_that_wins_is_brought_to_the_boundary_first(norm: str) -> None:
    """Ten halvings on the way of the norm; the one step after that is short."""
    model, x = linear((3, 4), 2, seed=4), inputs((3, 4), seed=4)
    labels = model.victim(x).argmax(1)
    distance = model.distance(x, labels, norm)
    far = run(brittle.repeated_fgsm(steps=60), model.victim, x, norm).x_adv
    trial = run(FMN(steps=1, step_size=1e-9, search=0), model.victim, x, norm, starts=far)
    assert trial.verdict.success.all()
    assert (trial.forwards == 2 + 10 + 2).all()
    size = THREATS[norm](math.inf).around(x, -10.0, 10.0).size(far)
    assert (trial.verdict.size <= distance + size / 512).all()


def test_beginning_at_random_sees_units_that_are_inactive_at_x() -> None:
    victim, x = brittle.as_victim(sleeper, (-1.0, 1.0)), torch.zeros(7, 6, dtype=torch.float64)
    blind, random = (run(FMN(noise=noise), victim, x).verdict.size for noise in (0.0, 2.0))
    assert (blind > 0.5).all()
    assert (random < 0.15).all()


def test_the_search_at_the_end_stops_just_beyond_the_boundary() -> None:
    victim = brittle.as_victim(ellipse, (-5.0, 5.0))
    x = torch.tensor([[1.0, 0.3], [2.0, 0.2], [0.4, -0.5], [-1.5, 0.6]], dtype=torch.float64)
    far = torch.tensor([[4.0, 1.0], [2.0, 4.0], [0.4, -5.0], [-1.0, -1.0]], dtype=torch.float64)
    problem = pose(victim, x, "l2")
    with torch.no_grad():
        margins = [problem.goal.margin(victim(point)) for point in (far, x)]
        sizes = [problem.region.size(shrunk(problem, far, *margins, rounds)) for rounds in (0, 2, 8)]
        near = shrunk(problem, far, *margins, 8)
        assert (problem.goal.margin(victim(near)) > 0).all()
        short = problem.goal.margin(victim(x + (near - x) * (1 - 2e-3)))
    assert (sizes[2] <= sizes[1]).all()
    assert (sizes[1] <= sizes[0]).all()
    assert (short <= 0).all()
    assert (problem.door.ledger.forwards == 2 + 8 + 8).all()


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (DeepFool, {"steps": 0}, "steps=0 is too few"),
        (DeepFool, {"overshoot": -0.1}, "overshoot=-0.1 stops short"),
        (SuperDeepFool, {"candidates": 0}, "candidates=0 is too few"),
        (FAB, {"restarts": 0}, "restarts=0 is too few"),
        (FAB, {"bias": 1.5}, "bias=1.5 is out of range"),
        (FMN, {"factor": 1.0}, "factor=1 cannot change a radius"),
        (FMN, {"step_size": 0.0}, "step_size=0 is not positive"),
        (FMN, {"noise": -1.0}, "noise=-1 is not a size"),
        (FMN, {"loss": "none such"}, "none such"),
    ],
)
def test_a_bad_value_is_a_sentence(kind: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        kind(**options)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("text", "norm", "most"),
    [("fmn", "l2", 1.65), ("fab", "l2", 1.75), ("fmn", "linf", 0.195), ("fab", "linf", 0.172)],
)
def test_sizes_on_a_network_that_is_trained_to_be_provably_robust(text: str, norm: str, most: float) -> None:
    """The median over the first 30 test digits, without a limit. adversarial-library, with as many gradients: 2.12, 1.62, 0.26, 0.166."""
    module = published.network("mnist_kw_eps01")
    x, labels = open_data("mnist").batch(range(30))
    outcome = brittle.attack(brittle.parse_attack(text), module, x, labels, THREATS[norm](math.inf))
    assert float(outcome.size.median()) <= most
