"""Victims that reject: the attack walks out of the rejection again, is judged as before, and the remedy is found by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.combine.through import Through
from brittle.attacks.remedies import MendedDoor, Rejection, Remedy, Rescale, Smoothed, StraightThrough, mended
from brittle.attacks.remedies.rejection import losing, lost
from brittle.core.access import Access
from brittle.core.goal import Classify, Match
from brittle.core.oracle import Ledger, Oracle
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim, as_victim
from brittle.data import open_data
from brittle.diagnosis.remedy import mend
from brittle.errors import InputError
from brittle.findings import Finding
from brittle.testing import network
from brittle.testing.victims import inputs

EPS = 0.2
COUNT = 50
SHAPE = (1, 8, 8)
WEIGHT = 0.25


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    data = open_data("digits")
    x, labels = data.batch(range(len(data)))
    return x, labels


@functools.cache
def plain() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        x, labels = (part[COUNT:] for part in digits())
        optimiser = torch.optim.Adam(module.parameters(), 3e-3)
        for _ in range(20):
            for rows in torch.randperm(len(x)).split(128):
                loss = nn.functional.cross_entropy(module(x[rows]), labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return module.eval()


@functools.cache
def ordinary() -> tuple[Tensor, Tensor]:
    """The mean digit (64,) and the 40 directions (64, 40) that digits differ in most."""
    flat = digits()[0].flatten(1)
    return flat.mean(0), torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:40].T


def strangeness(x: Tensor) -> Tensor:
    """(B, 1): what of it no digit has, as a length; noise of the threat's size has more of that than any digit."""
    mean, directions = ordinary()
    centred = x.flatten(1) - mean
    return (centred - centred @ directions @ directions.T).norm(dim=1, keepdim=True)


@functools.cache
def threshold() -> float:
    return float(strangeness(digits()[0]).quantile(0.99))


class Detector(nn.Module):
    """The network, rejecting what is stranger than 99 % of the digits in the way that `reject` (x, outputs) says it."""

    def __init__(self, net: nn.Module, reject: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.reject = net, reject

    def forward(self, x: Tensor) -> Tensor:
        return self.reject(x, self.net(x))


def strange(x: Tensor) -> Tensor:
    return strangeness(x) > threshold()


def _written(x: Tensor, z: Tensor) -> Tensor:
    z = z + 0
    z[strange(x).squeeze(1)] = 0
    return z


def _filled(x: Tensor, z: Tensor) -> Tensor:
    z = z + 0
    return z.masked_fill_(strange(x), 0.0)


def _multiplied(x: Tensor, z: Tensor) -> Tensor:
    z = z + 0
    z *= (strangeness(x) <= threshold()).to(z.dtype)
    return z


def _twice(x: Tensor, z: Tensor) -> Tensor:
    """Of two rejections the inner one never holds."""
    return torch.where(strange(x), torch.zeros_like(z), torch.where(strangeness(x) > 1e3, 0.0, z))


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "where": lambda x, z: torch.where(strange(x), torch.zeros_like(z), z),
    "where not": lambda x, z: torch.where(~strange(x), z, 0.5),
    "method": lambda x, z: z.where(strangeness(x) <= threshold(), 0.0),
    "other side": lambda x, z: torch.where(threshold() < strangeness(x), 0.0, z),
    "expanded": lambda x, z: torch.where(strange(x).view(-1).unsqueeze(1).expand_as(z), -1e9, z),
    "masked_fill": lambda x, z: z.masked_fill(strange(x), 0.0),
    "masked_fill_": _filled,
    "product": lambda x, z: z * (strangeness(x) <= threshold()),
    "mask first": lambda x, z: (1 - strange(x).float()) * z,
    "in place": _multiplied,
    "written": _written,
    "any": lambda x, z: torch.where((strangeness(x).expand(-1, 3) > threshold()).any(1, keepdim=True), 0.0, z),
    "or": lambda x, z: torch.where(strange(x) | (strangeness(x) > 2 * threshold()), 0.0, z),
    "and": lambda x, z: torch.where(torch.logical_and(strange(x), strangeness(x) > threshold() / 2), 0.0, z),
    "twice": _twice,
}


@functools.cache
def detector(form: str = "where") -> Victim:
    return as_victim(Detector(plain(), FORMS[form]).eval(), name=form)


