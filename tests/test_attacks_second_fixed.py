"""GAMA, conjugate gradients, Adam, TRADES's divergence, Jitter: their equations written out again, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import brittle
from brittle.attacks.fixed.conjugate_gradient import ConjugateGradient, _Walk, hestenes_stiefel
from brittle.attacks.fixed.gama import GAMA
from brittle.attacks.fixed.jitter import Jitter, rescaled_slope
from brittle.attacks.parts.halving import checkpoints
from brittle.attacks.parts.softmax import lively, through_softmax
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.testing import linear
from brittle.testing.victims import inputs

X = inputs((3, 4), bounds=(0.0, 1.0))
LOW, HIGH = 0.2, 0.8  # of X below, so that a ball of 0.1 is never cut
INNER = LOW + (HIGH - LOW) * X
WEIGHT = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
WAVES = brittle.as_victim(lambda x: torch.sin(5 * x.flatten(1) @ WEIGHT))  # gradients that turn at every step


def _run(attack: Any, goal: Classify, starts: Tensor | None = None, eps: float = 0.1, seed: int = 0) -> Trial:
    return attempt(attack, WAVES, brittle.linf(eps), INNER, goal, torch.arange(7), seed, starts=starts)


def _hopeless() -> Classify:
    """A class that nothing reaches at this confidence: nobody leaves."""
    labels = WAVES(INNER).argmax(1)
    return Classify(labels, confidence=1 - 1e-12)


def _corner(seed: int = 5) -> Tensor:
    noise = torch.randn(INNER.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return INNER + 0.1 * noise.sign()


def _grad(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    asked = point.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(WAVES(asked)).sum(), asked)
    return grad


def _clip(point: Tensor) -> Tensor:
    return point.clamp(INNER - 0.1, INNER + 0.1).clamp(0, 1)


def _best(points: list[Tensor], goal: Classify) -> Tensor:
    margins = torch.stack([goal.margin(WAVES(point)) for point in points])
    return torch.stack(points)[margins.argmax(0), torch.arange(7)]


def _margin(values: Tensor, labels: Tensor) -> Tensor:
    return values.scatter(1, labels[:, None], -torch.inf).amax(1) - values.gather(1, labels[:, None]).squeeze(1)


def test_gama_is_the_algorithm_of_the_paper() -> None:
    """Margin of the softmax plus lambda times the squared distance from the clean one; lambda gone after 5 of 20 steps, cuts at 12, 17."""
    goal, start = _hopeless(), _corner()
    clean, point, points = WAVES(INNER).softmax(1), start.clone(), [INNER, start.clone()]
    for step in range(20):
        weight = max(0, 50 - 10 * step)

        def loss(z: Tensor, weight: float = weight) -> Tensor:
            p = z.softmax(1)
            return _margin(p, goal.labels) + weight * (p - clean).square().sum(1)

        length = 0.2 * (1 if step < 12 else 0.1 if step < 17 else 0.01)
        point = _clip(point + length * _grad(loss, point).sign())
        points.append(point)
    trial = _run(brittle.gama_pgd(20), goal, start)
    torch.testing.assert_close(trial.x_adv, _best(points, goal), rtol=0, atol=1e-12)
    assert (trial.forwards == 22).all()
    assert (trial.backwards == 20).all()
    assert not torch.equal(_run(brittle.gama_pgd(20, relaxation=0.0), goal, start).x_adv, trial.x_adv)


def _asked(attack: Any, threat: Any) -> list[Tensor]:
    """The points that the attack asks the victim about."""
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        outputs: Tensor = torch.sin(5 * x.flatten(1) @ WEIGHT)
        return outputs

    victim = brittle.as_victim(watched)
    attempt(attack, victim, threat, INNER, _hopeless(), torch.arange(7), 0)
    return seen


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gama_begins_on_the_rim(norm: str) -> None:
    threat = brittle.linf(0.1) if norm == "linf" else brittle.l2(0.1)
    clean, start = _asked(GAMA(steps=1), threat)[:2]
    delta = (start - INNER).flatten(1)
    torch.testing.assert_close(clean, INNER, rtol=0, atol=0)
    if norm == "linf":
        torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.1))
        assert 0.3 < (delta > 0).double().mean() < 0.7
    else:
        torch.testing.assert_close(delta.norm(dim=1), torch.full_like(delta[:, 0], 0.1))
        assert len(torch.unique(delta.abs())) == delta.numel()


def test_tpgd_climbs_the_divergence_on_the_side_that_loses_the_label() -> None:
    goal, start = _hopeless(), INNER + 0.1 * (_corner() - INNER)
    clean, point, points = WAVES(INNER).log_softmax(1), start.clone(), [INNER, start.clone()]
    for _ in range(10):
        side = torch.where(goal.margin(WAVES(point)) >= goal.margin(WAVES(INNER)), 1, -1)

        def divergence(z: Tensor, side: Tensor = side) -> Tensor:
            return side * (clean.exp() * (clean - z.log_softmax(1))).sum(1)

        point = _clip(point + 0.0225 * _grad(divergence, point).sign())
        points.append(point)
    trial = _run(brittle.tpgd(), goal, start)
    torch.testing.assert_close(trial.x_adv, _best(points, goal), rtol=0, atol=1e-12)
    assert (trial.forwards == 12).all()


def test_tpgd_wins_from_starts_on_the_wrong_side() -> None:
    """Where the divergence alone only makes a linear model surer of itself."""
    model, x = linear((3, 4), 2), inputs((3, 4))
    labels = model.victim(x).argmax(1)
    for row in range(7):
        one = torch.tensor([row])
        eps = 1.3 * float(model.distance(x[one], labels[one], "linf"))
        wrong = x[one] + 0.5 * eps * (model.weight[labels[one]] - model.weight[1 - labels[one]]).sign().view(1, 3, 4)
        trial = attempt(
            brittle.tpgd(), model.victim, brittle.linf(eps), x[one], Classify(labels[one]), one, 0, starts=wrong
        )
        assert trial.verdict.success.all()


def test_adam_pgd_is_the_optimiser_of_torch_with_a_projection() -> None:
    goal, start = _hopeless(), INNER + 0.5 * (_corner() - INNER)
    trial = _run(brittle.adam_pgd(steps=12), goal, start)
    for row in range(7):
        label = goal.labels[row : row + 1]
        point = start[row : row + 1].clone().requires_grad_()
        optimiser = torch.optim.Adam([point], lr=0.025, maximize=True)
        points, unit = [point.detach().clone()], None
        for _ in range(12):
            (grad,) = torch.autograd.grad(_margin(WAVES(point), label).sum(), point)
            unit = grad.abs().max() if unit is None else unit
            point.grad = grad / unit
            optimiser.step()
            with torch.no_grad():
                point.copy_(point.clamp(INNER[row] - 0.1, INNER[row] + 0.1).clamp(0, 1))
            points.append(point.detach().clone())
        margins = torch.cat([goal.select(torch.tensor([row])).margin(WAVES(p)) for p in points])
        torch.testing.assert_close(trial.x_adv[row], points[int(margins.argmax())][0], rtol=0, atol=1e-9)


def test_adam_s_step_does_not_depend_on_the_scale_of_the_outputs() -> None:
    tiny = brittle.as_victim(lambda x: 1e-9 * torch.sin(5 * x.flatten(1) @ WEIGHT))
    goal = Classify(WAVES(INNER).argmax(1))
    one, other = (
        attempt(brittle.adam_pgd(steps=6), v, brittle.linf(0.02), INNER, goal, torch.arange(7), 0)
        for v in (WAVES, tiny)
    )
    torch.testing.assert_close(one.x_adv, other.x_adv, rtol=0, atol=1e-9)
    assert not torch.equal(one.x_adv, INNER)


def _conjugate(row: int, start: Tensor, goal: Classify, steps: int, rescaled: bool) -> Tensor:
    """ACG and ReACG of one sample, as the papers write them, with APGD's rules for the step: where it goes."""
    label, low, high = goal.labels[row : row + 1], INNER[row : row + 1] - 0.1, INNER[row : row + 1] + 0.1

    def at(x: Tensor) -> tuple[float, Tensor]:
        asked = x.clone().requires_grad_()
        loss = _margin(WAVES(asked), label).sum()
        return float(loss.detach()), torch.autograd.grad(loss, asked)[0]

    def beta_of(g: Tensor, g_before: Tensor, s: Tensor) -> float:
        y = g_before - g
        return 0.0 if torch.equal(g, g_before) else float((g * y).sum() / (s * y).sum())

    x = start.clone()
    loss, g = at(x)
    s, g_before, eta = g, g, 0.2
    best = (loss, x, g, g_before, s)
    points = [x]
    rises, best_then, halved, last = 0, loss, True, 0
    stops = {43, 62, 70, 78, 86, 94} if rescaled else {22, 41, 57, 70, 80, 87, 93, 99}
    assert steps == 100
    for k in range(1, steps + 1):
        if k > 1:
            beta = beta_of(g, g_before, s)
            if rescaled:
                smaller = beta_of(g / g.norm(), g_before / g_before.norm(), s)
                if abs(beta) > float((g / s).abs().mean()) and abs(beta) > abs(smaller):
                    beta = smaller
            else:
                beta = max(beta, 0)
            s = g + beta * s
        x = torch.minimum(torch.maximum(x + eta * s.sign(), low), high)
        before, g_before = loss, g
        loss, g = at(x)
        points.append(x)
        rises += loss > before + 1e-12  # the same point again is no rise
        if loss > best[0] + 1e-12:
            best = (loss, x, g, g_before, s)
        if k in stops:
            halved, stuck = False, not halved and best[0] <= best_then
            if rises < 0.75 * (k - last) or stuck:
                halved, eta = True, eta / 2
                loss, x, g, g_before, s = best
            rises, best_then, last = 0, best[0], k
    return torch.cat(points)


