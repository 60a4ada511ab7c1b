"""Attacks that change few features, and the search for the smallest radius: equal to their papers, optimal where the optimum is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import brittle
from brittle.attacks import parse_attack
from brittle.attacks.combine.bisect import Bisect
from brittle.attacks.minimum.brendel_bethge import BrendelBethge
from brittle.attacks.minimum.jsma import JSMA
from brittle.attacks.minimum.sigma_zero import SigmaZero
from brittle.attacks.minimum.vfga import VFGA
from brittle.attacks.score.one_pixel import OnePixel
from brittle.attacks.score.patch_rs import FrameRS, PatchRS
from brittle.attacks.score.sparse_rs import SparseRS
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.problem import Problem
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim
from brittle.kernels import planes, trust_region
from brittle.kernels.pairs import best_pair
from brittle.testing import linear, network
from brittle.testing.victims import inputs
from brittle.threats import THREATS

ROWS = torch.arange(7)


def run(attack: Any, victim: Victim, x: Tensor, threat: Any, **goal: Any) -> Trial:
    with torch.no_grad():
        labels = victim(x).argmax(1)
    return attempt(attack, victim, threat, x, Classify(labels, **goal), torch.arange(len(x)), seed=1)


def rgb_needle(row: int, column: int) -> Victim:
    """Images (B, 3, 4, 5): class 1 where one pixel is much greener than red; everything else counts a little."""

    def forward(x: Tensor) -> Tensor:
        rise = 2 * x[:, 1, row, column] - x[:, 0, row, column] + 0.002 * x.flatten(1).sum(1) - 1.2
        return torch.stack([torch.zeros_like(rise), rise], 1)

    return brittle.as_victim(forward)


# sigma-zero


def test_sigma_zero_is_the_papers_loop() -> None:
    """Algorithm 1, written out again with torch's own Adam and schedule."""
    victim, x, steps = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0)), 30
    labels = victim(x).argmax(1)
    delta = torch.zeros_like(x, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=steps, eta_min=0.1)
    threshold, smallest, best = torch.full((7, 1, 1), 0.3), torch.full((7,), 13.0), x.clone()
    for _ in range(steps):
        outputs = victim(x + delta)
        other = outputs.scatter(1, labels[:, None], -math.inf).amax(1)
        gap = outputs.gather(1, labels[:, None]).squeeze(1) - other
        count = (delta.square() / (delta.square() + 1e-3)).flatten(1).mean(1)
        (delta.grad,) = torch.autograd.grad((gap.clamp_min(0) + count).sum(), delta)
        delta.grad /= delta.grad.flatten(1).abs().amax(1).clamp_min(1e-12).view(-1, 1, 1)
        won, size = gap < 0, (delta != 0).flatten(1).sum(1)
        better = won & (size < smallest)
        smallest[better], best[better] = size[better].float(), (x + delta).detach()[better]
        adam.step()
        schedule.step()
        with torch.no_grad():
            delta.copy_((x + delta).clamp(0, 1) - x)
            threshold += 0.01 * schedule.get_last_lr()[0] * torch.where(won, 1.0, -1.0).view(-1, 1, 1)
            threshold.clamp_(0, 1)
            delta[delta.abs() < threshold] = 0
    trial = run(SigmaZero(steps=steps), victim, x, brittle.l0(math.inf))
    assert torch.equal(trial.verdict.size, smallest.double())
    torch.testing.assert_close(trial.x_adv, best, rtol=0, atol=1e-9)
    assert (trial.forwards == steps).all()
    assert (trial.backwards == steps - 1).all()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("attack", [SigmaZero(steps=300), VFGA(draws=20), JSMA(), JSMA(features=1)])
def test_few_features_are_changed_where_few_are_enough(attack: Any, targeted: bool) -> None:
    model, x = linear((3, 4), 2, bounds=(-1.0, 1.0)), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    targets = 1 - labels if targeted else None
    size = run(attack, model.victim, x, brittle.l0(math.inf), targets=targets).verdict.size
    least = model.distance(x, labels, "l0", targets)
    assert (size >= least).all()
    assert (size <= least + 1).all()


def test_what_is_won_untouched_is_asked_once() -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    goal = Classify((victim(x).argmax(1) + 1) % 4)
    for attack in (SigmaZero(), VFGA(), JSMA()):
        trial = attempt(attack, victim, brittle.l0(math.inf), x, goal, ROWS, 0)
        assert torch.equal(trial.x_adv, x)
        assert (trial.forwards == 1).all()