@functools.cache
def points() -> Tensor:
    """Digits, of which some with noise: both rejected and believed ones."""
    x = digits()[0][:200]
    generator = torch.Generator().manual_seed(0)
    size = torch.linspace(0, 2.5 * EPS, len(x)).view(-1, 1, 1, 1)
    return (x + size * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)


def run(attack: brittle.Attack, victim: Victim, rows: slice = slice(COUNT)) -> Trial:
    x, labels = (part[rows] for part in digits())
    ids = torch.arange(COUNT)[rows]
    with victim.undisturbed(0):
        return attempt(attack, victim, brittle.linf(EPS), x, Classify(labels), ids, 0)


def wins(attack: brittle.Attack, victim: Victim) -> float:
    return float(run(attack, victim).verdict.success.double().mean())


@pytest.mark.parametrize("inner", [(), (StraightThrough(),)], ids=["alone", "straight through"])
@pytest.mark.parametrize("form", FORMS)
def test_rejection_becomes_a_class_however_it_is_written(form: str, inner: tuple[Remedy, ...]) -> None:
    x = points().clone().requires_grad_()
    rejected = strange(x).squeeze(1)
    assert 40 < int(rejected.sum()) < 160
    outputs, net = mended(detector(form), (Rejection(weight=WEIGHT), *inner))(x), plain()(x)
    assert torch.equal(outputs[:, :-1], net)
    above = WEIGHT * (strangeness(x).squeeze(1) - threshold())
    torch.testing.assert_close(outputs[rejected, -1], (net.amax(1) + above)[rejected])
    assert bool(((outputs[:, -1] > net.amax(1)) == rejected).all())
    (slope,) = torch.autograd.grad(outputs[rejected, -1].sum(), x)
    (wanted,) = torch.autograd.grad((net.amax(1) + above)[rejected].sum(), x)
    torch.testing.assert_close(slope, wanted)


def test_a_point_exactly_at_the_threshold_is_as_the_victim_has_it() -> None:
    x = torch.tensor([[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]])
    strict = Victim(lambda x: torch.where(x[:, :1] > 0.5, 0.0, torch.cat([x[:, 1:], 2 * x[:, 1:]], 1)))
    loose = Victim(lambda x: torch.where(x[:, :1] >= 0.5, 0.0, torch.cat([x[:, 1:], 2 * x[:, 1:]], 1)))
    for victim, rejected in ((strict, [False, False, True]), (loose, [False, True, True])):
        outputs = mended(victim, (Rejection(),))(x)
        assert (lost(outputs, torch.tensor([0, 0, 0])).argmax(1) == 0).tolist() == rejected


GOALS: dict[str, Callable[[Tensor, Tensor], Classify]] = {
    "untargeted": lambda labels, others: Classify(labels),
    "steered": lambda labels, others: Classify(labels, towards=others),
    "targeted": lambda labels, others: Classify(labels, targets=others),
    "targeted at the label": lambda labels, others: Classify(labels, targets=labels),
}


@pytest.mark.parametrize("outer", [(), (Rescale(),)], ids=["alone", "rescaled"])
@pytest.mark.parametrize("name", GOALS)
def test_a_goal_is_reached_exactly_where_the_victim_has_it(name: str, outer: tuple[Remedy, ...]) -> None:
    x, victim = points(), detector()
    others = plain()(x).argmax(1)  # reached wherever nothing is rejected, unless the label is asked for
    labels = torch.where(torch.arange(len(x)) % 2 == 0, (others + 3) % 10, others)
    goal = GOALS[name](labels, others)
    true = goal.margin(victim(x))
    asked = lost(mended(victim, (Rejection(), *outer))(x), losing(goal))
    seen = goal.margin(asked)
    assert torch.equal(seen > 0, true > 0)
    assert 20 < int((true > 0).sum()) < 180
    rejected = strange(x).squeeze(1)
    assert bool((seen[rejected] <= 0).all())
    if not outer:
        assert torch.equal(seen[~rejected], true[~rejected])