@pytest.mark.parametrize("rescaled", [False, True])
def test_conjugate_gradients_are_the_algorithms_of_the_papers(rescaled: bool) -> None:
    goal = _hopeless()
    seen = _asked((brittle.reacg if rescaled else brittle.acg)(100), brittle.linf(0.1))[:101]
    for row in range(7):
        walk = _conjugate(row, INNER[row : row + 1], goal, 100, rescaled)
        torch.testing.assert_close(torch.stack([points[row] for points in seen]), walk, rtol=0, atol=1e-9)


def test_minus_beta_solves_a_quadratic_in_as_many_steps_as_dimensions() -> None:
    """The sign of the authors' code is opposite to the textbook's."""
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    hessian, slope = (
        root @ root.mT + 0.1 * torch.eye(4),
        torch.randn(2, 4, generator=generator, dtype=torch.float64),
    )
    x = torch.zeros(2, 4, dtype=torch.float64)  # the peak of <slope, x> - <x, hessian x> / 2
    grad = slope.clone()
    direction = grad.clone()
    for _ in range(4):
        length = (grad * direction).sum(1) / torch.einsum("bi,bij,bj->b", direction, hessian, direction)
        x, before = x + length[:, None] * direction, grad
        grad = slope - torch.einsum("bij,bj->bi", hessian, x)
        beta = -hestenes_stiefel(grad, before, direction)
        direction = grad + beta[:, None] * direction
    torch.testing.assert_close(x, torch.linalg.solve(hessian, slope), rtol=1e-8, atol=1e-9)