# Bisect


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("eps", [math.inf, 4.0])
def test_bisect_finds_where_fgsm_wins(norm: str, eps: float) -> None:
    """One step of FGSM is optimal on two linear classes, so that its smallest radius is the distance."""
    model, x = linear((3, 4), 2, bounds=(-2.0, 2.0)), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    least = model.distance(x, labels, norm)
    trial = run(Bisect(brittle.fgsm(), rounds=14, shrink=0), model.victim, x, THREATS[norm](eps))
    assert torch.equal(trial.verdict.success, least <= eps)
    ratio = (trial.verdict.size / least)[least <= eps]
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= (1 if norm == "l0" else 1.001)).all()
    assert (trial.forwards <= 1 + 14 * 2).all()
    assert (trial.backwards <= 14).all()


def test_questions_about_the_point_itself_spare_runs() -> None:
    model, x = linear((3, 4), 2), inputs((3, 4))
    few, more = (run(Bisect(brittle.fgsm(), rounds=3, shrink=s), model.victim, x, brittle.l2(math.inf)) for s in (0, 6))
    assert (more.verdict.size < few.verdict.size).all()
    assert torch.equal(few.backwards, more.backwards)


def test_bisect_says_what_it_cannot_do() -> None:
    with pytest.raises(brittle.InputError, match="minimises by itself"):
        Bisect(SigmaZero())
    with pytest.raises(brittle.InputError, match="rounds=0"):
        Bisect(brittle.fgsm(), rounds=0)


# Brendel and Bethge