def test_where_it_rejects_both_the_class_and_the_belief_have_a_slope() -> None:
    labels = plain()(points()).argmax(1)
    x = points()[strange(points()).squeeze(1)].clone().requires_grad_()
    labels = plain()(x).argmax(1)
    goal = Classify(labels, towards=(labels + 1) % 10)
    assert float(torch.autograd.grad(goal.steer(detector()(x)).sum(), x)[0].abs().max()) == 0
    asked = lost(mended(detector(), (Rejection(weight=WEIGHT),))(x), losing(goal))
    (slope,) = torch.autograd.grad(goal.steer(asked).sum(), x)
    net = plain()(x)
    towards = goal.steer(net) - WEIGHT * strangeness(x).squeeze(1)  # the label is the largest
    torch.testing.assert_close(slope, torch.autograd.grad(towards.sum(), x)[0])


def test_the_same_attack_wins_through_it() -> None:
    attack, victim = brittle.apgdt(20, loss="margin"), detector()
    through = Through(attack, (Rejection(weight=WEIGHT),))
    assert wins(attack, victim) < 0.3
    assert wins(attack, as_victim(plain())) == 1.0
    assert wins(through, victim) > 0.9
    trial = run(through, victim)
    x = trial.x_adv[trial.verdict.success]
    assert bool((strangeness(x) <= threshold()).all())  # believed
    assert bool((trial.forwards <= 9 * 21 + 10).all())
    assert int(trial.forwards.max()) > 20


def test_a_sample_is_answered_the_same_whoever_is_beside_it() -> None:
    through = Through(brittle.apgdt(5, loss="margin"), (Rejection(weight=WEIGHT), Smoothed(sigma=0.01, draws=2)))
    whole, part = run(through, detector()), run(through, detector(), slice(20, 30))
    torch.testing.assert_close(whole.x_adv[20:30], part.x_adv, atol=1e-5, rtol=0)
    assert torch.equal(whole.forwards[20:30], part.forwards)


def test_the_door_knows_whose_label_takes_the_rejection() -> None:
    """Rows in another order, twice selected: each rejected row has its own label raised, and is charged."""
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0))  # noise: all are rejected
    labels = torch.tensor([3, 1, 4, 1, 5, 9])
    ledger, goal = Ledger.empty(8, x.device), Classify(labels)
    rows = torch.tensor([7, 2, 0, 5, 4, 1])
    door = Oracle(detector(), ledger, Access.GRADIENT, rows=rows)
    mend_ = MendedDoor.of(door, (Rejection(),), Streams.seeded(0, torch.arange(6)), goal)
    assert mend_(x).argmax(1).tolist() == labels.tolist()
    chosen = torch.tensor([4, 0, 2])
    assert mend_.select(chosen)(x[chosen]).argmax(1).tolist() == labels[chosen].tolist()
    assert ledger.forwards.tolist() == [2, 1, 1, 0, 2, 1, 0, 2]


def test_a_rejection_is_measured() -> None:
    victim = Victim(lambda x: torch.where(x[:, :1] > 0.5, 0.0, torch.tensor([[-30.0, 30.0]]).expand(len(x), 2)))
    assert Rejection.measured(victim, torch.tensor([[0.1], [0.2], [1.1]])).weight == 75.0  # 30 / 0.4: the median


@pytest.mark.parametrize("kind", ["zero-gradient", "noisy-surface", "not-rising", "unbounded"])
def test_findings_lead_to_it(kind: str) -> None:
    x, labels = (part[:COUNT] for part in digits())
    found = mend(detector(), x, labels, brittle.linf(EPS), [Finding(kind, "m", "w", "d")])
    assert isinstance(found[0], Rejection)


def test_nothing_is_found_where_nothing_is_rejected_or_nothing_speaks_for_it() -> None:
    x, labels = (part[:COUNT] for part in digits())
    for victim, kind in ((as_victim(plain()), "not-rising"), (detector(), "one-step")):
        assert mend(victim, x, labels, brittle.linf(EPS / 4), [Finding(kind, "m", "w", "d")]) == ()


def _overwritten(x: Tensor) -> Tensor:
    mask = strange(x)
    mask[::2] = False
    return torch.where(mask, 0.0, plain()(x))


def _decided(x: Tensor) -> Tensor:
    return torch.zeros(len(x), 10) if float(strangeness(x).mean()) > 0 else plain()(x)


REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "honest": lambda x: plain()(x),
    "one of two networks": lambda x: torch.where(strange(x), plain()(x), plain()(1 - x)),
    "a class, not a rejection": lambda x: torch.where(strange(x), torch.eye(10)[3], plain()(x)),
    "each output by itself": lambda x: torch.where(plain()(x) > 0, plain()(x), 0.0),
    "before the outputs": lambda x: plain()(torch.where(strangeness(x)[..., None, None] > 1, 0.0, x)),
    "by Python": _decided,
    "a comparison that is overwritten": _overwritten,
    "a comparison that is changed in place": lambda x: torch.where(strange(x).logical_not_(), 0.0, plain()(x)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_rejection_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no condition makes all outputs of a sample equal.*; leave it out"):
        mended(Victim(REFUSED[name]), (Rejection(),))(points())


def test_what_cannot_work_is_said() -> None:
    with pytest.raises(InputError, match="weight=0 is not positive; give more than 0"):
        Rejection(weight=0)
    victim, x = network(SHAPE), inputs(SHAPE, 3)
    goal = Match(features=torch.zeros(3, 10), within=torch.ones(3))
    attack = Through(brittle.pgd(3, loss="margin"), (Rejection(),))
    with pytest.raises(InputError, match="the remedy rejection is about classes"):
        attempt(attack, victim, brittle.linf(EPS), x, goal, torch.arange(3), 0)


def _scattered(x: Tensor) -> Tensor:
    return x * torch.zeros_like(x).scatter(1, x.topk(6, dim=1).indices, 1.0)


def _scattered_in_place(x: Tensor) -> Tensor:
    mask = torch.zeros_like(x)
    mask.scatter_(1, torch.topk(x, 6, dim=1)[1], 1)
    return mask * x


def _values(x: Tensor) -> Tensor:
    values, where = x.topk(6, 1)
    return torch.zeros_like(x).scatter_(1, where, values)


def _ones_out(x: Tensor) -> Tensor:
    """The mask of those to go, the 26 smallest of 32."""
    smallest = x.topk(26, dim=1, largest=False).indices
    return x * torch.ones_like(x).scatter(1, smallest, value=0.0)


@pytest.mark.parametrize("form", [_scattered, _scattered_in_place, _values, _ones_out])
def test_winners_by_scattering_have_the_slope_of_winners_by_comparing(form: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(20, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.randn(20, 32, generator=torch.Generator().manual_seed(1))

    def slope(function: Callable[[Tensor], Tensor], width: float) -> Tensor:
        outputs = mended(Victim(function), (StraightThrough(width=width),))(x)
        assert torch.equal(outputs, function(x))
        return torch.autograd.grad((outputs * target).sum(), x)[0]

    def compared(x: Tensor) -> Tensor:
        if form is _ones_out:
            return x * (1 - (x <= x.topk(26, dim=1, largest=False).values[:, -1:]).float())
        return torch.where(x >= x.topk(6, dim=1).values[:, -1:], x, 0)

    torch.testing.assert_close(slope(form, 0.1), slope(compared, 0.1))
    (hard,) = torch.autograd.grad((form(x) * target).sum(), x)
    assert float((slope(form, 0.1) - hard).abs().max()) > 1.0


def test_scattering_of_other_things_is_left_alone() -> None:
    """Numbers that are not the largest, and sums."""
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def doubled(x: Tensor) -> Tensor:
        values, where = x.topk(2, 1)
        return torch.zeros_like(x).scatter(1, where, 2 * values)

    def summed(x: Tensor) -> Tensor:
        return x * torch.ones_like(x).scatter(1, x.topk(2, 1).indices, 3.0, reduce="multiply")

    for function in (doubled, summed):
        outputs = mended(Victim(function), (StraightThrough(width=0.1),))(x)
        (slope,) = torch.autograd.grad(outputs.sum(), x)
        assert torch.equal(slope, torch.autograd.grad(function(x).sum(), x)[0])


def test_an_evaluation_breaks_the_detector_by_itself() -> None:
    x, labels = (part[:COUNT] for part in digits())
    victim = detector()
    naive = brittle.evaluate(
        victim, (x, labels), brittle.linf(EPS), attacks=["pgd:steps=40"], grid=[EPS], progress=False
    )
    report = brittle.evaluate(
        victim, (x, labels), brittle.linf(EPS), effort="quick", grid=[EPS], prove=False, progress=False
    )
    assert naive.robust_accuracy > 0.6
    assert report.robust_accuracy < 0.1