def test_beta_is_zero_where_the_gradient_has_not_changed() -> None:
    grad = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    before = grad + torch.tensor([[0.0, 0.0], [1e-15, 0.0], [0.0, 0.0]])
    assert torch.equal(hestenes_stiefel(grad, before, grad + 1), torch.zeros(3, dtype=torch.float64))


def test_reacg_takes_the_rescaled_beta_only_where_it_is_smaller() -> None:
    generator = torch.Generator().manual_seed(6)
    g, before, s = torch.randn(3, 300, 3, generator=generator, dtype=torch.float64)
    g[:100] *= 0.1  # lengths that differ, or the two would be the same
    beta = ConjugateGradient(rescaled=True)._beta(_Walk(g, g, before, s)).flatten()

    def plain(g: Tensor, before: Tensor) -> Tensor:
        return (g * (before - g)).sum(1) / (s * (before - g)).sum(1)

    free, unit = plain(g, before), plain(g / g.norm(dim=1)[:, None], before / before.norm(dim=1)[:, None])
    large = free.abs() > (g / s).abs().mean(1)
    assert (large & (unit.abs() < free.abs())).sum() > 20
    assert (large & (unit.abs() > free.abs())).sum() > 20
    torch.testing.assert_close(beta, torch.where(large & (unit.abs() < free.abs()), unit, free))