def trust_region_problem(seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    low, high = -uniform(5, 8), uniform(5, 8)
    low[:, 0] = 0
    delta = low + (high - low) * uniform(5, 8)
    normal, rise = 2 * uniform(5, 8) - 1, 0.3 * uniform(5)
    return delta, normal, rise, low, high, 0.2 + 0.4 * uniform(5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_the_trust_region_problem_is_solved_to_the_end(norm: str, seed: int) -> None:
    """Against a general solver, at the radius that was used."""
    delta, normal, rise, low, high, radius = trust_region_problem(seed)
    least, smallest = getattr(trust_region, norm), getattr(planes, norm)
    z, _ = trust_region.step(least, smallest, delta, normal, rise, low, high, radius, torch.full((5,), 0.5).double())
    far, met = (z - delta).norm(dim=1), ((z - delta) * normal).sum(1)
    assert (z >= low).all()
    assert (z <= high).all()
    assert (far <= radius * (1 + 1e-9)).all()
    for row in ((met - rise).abs() <= 0.04 * rise).nonzero().squeeze(1).tolist():
        limits = list(zip(low[row].tolist(), high[row].tolist(), strict=True))
        best = smallest_by_a_general_solver(norm, delta[row], normal[row], float(met[row]), float(far[row]), limits)
        size = {"l2": z[row].norm(), "linf": z[row].abs().amax(), "l1": z[row].abs().sum()}[norm]
        assert float(size) <= best * (1 + 1e-3) + 1e-6


def smallest_by_a_general_solver(
    norm: str, delta: Tensor, normal: Tensor, rise: float, radius: float, limits: list[tuple[float, float]]
) -> float:
    """The size is bounded by a last variable; in L1 by one for each feature. Infinity where the solver fails."""
    d, w, n = delta.numpy(), normal.numpy(), len(delta)
    over = {
        "l2": lambda v: v[n:] ** 2 - (v[:n] ** 2).sum(),
        "linf": lambda v: np.concatenate([v[n] - v[:n], v[n] + v[:n]]),
        "l1": lambda v: np.concatenate([v[n:] - v[:n], v[n:] + v[:n]]),
    }[norm]
    constraints = [
        {"type": "ineq", "fun": over},
        {"type": "eq", "fun": lambda v: w @ (v[:n] - d) - rise},
        {"type": "ineq", "fun": lambda v: radius**2 - ((v[:n] - d) ** 2).sum()},
    ]
    bounds = [*limits, *[(0, 9)] * (n if norm == "l1" else 1)]
    start = np.concatenate([d, np.abs(d) if norm == "l1" else [np.linalg.norm(d)]])
    exact = minimize(lambda v: v[n:].sum(), start, bounds=bounds, constraints=constraints, method="SLSQP", tol=1e-10)
    return float(exact.fun) if exact.success else math.inf


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
def test_the_lagrangian_is_least_where_the_kernels_say(norm: str) -> None:
    """Against a fine grid, feature by feature."""
    delta, normal, _, low, high, _ = trust_region_problem(4)
    a, top = torch.tensor([0.0, 0.1, 0.3, 0.6, 0.9]).double()[:, None], delta.abs().amax(1, keepdim=True)
    push = 0.3 * normal
    scaled = push * (1 - a) if norm == "l2" else push
    z, _ = getattr(trust_region, norm)(delta, scaled, a, top, low, high)
    grid = torch.lerp(low[..., None], high[..., None], torch.linspace(0, 1, 4001, dtype=torch.float64))
    grid = torch.cat([grid, torch.zeros_like(grid[..., :1])], dim=-1)

    def lagrangian(z: Tensor) -> Tensor:
        count = (z != 0) * top.square()[..., None] / 2
        size = {"l2": z.square() / 2, "l1": top[..., None] * z.abs(), "l0": count}[norm]
        return a[..., None] * size + (1 - a[..., None]) * ((z - delta[..., None]).square() / 2 - push[..., None] * z)

    assert (lagrangian(z[..., None]).squeeze(-1) <= lagrangian(grid).amin(-1) + 1e-12).all()


def test_out_of_reach_the_step_goes_straight_for_the_plane() -> None:
    delta, normal, _, low, high, radius = trust_region_problem(0)
    z, _ = trust_region.step(
        trust_region.l2, planes.l2, delta, normal, torch.full((5,), 99.0).double(), low, high, radius, radius
    )
    moved = z - delta
    free = (z > low + 1e-9) & (z < high - 1e-9)
    assert free.sum() > 10
    along = moved / normal
    for row in range(5):
        torch.testing.assert_close(along[row][free[row]], along[row][free[row]][:1].expand(int(free[row].sum())))
    assert (moved.norm(dim=1) <= radius + 1e-9).all()


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_brendel_bethge_follows_a_curved_boundary_to_its_nearest_point(norm: str) -> None:
    """A ball of adversarial points around a far centre: the nearest of them lies where the norm's own ball touches it."""
    centre, x = torch.full((6,), 0.8).double(), torch.full((1, 6), 0.2).double()
    centre[0] = 0.2

    def hill(points: Tensor) -> Tensor:
        inside = 1.0 - (points - centre).square().sum(1)
        return torch.stack([torch.zeros_like(inside), inside], 1)

    victim = brittle.as_victim(hill, (-2.0, 2.0))
    way = (centre - x).squeeze(0)
    length = float(way.norm())
    exact = {"l2": length - 1, "linf": 0.6 - 1 / math.sqrt(5), "l1": (length - 1) * math.sqrt(5)}[norm]
    trial = run(BrendelBethge(steps=60), victim, x, THREATS[norm](math.inf))
    assert float(trial.verdict.size) == pytest.approx(exact, rel=5e-4 if norm == "linf" else 2e-4)


def test_brendel_bethge_uses_the_starts_that_it_is_given() -> None:
    """Two separate ways out: from a start at the farther, that is where it ends."""

    def two(x: Tensor) -> Tensor:
        out = torch.maximum(x[:, 0] - 0.7, 0.2 - x[:, 0])
        return torch.stack([torch.zeros_like(out), out], 1)

    victim, x = brittle.as_victim(two), torch.full((3, 4), 0.4).double()
    labels = torch.zeros(3, dtype=torch.int64)
    high = x.clone()
    high[:, 0] = 0.9
    sizes = {}
    for name, starts in (("own", None), ("given", high)):
        goal = Classify(labels)
        trial = attempt(BrendelBethge(steps=30), victim, brittle.l2(math.inf), x, goal, labels, 0, starts=starts)
        sizes[name] = float(trial.verdict.size.max())
    assert sizes["own"] == pytest.approx(0.2, rel=0.01)
    assert sizes["given"] == pytest.approx(0.3, rel=0.01)


# VFGA and JSMA


def test_vfga_changes_one_feature_a_step_and_none_twice() -> None:
    model, x = linear((3, 4), 3, bounds=(-1.0, 1.0), seed=3), inputs((3, 4), seed=3)
    for steps in (1, 2, 5):
        trial = run(VFGA(steps=steps, draws=3), model.victim, x, brittle.l0(math.inf))
        lost = trial.verdict.size == 0
        assert (trial.verdict.size <= steps).all()
        assert (trial.forwards[lost] == steps * 7).all()
        assert (trial.backwards <= steps).all()
        assert (trial.forwards % 7 == 0).all()
    hopeless = brittle.as_victim(
        lambda points: torch.stack([points.flatten(1).sum(1) + 99, points.flatten(1).sum(1)], 1)
    )
    trial = run(VFGA(steps=100, draws=1), hopeless, torch.full((3, 5), 0.5), brittle.l0(5))
    assert (trial.backwards == 5 + 1).all()  # one to see that no feature is left


@pytest.mark.parametrize("twins", [False, True])
def test_the_best_pair_is_that_of_the_whole_table(twins: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    for trial in range(60):
        half = int(torch.randint(1, 12, (), generator=generator))
        u, v = (torch.randn(3, 2 * half, generator=generator).double().round(decimals=trial % 4) for _ in range(2))
        dead = torch.rand(3, 2 * half, generator=generator) < 0.2
        u[dead] = v[dead] = -math.inf
        above, below = u[:, :, None] + u[:, None], v[:, :, None] + v[:, None]
        forbidden = (above <= 0) | (below <= 0) | torch.eye(2 * half, dtype=torch.bool)
        if twins:
            forbidden |= torch.eye(2 * half, dtype=torch.bool).roll(half, 1)
        table = (above * below).masked_fill(forbidden, -math.inf).flatten(1).amax(1)
        pair, product = best_pair(u, v, twins)
        assert torch.equal(product, table)
        for row in (product > -math.inf).nonzero().squeeze(1).tolist():
            p, q = pair[row].tolist()
            assert float(above[row, p, q] * below[row, p, q]) == float(product[row])


def test_jsma_begins_with_the_pair_of_the_papers_equation() -> None:
    model, x = linear((3, 4), 3, bounds=(-1.0, 1.0), seed=5), inputs((3, 4), seed=5)
    labels = model.victim(x).argmax(1)
    targets = model.victim(x).argmin(1)
    trial = run(JSMA(steps=1, signs="up"), model.victim, x, brittle.l0(12), targets=targets)
    moved = (trial.x_adv != x).flatten(1)
    room = (1 - x).flatten(1)
    for row in trial.verdict.success.nonzero().squeeze(1).tolist():
        rise = model.weight[targets[row]] * room[row]
        fall = -(model.weight.sum(0) - model.weight[targets[row]]) * room[row]
        above, below = rise[:, None] + rise, fall[:, None] + fall
        table = (above * below).masked_fill((above <= 0) | (below <= 0), -math.inf).fill_diagonal_(-math.inf)
        best = sorted(divmod(int(table.argmax()), 12))
        assert moved[row].nonzero().squeeze(1).tolist() == best
        assert labels[row] != targets[row]
    assert trial.verdict.success.any()
    assert (run(JSMA(signs="up"), model.victim, x, brittle.l0(12)).x_adv >= x).all()
    assert (run(JSMA(signs="down"), model.victim, x, brittle.l0(12)).x_adv <= x).all()


# searches that see scores


@pytest.mark.parametrize("attack", [SparseRS(queries=900), OnePixel(queries=900, population=60)])
def test_a_single_pixel_is_found_among_many(attack: Any) -> None:
    victim, x = rgb_needle(2, 3), inputs((3, 4, 5), bounds=(0.0, 0.5))
    assert (victim(x).argmax(1) == 0).all()
    trial = run(attack, victim, x, brittle.l0(3))
    assert trial.verdict.success.all()
    changed = (trial.x_adv != x).any(1)
    assert (changed.flatten(1).sum(1) == 1).all()
    assert changed[:, 2, 3].all()
    assert (trial.forwards < 900).all()
    assert (run(attack, victim, x, brittle.l0(2)).forwards > 0).all() == isinstance(attack, SparseRS)


def test_sparse_rs_changes_whole_pixels_to_corners_or_features() -> None:
    victim, x = network((2, 5, 6)), inputs((2, 5, 6), bounds=(0.1, 0.9))
    for pixels, eps in ((True, 7), (True, 28), (False, 7), (False, 30), (True, 1), (False, 60), (True, 60)):
        trial = run(SparseRS(queries=80, pixels=pixels), victim, x, brittle.l0(eps))
        changed = trial.x_adv != x
        moved = trial.x_adv[changed]
        assert ((moved == 0) | (moved == 1)).all()
        if pixels and eps >= 2:
            assert torch.equal(changed.any(1), changed.all(1))
            assert (changed.any(1).flatten(1).sum(1) == eps // 2).all()
        else:
            assert (changed.flatten(1).sum(1) == eps).all()


@dataclass(frozen=True)
class OfManySizes:
    """The attack at a radius of 2, 4, 6, ... features, a different one for each sample, told by its first feature."""

    attack: Any

    access, minimises, paper = Access.SCORES, False, "none"

    def __call__(self, problem: Problem) -> Tensor:
        return self.attack(problem.within(2 * (problem.x.flatten(1)[:, 0] * 7).round() + 2))


@pytest.mark.parametrize("attack", [SparseRS(queries=30), OnePixel(queries=30, population=5)])
def test_neighbours_of_another_radius_change_nothing(attack: Any) -> None:
    victim, x = network((2, 5, 6)), inputs((2, 5, 6), bounds=(0.0, 1.0))
    x[:, 0, 0, 0] = torch.arange(7) / 7
    goal = Classify(victim(x).argmax(1), (victim(x).argmax(1) + 1) % 4, confidence=0.999)  # nobody wins
    whole = attempt(OfManySizes(attack), victim, brittle.l0(60), x, goal, ROWS, 0)
    pixels = (whole.x_adv != x).any(1).flatten(1).sum(1)
    assert (pixels <= ROWS + 1).all()
    assert pixels.max() >= 6
    for row in range(7):
        one = ROWS[row : row + 1]
        alone = attempt(OfManySizes(attack), victim, brittle.l0(60), x[one], goal.select(one), one, 0)
        assert torch.equal(alone.x_adv, whole.x_adv[one])


def test_a_patch_is_a_square_and_a_frame_is_the_border() -> None:
    victim, x = network((2, 5, 6)), inputs((2, 5, 6), bounds=(0.1, 0.9))
    for threat, low, high in ((brittle.box(), 0.0, 1.0), (brittle.linf(0.05), x - 0.05, x + 0.05)):
        for queries in (1, 90):
            patch = run(PatchRS(queries=queries, side=3), victim, x, threat).x_adv
            frame = run(FrameRS(queries=queries, width=1), victim, x, threat).x_adv
            for row in range(7):
                changed = (patch != x)[row].any(0).nonzero()
                assert (changed.amax(0) - changed.amin(0)).tolist() == [2, 2]
                assert len(changed) == 9
            inner = frame[:, :, 1:-1, 1:-1]
            assert torch.equal(inner, x[:, :, 1:-1, 1:-1])
            assert ((frame != x).flatten(1).sum(1) == 2 * (30 - 12)).all()
            for point in (patch, frame):
                assert ((point == x) | (point == low) | (point == high)).all()


def test_more_queries_win_more_and_are_never_exceeded() -> None:
    victim, x = network((2, 5, 6)), inputs((2, 5, 6), bounds=(0.0, 1.0))
    for attack, threat in (
        ("sparse_rs:queries={}", brittle.l0(6)),
        ("patch_rs:side=3,queries={}", brittle.box()),
        ("frame_rs:width=1,queries={}", brittle.linf(0.3)),
        ("one_pixel:population=8,queries={}", brittle.l0(6)),
    ):
        few, many = (run(parse_attack(attack.format(queries)), victim, x, threat) for queries in (5, 150))
        assert (few.forwards <= 5).all()
        assert (many.forwards <= 150).all()
        assert (many.forwards[~many.verdict.success] == 150).all()
        assert many.verdict.margin.mean() > few.verdict.margin.mean()


def test_a_budget_sees_each_of_many_questions() -> None:
    """Questions that are asked together are counted, and the best is kept, one by one."""
    victim, x = rgb_needle(2, 3), inputs((3, 4, 5), bounds=(0.0, 0.5))
    goal = Classify(victim(x).argmax(1))
    whole = attempt(OnePixel(queries=200, population=20), victim, brittle.l0(3), x, goal, ROWS, 1)
    spared = attempt(OnePixel(queries=200, population=20), victim, brittle.l0(3), x, goal, ROWS, 1, budget=200)
    assert torch.equal(whole.verdict.success, spared.verdict.success)
    short = attempt(OnePixel(queries=200, population=20), victim, brittle.l0(3), x, goal, ROWS, 1, budget=37)
    assert (short.forwards <= 37).all()


WRONG = {
    "sigma_zero:steps=0": "steps=0",
    "sigma_zero:sigma=0": "sigma=0",
    "sigma_zero:threshold=2": "threshold=2",
    "vfga:draws=0": "draws=0",
    "jsma:features=3": "features=3",
    "jsma:theta=0": "theta=0",
    "jsma:signs=left": "signs='left'",
    "brendel_bethge:overshoot=3": "overshoot=3",
    "brendel_bethge:decay=0": "decay=0",
    "sparse_rs:share=0": "share=0",
    "patch_rs:side=0": "side=0",
    "patch_rs:wander=1": "wander=1",
    "frame_rs:width=0": "width=0",
    "one_pixel:population=3": "population=3",
    "one_pixel:scale=0": "scale=0",
}


@pytest.mark.parametrize("text", WRONG)
def test_options_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(brittle.InputError, match=WRONG[text]):
        parse_attack(text)
