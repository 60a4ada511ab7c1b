"""Auto-PGD in its norms, and what is built of it: equal to a slow reading of the papers, optimal where the optimum is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import brittle
import published
from brittle.attacks.combine.by_norm import ByNorm
from brittle.attacks.combine.each_target import EachTarget
from brittle.attacks.combine.output_diversified import OutputDiversified
from brittle.attacks.fixed import recipes
from brittle.attacks.fixed.apgd import APGD, checkpoints
from brittle.attacks.fixed.apgd_l1 import SparseAPGD
from brittle.attacks.parts.query import query
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.losses import LOSSES, SLOPES
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.data.open import open_data
from brittle.kernels.ascent import largest_signs
from brittle.testing import linear, network
from brittle.testing.references import nearest
from brittle.testing.victims import inputs
from brittle.threats import THREATS

SHAPE = (3, 4)
WEIGHT = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
X = inputs(SHAPE, bounds=(0.0, 1.0))
HERE = torch.arange(7)


def _waves(x: Tensor) -> Tensor:
    """Outputs whose gradients turn at every step; the label 0 is far ahead, so that nothing is ever won."""
    return torch.sin(4 * x.flatten(1) @ WEIGHT) + torch.tensor([9.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def _try(attack: Any, model: Any, threat: Any, goal: Classify | None = None, x: Tensor = X, **more: Any) -> Trial:
    goal = Classify(torch.zeros(len(x), dtype=torch.int64)) if goal is None else goal
    victim = model if isinstance(model, brittle.Victim) else brittle.as_victim(model)
    return attempt(attack, victim, threat, x, goal, torch.arange(len(x)), 0, **more)


# Auto-PGD


def test_checkpoints_are_the_paper_s() -> None:
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(checkpoints(1000))[:4] == [220, 410, 570, 700]


def _ask(point: Tensor) -> tuple[float, Tensor]:
    """Margin and gradient of one sample."""
    asked = point.clone().requires_grad_()
    outputs = _waves(asked[None])[0]
    loss = outputs[1:].max() - outputs[0]
    return float(loss.detach()), torch.autograd.grad(loss, asked)[0]


def _project(x: Tensor, point: Tensor, norm: str, eps: float) -> Tensor:
    delta, low, high = ((value - x).flatten().numpy() for value in (point, torch.zeros_like(x), torch.ones_like(x)))
    return x + torch.from_numpy(nearest(delta, low, high, eps, norm)).view(x.shape)


def _slow(x: Tensor, start: Tensor, norm: str, eps: float, steps: int) -> Tensor:
    """Algorithm 1 of the paper on one sample, with a list of all losses; the point of the highest loss, which is the margin."""
    wanted, eta = sorted(checkpoints(steps)), 2 * eps
    points, (loss, grad) = [start], _ask(start)
    losses, top = [loss], (loss, start, grad)
    halved, best_then, last = True, loss, 0
    for k in range(steps):
        here = points[-1]
        direction = grad.sign() if norm == "linf" else grad / grad.norm()
        ahead = _project(x, here + eta * direction, norm, eps)
        if k:
            ahead = _project(x, here + 0.75 * (ahead - here) + 0.25 * (here - points[-2]), norm, eps)
        points.append(ahead)
        loss, grad = _ask(ahead)
        losses.append(loss)
        top = max(top, (loss, ahead, grad), key=lambda entry: entry[0])
        if k + 1 in wanted:
            rose = sum(losses[i + 1] > losses[i] for i in range(last, k + 1))
            halved = rose < 0.75 * (k + 1 - last) or (not halved and best_then == top[0])
            best_then, last = top[0], k + 1
            if halved:
                eta, (losses[-1], points[-1], grad) = eta / 2, top
    return top[1]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.15), ("l2", 0.5)])
def test_apgd_is_the_algorithm_of_the_paper(norm: str, eps: float) -> None:
    starts = THREATS[norm](eps).around(X, 0.0, 1.0).random(Streams.seeded(5, HERE))
    for steps in (7, 18, 40):
        trial = _try(APGD(steps=steps, loss="margin"), _waves, THREATS[norm](eps), starts=starts)
        wanted = torch.stack([_slow(*pair, norm, eps, steps) for pair in zip(X, starts, strict=True)])
        torch.testing.assert_close(trial.x_adv, wanted, rtol=0, atol=1e-5 if norm == "l2" else 1e-12)


def test_a_loss_that_rises_but_stays_below_the_best_sends_the_walk_back() -> None:
    """The second condition alone: every step rises, the best is the start. It cannot hold at the first checkpoint, 22, but at 41."""
    asked: list[Tensor] = []

    def rising(x: Tensor) -> Tensor:
        asked.append(x.detach().clone())
        height = 1e-3 * x.flatten(1).sum(1) + (0.01 * len(asked) - 9 if len(asked) > 1 else -5)
        return torch.stack([torch.zeros_like(height), height], 1)

    x = torch.full((1, 5), 0.5)
    _try(APGD(loss="margin"), rising, brittle.linf(0.2), x=x, starts=x)
    assert all(torch.allclose(point, x + 0.2) for point in asked[1:42])
    assert not torch.allclose(asked[42], x + 0.2)


def _slow_l1(x: Tensor, start: Tensor, eps: float, steps: int) -> Tensor:
    """Algorithm 1 of the L1 paper on one sample, in balls of 3, 2 and 1 eps; the point of the highest loss in the last."""
    first = -(-3 * steps // 10)
    for reach, moves in ((3, first - 1), (2, first - 1), (1, steps - 2 * first)):
        radius = reach * eps
        here = _project(x, start, "l1", radius)
        loss, grad = _ask(here)
        top, eta = (loss, here, grad), radius
        changed = int(((here - x).abs() > 1e-9).sum())
        count = changed / 1.5
        for _ in range(moves):
            order = grad.abs().flatten().argsort(descending=True)
            direction = torch.zeros(x.numel(), dtype=x.dtype)
            chosen = order[: max(int(count), 1)]
            direction[chosen] = grad.flatten()[chosen].sign() / len(chosen)
            here = _project(x, here + eta * direction.view(x.shape), "l1", radius)
            loss, grad = _ask(here)
            top = max(top, (loss, here, grad), key=lambda entry: entry[0])
            now = int(((top[1] - x).abs() > 1e-9).sum())
            if now < 0.95 * changed:
                eta, here, grad = radius, top[1], top[2]
            else:
                eta = max(eta / 1.5, radius / 10)
            changed, count = now, now / 1.5
        start = top[1]
    return start


def test_sparse_apgd_is_the_algorithm_of_the_paper() -> None:
    starts = X + torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for steps in (10, 24):  # below 50 steps a checkpoint follows each
        trial = _try(SparseAPGD(steps=steps, loss="margin"), _waves, brittle.l1(0.7), starts=starts)
        wanted = torch.stack([_slow_l1(x, start, 0.7, steps) for x, start in zip(X, starts, strict=True)])
        torch.testing.assert_close(trial.x_adv, wanted, rtol=0, atol=1e-6)


def test_answers_are_means_over_the_draws() -> None:
    calls: list[int] = []

    def fickle(x: Tensor) -> Tensor:
        calls.append(1)
        rise = x.flatten(1).sum(1) * len(calls)
        return torch.stack([torch.zeros_like(rise), rise], 1)

    goal, region = Classify(HERE * 0), brittle.linf(0.1).around(X, 0.0, 1.0)
    door = Oracle(brittle.as_victim(fickle), Ledger.empty(7, X.device), Access.GRADIENT)
    answer = query(Problem(region, goal, door, Streams.seeded(0, HERE)), X, "margin", 3)
    total = X.flatten(1).sum(1)
    for value in (answer.margin, answer.loss):
        torch.testing.assert_close(value, 2 * total)
    torch.testing.assert_close(answer.grad, torch.full_like(X, 2.0))


def test_halving_the_step_reaches_a_peak_that_fixed_steps_jump_over() -> None:
    x = X * 0.5 + 0.2
    peak = x + 0.113

    def hill(x: Tensor) -> Tensor:
        fall = (x - peak).flatten(1).square().sum(1)
        return torch.stack([torch.ones_like(fall), -fall], 1)

    for threat in (brittle.linf(0.3), brittle.l2(1.2)):
        halving, fixed = (
            -1 - _try(attack, hill, threat, x=x).verdict.margin
            for attack in (APGD(steps=60, loss="margin"), recipes.pgd(60, loss="margin", step_size=0.07))
        )
        assert (halving < 0.1 * fixed).all()


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_apgd_reaches_the_linear_optimum(norm: str) -> None:
    model, x = linear((2, 5, 6), 2), inputs((2, 5, 6))
    labels = model.victim(x).argmax(1)
    distance = model.distance(x, labels, norm)
    for row in range(7):
        one = torch.tensor([row])
        for share, wins in ((1.02, True), (0.999, False)):
            threat = THREATS[norm](share * float(distance[row]))
            trial = attempt(recipes.apgd(100), model.victim, threat, x[one], Classify(labels[one]), one, 0)
            assert bool(trial.verdict.success) == wins


def test_l1_fills_a_ball_that_the_box_cuts() -> None:
    """The best of a linear function over L1 ball and box: the best features go to their limits until the radius is spent."""
    x = inputs((40,), 7, bounds=(0.0, 1.0))
    weight = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def rising(x: Tensor) -> Tensor:
        return torch.stack([torch.full_like(x[:, 0], 1e3), x @ weight], 1)

    region = brittle.l1(4.0).around(x, 0.0, 1.0)
    best = region.ascend(x, weight.expand_as(x), region.radius) - x
    trial = _try(recipes.apgd(100, loss="margin"), rising, brittle.l1(4.0), x=x)
    assert ((trial.x_adv - x) @ weight >= 0.97 * best @ weight).all()


def test_the_signs_of_the_largest() -> None:
    torch.manual_seed(0)
    grad, count = torch.randn(9, 50), torch.tensor([1, 2, 3, 10, 25, 49, 50, 7.0, 4])
    grad[7] = 0
    grad[8] = torch.tensor([1.0, -1.0]).repeat(25)  # all tie
    signs = largest_signs(grad, count)
    for row in range(7):
        wanted = torch.zeros(50)
        top = grad[row].abs().topk(int(count[row])).indices
        wanted[top] = grad[row, top].sign()
        assert torch.equal(signs[row], wanted)
    assert torch.equal(signs[7], torch.zeros(50))
    assert torch.equal(signs[8], grad[8])


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("draws", [1, 3])
def test_apgd_is_charged_as_it_says(norm: str, draws: int) -> None:
    attack, threat = recipes.apgd(10, restarts=2, draws=draws, loss="margin"), THREATS[norm](1 if norm == "l0" else 0.1)
    trial = _try(attack, _waves, threat)
    assert (trial.forwards == 2 * (10 * draws + draws + 1)).all()
    assert (trial.backwards <= 2 * 10 * draws).all()
    assert (trial.backwards >= 2 * 8 * draws).all()
    assert trial.verdict.feasible.all()


def test_what_is_won_leaves_at_once() -> None:
    model, x = linear(SHAPE, 3), inputs(SHAPE)
    wrong = Classify(model.victim(x).argmin(1))
    for norm in ("linf", "l2"):
        trial = _try(recipes.apgd(50), model.victim, THREATS[norm](0.01), wrong, x)
        assert trial.verdict.success.all()
        assert (trial.forwards == 1).all()
        assert (trial.backwards == 1).all()


def test_gradients_that_are_nothing_or_undefined_do_no_harm() -> None:
    def broken(x: Tensor) -> Tensor:
        rise = (x.flatten(1)[:, 0] * 0).sqrt() + x.flatten(1)[:, 1:].sum(1)
        return torch.stack([torch.zeros_like(rise) + 1e4, rise], 1)

    def flat(x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True) * 0 + torch.tensor([1.0, 0.0])

    for model in (broken, flat):
        for norm in ("linf", "l2", "l1"):
            for recipe in (recipes.apgd, recipes.apgdt, recipes.odi_pgd):
                trial = _try(recipe(10), model, THREATS[norm](0.3))
                assert trial.verdict.feasible.all()
                assert not trial.verdict.success.any()
    risen = _try(recipes.apgd(10, loss="margin"), broken, brittle.linf(0.2), x=torch.full((3, 5), 0.5)).x_adv
    assert torch.allclose(risen[:, 1:], torch.tensor(0.7))


@pytest.mark.parametrize("make", [APGD, SparseAPGD])
def test_settings_that_mean_nothing_are_refused(make: Any) -> None:
    for wrong in ({"steps": 0}, {"draws": 0}, {"loss": "none"}):
        with pytest.raises(brittle.InputError):
            make(**wrong)
    with pytest.raises(brittle.InputError, match="rho=0"):
        APGD(rho=0)
    with pytest.raises(brittle.InputError, match="L1-APGD works under l1, not under linf"):
        _try(SparseAPGD(), _waves, brittle.linf(0.1))
    with pytest.raises(brittle.InputError, match="targets=0"):
        EachTarget(APGD(), 0)
    with pytest.raises(brittle.InputError, match="steps=0"):
        OutputDiversified(APGD(), 0)


# losses


@pytest.mark.parametrize("name", ["dlr", "dlr_or_margin"])
def test_the_slope_of_dlr_is_its_derivative(name: str) -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(40, 6, dtype=torch.float64), torch.randint(6, (40,))
    z[:5] = z[:5].round()  # with ties
    for goal in (Classify(labels), Classify(labels, (labels + 2) % 6), Classify(labels, towards=(labels + 1) % 6)):
        asked = z[5:].clone().requires_grad_()
        rows = torch.arange(5, 40)
        (slope,) = torch.autograd.grad(LOSSES[name](asked, goal.select(rows)).sum(), asked)
        torch.testing.assert_close(SLOPES[name](z, goal)[5:], slope, rtol=1e-12, atol=1e-12)
        assert SLOPES[name](torch.ones(40, 6), goal).isfinite().all()


def test_with_too_few_classes_dlr_or_margin_is_the_margin() -> None:
    z, goal = torch.randn(7, 3), Classify(HERE % 3, towards=(HERE + 1) % 3)
    for losses in (LOSSES, SLOPES):
        assert torch.equal(losses["dlr_or_margin"](z, goal), losses["margin"](z, goal))
    with pytest.raises(brittle.InputError, match="targeted dlr"):
        SLOPES["dlr"](z, goal)


# each target


@dataclass(frozen=True)
class _Straight:
    """Goes to the boundary of the class it is steered to on a linear victim, exactly, in L2; and notes which class that was."""

    weight: Any
    bias: Any
    seen: Any

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "none"

    def __call__(self, problem: Problem) -> Tensor:
        goal = problem.goal
        self.seen.append((problem.x[:, 0, 0], goal.aim))
        assert goal.aim is not None
        w = self.weight[goal.aim] - self.weight[goal.labels]
        gap = (problem.x.flatten(1) * w).sum(1) + self.bias[goal.aim] - self.bias[goal.labels]
        return problem.x - (1.000001 * gap / w.square().sum(1))[:, None, None] * w.view_as(problem.x)


def test_each_target_finds_the_nearest_class() -> None:
    model, x = linear(SHAPE, 6, seed=3), inputs(SHAPE)
    outputs = model.victim(x)
    labels = outputs.argmax(1)
    for targets, ratio in ((5, 1.00001), (1, 4.0), (99, 1.00001)):
        seen: list[Any] = []
        attack = EachTarget(_Straight(model.weight, model.bias, seen), targets)  # type: ignore[arg-type]
        trial = _try(attack, model.victim, brittle.l2(float("inf")), Classify(labels), x)
        share = trial.verdict.size / model.distance(x, labels, "l2")
        assert (share <= ratio).all()
        assert (share.max() > 1.01) == (targets == 1)
        assert (trial.forwards == 1 + min(targets, 5)).all()
        ranked = outputs.argsort(1, descending=True)
        assert all(torch.equal(aim, ranked[:, run + 1]) for run, (_, aim) in enumerate(seen))


def _bait(x: Tensor) -> Tensor:
    """Class 0; class 1 is near at first and out of reach, class 3 is last and can be reached along the last feature."""
    flat = x.flatten(1)
    near, far = -0.1 + 0.01 * flat[:, 0], -4 + 6 * flat[:, -1]
    return torch.stack([torch.zeros_like(near), near, torch.full_like(near, -0.5), far], 1)


def test_steering_wins_where_the_likeliest_class_misleads() -> None:
    x = torch.zeros(5, 6)
    for targets, wins in ((2, False), (3, True)):
        trial = _try(recipes.apgdt(10, targets=targets, loss="margin"), _bait, brittle.linf(0.9), x=x)
        assert bool(trial.verdict.success.all()) == wins
        assert trial.verdict.feasible.all()
    assert not _try(recipes.apgd(10, loss="margin"), _bait, brittle.linf(0.9), x=x).verdict.success.any()
    assert _try(recipes.mtpgd(10), _bait, brittle.linf(0.9), x=x).verdict.success.all()


def test_each_target_charges_what_it_says_and_leaves_the_won_alone() -> None:
    trial = _try(recipes.apgdt(10, targets=2), _waves, brittle.linf(0.1))
    assert (trial.forwards == 1 + 2 * (11 + 1)).all()
    trial = _try(recipes.mtpgd(10, targets=3), _waves, brittle.linf(0.1))
    assert (trial.forwards == 1 + 3 * (11 + 1)).all()
    won = _try(recipes.apgdt(10), _waves, brittle.linf(0.1), Classify(torch.ones(7, dtype=torch.int64)))
    assert (won.forwards == 1).all()
    assert torch.equal(won.x_adv, X)


def test_with_a_target_in_the_goal_the_attack_runs_once() -> None:
    victim = network(SHAPE)
    labels = victim(X).argmax(1)
    goal = Classify(labels, (labels + 1) % 4)
    once, wrapped = (
        _try(attack, victim, brittle.linf(0.05), goal) for attack in (APGD(steps=8), EachTarget(APGD(steps=8)))
    )
    assert torch.equal(once.x_adv, wrapped.x_adv)
    assert torch.equal(once.forwards, wrapped.forwards)
    reached = _try(recipes.apgdt(60), victim, brittle.linf(0.6), goal)
    assert reached.verdict.success.all()
    assert torch.equal(victim(reached.x_adv).argmax(1), goal.targets)


# output diversity


@dataclass(frozen=True)
class _Where:
    """Returns its start."""

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "none"

    def __call__(self, problem: Problem) -> Tensor:
        assert problem.starts is not None
        return problem.starts


def test_diversified_starts_go_to_the_rim_along_a_random_direction_of_the_outputs() -> None:
    model, x = linear((30,), 3), inputs((30,))
    found = []
    for seed in range(3):
        goal, ledger = Classify(HERE * 0), Ledger.empty(7, x.device)
        region = brittle.linf(0.1).around(x, -10.0, 10.0)
        problem = Problem(region, goal, Oracle(model.victim, ledger, Access.GRADIENT), Streams.seeded(seed, HERE))
        start = OutputDiversified(_Where(), 2)(problem)  # type: ignore[arg-type]
        assert ledger.forwards.tolist() == ledger.backwards.tolist() == [2] * 7
        assert torch.allclose((start - x).abs(), torch.tensor(0.1, dtype=torch.float64))
        found.append((start - x).sign())
    signs = torch.stack([*found])  # (3 seeds, 7, 30): sign(W^T w)
    assert not torch.equal(signs[0], signs[1])
    assert not torch.equal(signs[0, 0], signs[0, 1])  # w is the sample's own
    directions = (model.weight.T @ torch.randn(3, 20_000, dtype=torch.float64)).sign().T
    reachable = {tuple(row) for row in directions.tolist()}
    assert sum(tuple(row) in reachable for row in signs.flatten(0, 1).tolist()) >= 19


def test_diverse_starts_vary_the_outputs_more_than_noise_does() -> None:
    victim, x = network((300,), 10, seed=1), inputs((300,), 1, bounds=(0.0, 1.0)).expand(60, 300)
    spread = []
    for attack in (OutputDiversified(_Where(), 2), recipes.uniform_noise()):  # type: ignore[arg-type]
        x_adv = _try(attack, victim, brittle.linf(0.05), x=x).x_adv
        spread.append(float(victim(x_adv).std(0).mean()))
    assert spread[0] > 3 * spread[1]


def test_odi_pgd_is_charged_as_it_says() -> None:
    trial = _try(recipes.odi_pgd(10, restarts=3), _waves, brittle.linf(0.1))
    assert (trial.forwards == 3 * (2 + 10 + 2)).all()
    assert (trial.backwards == 3 * (2 + 10)).all()


def test_eotpgd_is_pgd_with_draws() -> None:
    assert recipes.eotpgd(7, draws=3) == recipes.pgd(7, draws=3)


def test_by_norm_takes_the_attack_made_for_the_norm() -> None:
    chosen = ByNorm(APGD(steps=9), l1=SparseAPGD(steps=9))
    assert recipes.apgd(9) == chosen
    for norm, attack in (("l1", SparseAPGD(steps=9)), ("l2", APGD(steps=9))):
        assert torch.equal(*(_try(a, _waves, THREATS[norm](0.3)).x_adv for a in (chosen, attack)))


# strength


def _left(attack: Any, threat: Any, count: int = 100) -> int:
    """How many of the first test digits stand on the network mnist_kw_eps01."""
    x, labels = open_data("mnist").batch(range(count))
    outcome = brittle.attack(attack, published.network("mnist_kw_eps01"), x, labels, threat)
    assert outcome.feasible.all()
    return int((outcome.clean_correct & ~outcome.success).sum())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("threat", "original", "slack"),
    [(brittle.linf(0.1), 96, 1), (brittle.l2(1.5), 79, 3), (brittle.l1(10.0), 25, 4)],
    ids=["linf", "l2", "l1"],
)
def test_as_strong_as_the_original(threat: Any, original: int, slack: int) -> None:
    """99 stand untouched. After 100 steps with cross entropy, over seeds: fra31/auto-attack leaves 96; 78, 79; 22 to 28. We leave 96; 77 to
    81; 20 to 28."""
    assert original - 2 * slack <= _left(recipes.apgd(100), threat) <= original + slack


@pytest.mark.slow
@pytest.mark.data
def test_sparse_steps_and_larger_balls_are_what_makes_l1_strong() -> None:
    """Of 99: 23, with small balls alone 50, without sparse steps 62; PGD leaves 81."""
    attacks = [SparseAPGD(), SparseAPGD(wide=False), APGD(), recipes.pgd(100)]
    left = [_left(attack, brittle.l1(10.0), 50) for attack in attacks]
    assert left == sorted(left)
    assert left[0] + 8 < left[1] < left[2] < left[3] - 3