def test_the_checkpoints_of_the_papers() -> None:
    assert checkpoints(100) == {22, 41, 57, 70, 80, 87, 93, 99}
    assert checkpoints(100, 43, 24, 8) == {43, 62, 70, 78, 86, 94}


def test_restarts_of_conjugate_gradients_begin_elsewhere() -> None:
    goal = _hopeless()
    once, again = (_run(brittle.acg(10, restarts=restarts), goal) for restarts in (1, 3))
    assert (again.forwards == 3 * 12).all()
    assert not torch.equal(once.x_adv, again.x_adv)
    random = ConjugateGradient(steps=10, start="random")
    assert not torch.equal(_run(random, goal, seed=1).x_adv, _run(random, goal, seed=2).x_adv)


@pytest.mark.parametrize("aim", ["label", "target", "towards"])
def test_the_slope_of_jitter_is_that_of_its_loss(aim: str) -> None:
    z = 3 * torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = 0.1 * torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels, others = torch.arange(7) % 5, (torch.arange(7) + 2) % 5
    goal = Classify(labels, others if aim == "target" else None, towards=others if aim == "towards" else None)
    own = labels if aim == "label" else others
    asked = z.clone().requires_grad_()
    h = (10 * asked / asked.abs().amax(1, keepdim=True)).softmax(1)
    loss = (h + noise - torch.nn.functional.one_hot(own, 5)).square().sum() / 2
    (slope,) = torch.autograd.grad(loss if aim == "label" else -loss, asked)
    torch.testing.assert_close(rescaled_slope(z, goal, 10.0, noise), slope)


def test_jitter_does_not_see_the_scale_of_the_outputs() -> None:
    loud = brittle.as_victim(lambda x: 1e5 * torch.sin(5 * x.flatten(1) @ WEIGHT))
    goal = Classify(WAVES(INNER).argmax(1))
    one, other = (
        attempt(Jitter(steps=6), v, brittle.linf(0.02), INNER, goal, torch.arange(7), 0) for v in (WAVES, loud)
    )
    torch.testing.assert_close(one.x_adv, other.x_adv, rtol=0, atol=1e-9)


def test_jitter_s_noise_is_for_more_than_two_classes() -> None:
    goal = _hopeless()
    quiet, noisy = (_run(Jitter(steps=10, noise=noise), goal) for noise in (0.0, 0.3))
    assert not torch.equal(quiet.x_adv, noisy.x_adv)
    pair = brittle.as_victim(lambda x: torch.sin(5 * x.flatten(1) @ WEIGHT[:, :2]))
    two = Classify(pair(INNER).argmax(1))
    still = [
        attempt(Jitter(steps=10, noise=noise), pair, brittle.linf(0.02), INNER, two, torch.arange(7), 0).x_adv
        for noise in (0.0, 0.3)
    ]
    assert torch.equal(still[0], still[1])


def test_the_slope_through_the_softmax_is_autograd_s_and_does_not_cancel() -> None:
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rise = torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    asked = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad((rise * asked.softmax(1)).sum(), asked)
    torch.testing.assert_close(through_softmax(z.softmax(1), rise), slope)
    sure = torch.tensor([[40.0, 0.0, -5.0]])
    steep = through_softmax(sure.softmax(1), torch.tensor([[-1.0, 1.0, 0.0]]))
    exact = torch.tensor([[40.0, 0.0, -5.0]], dtype=torch.float64).softmax(1)
    torch.testing.assert_close(steep[0, 0].double(), -(2 * exact[0, 1] + exact[0, 2]), rtol=1e-5, atol=0.0)


def test_a_saturated_softmax_hands_over_to_the_margin() -> None:
    z = torch.tensor([[300.0, 0.0, -5.0]])
    slope = through_softmax(z.softmax(1), torch.tensor([[-1.0, 1.0, 0.0]]))
    assert torch.equal(slope, torch.zeros(1, 3))
    assert torch.equal(lively(slope, z, Classify(torch.tensor([0]))), torch.tensor([[-1.0, 1.0, 0.0]]))


@pytest.mark.parametrize(
    "attack",
    [
        brittle.gama_pgd(20),
        brittle.tpgd(),
        brittle.jitter(steps=40),
        brittle.adam_pgd(),
        brittle.acg(9),
        brittle.reacg(9),
    ],
    ids=["gama", "tpgd", "jitter", "adam", "acg", "reacg"],
)
@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_loud_and_quiet_models_are_won_alike(attack: Any, scale: float) -> None:
    """In float32, where the softmax of a loud model is one and zeros."""
    model, x = linear((3, 4), 2, dtype=torch.float32), inputs((3, 4), dtype=torch.float32)
    weight, bias = model.weight, model.bias
    victim = brittle.as_victim(lambda x: scale * (x.flatten(1) @ weight.T + bias), (-10.0, 10.0))
    labels = victim(x).argmax(1)
    eps = 1.3 * float(model.distance(x, labels, "linf").max())
    trial = attempt(attack, victim, brittle.linf(eps), x, Classify(labels), torch.arange(7), 0)
    assert trial.verdict.success.all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_undefined_derivative_does_no_harm(norm: str) -> None:
    model, x = linear((3, 4), 2), inputs((3, 4))
    weight, bias = model.weight, model.bias

    def broken(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return flat @ weight.T + bias + (0 * flat[:, :1]).sqrt()  # its derivative in the first feature is NaN

    victim = brittle.as_victim(broken, (-10.0, 10.0))
    labels = victim(x).argmax(1)
    threat = brittle.linf(0.0) if norm == "linf" else brittle.l2(0.0)
    threat = threat.with_eps(3 * float(model.distance(x, labels, norm).max()))
    for attack in (brittle.gama_pgd(20), brittle.tpgd(), brittle.jitter(steps=40), brittle.acg(9), brittle.reacg(9)):
        trial = attempt(attack, victim, threat, x, Classify(labels), torch.arange(7), 0)
        assert trial.verdict.success.all()


def test_who_is_won_by_x_itself_stays_there() -> None:
    labels = (WAVES(INNER).argmax(1) + 1) % 5
    for attack in (brittle.gama_pgd(5), brittle.tpgd(), brittle.acg(5), brittle.reacg(5)):
        trial = _run(attack, Classify(labels))
        assert torch.equal(trial.x_adv, INNER)
        assert (trial.forwards == 1).all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: brittle.gama_pgd(0), "steps=0 is too few"),
        (lambda: brittle.gama_pgd(relaxation=-1.0), "relaxation=-1 would hold"),
        (lambda: brittle.tpgd(steps=0), "steps=0 is too few"),
        (lambda: brittle.tpgd(step_size=0.0), "step_size=0 is not positive"),
        (lambda: brittle.jitter(steps=0), "steps=0 is too few"),
        (lambda: brittle.jitter(step_size=-1.0), "step_size=-1 is not positive"),
        (lambda: brittle.jitter(scale=0.0), "scale=0 would make all outputs alike"),
        (lambda: brittle.jitter(noise=-0.1), "noise=-0.1 is not a deviation"),
        (lambda: brittle.adam_pgd(steps=0), "steps=0 is too few"),
        (lambda: brittle.adam_pgd(step_size=0.0), "step_size=0 is not positive"),
        (lambda: brittle.acg(0), "steps=0 is too few"),
        (lambda: ConjugateGradient(start="rim"), "start='rim' is not one of clean, random"),  # type: ignore[arg-type]
    ],
)
def test_what_would_do_nothing_is_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        make()
