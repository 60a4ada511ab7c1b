"""A union of balls: a region like any other, and attacks that lose nothing against running under each ball by itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.app.chain import stages_of
from brittle.certify import Crown, prove
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import Victim, as_victim
from brittle.report.words import threat_name
from brittle.runs.values import decode, encode
from brittle.testing import assert_conforms, check_region
from brittle.testing.victims import inputs
from brittle.threats import THREATS, Union, UnionRegion


def _rivals(dtype: torch.dtype = torch.float64) -> Victim:
    """A boundary that all features share, which is near in Linf, and one of a single feature, which is near in L1."""
    layer = nn.Linear(12, 3, dtype=dtype)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1] = 1 - 2 * (torch.arange(12) % 2)
        layer.weight[2, 0] = 3
        layer.bias.copy_(torch.tensor([0.0, -0.2, -2.2]))
    return as_victim(nn.Sequential(nn.Flatten(), layer).eval())


MASK = torch.arange(12).view(3, 4) % 3 == 0
BALLS = (brittle.linf(0.05), brittle.l2(0.14), brittle.l1(0.3))
UNION = brittle.union(*BALLS)
UNIONS = [
    UNION,
    UNION.with_eps(0.37),
    UNION.with_eps(0.0),
    UNION.with_eps(math.inf),
    brittle.union(brittle.linf(0.1), brittle.l0(3)),
    brittle.union(brittle.l2(0.3, MASK), brittle.linf(0.02)),
    brittle.union(brittle.linf(0.2, MASK), brittle.linf(0.2, ~MASK)),
]
X = inputs((3, 4), count=24, bounds=(0.0, 1.0))
VICTIM = _rivals()
GOAL = Classify(VICTIM(X).argmax(1))
IDS = torch.arange(24)


def _run(attack: Any, threat: Any, **more: Any) -> Trial:
    return attempt(attack, VICTIM, threat, X, GOAL, IDS, 0, **more)


@pytest.mark.parametrize("threat", UNIONS, ids=str)
def test_its_regions_keep_the_laws_of_regions(threat: Union) -> None:
    assert [finding.sentence for finding in check_region(threat) if not finding.passed] == []


def _region(threat: Union) -> UnionRegion:
    return threat.around(X, 0.0, 1.0)


def test_the_size_is_the_least_scale_at_which_a_ball_has_the_point() -> None:
    region, point = _region(UNION), X.clone()
    point[:, 0, 0] = torch.where(
        X[:, 0, 0] > 0.5, X[:, 0, 0] - 0.07, X[:, 0, 0] + 0.07
    )  # 1.4, 0.5 and 0.23 of the radii
    torch.testing.assert_close(region.size(point), torch.full((24,), 0.07 / 0.3, dtype=torch.float64))
    assert region.contains(point).all()
    assert torch.equal(region.project(point), point)
    assert not _region(brittle.union(BALLS[0], brittle.l2(0.06))).contains(point).any()
    spread = (X + 0.045 * torch.where(X > 0.5, -1.0, 1.0)).clamp(0, 1)  # in Linf alone
    torch.testing.assert_close(region.size(spread), torch.full((24,), 0.9, dtype=torch.float64))
    assert (_region(brittle.union(*BALLS[1:])).size(spread) > 1.05).all()


def test_a_mask_is_of_its_ball_alone() -> None:
    region = _region(brittle.union(brittle.l2(0.5, MASK), brittle.linf(0.02)))
    inside = torch.where(X > 0.5, X - 0.1, X + 0.1)
    masked = torch.where(MASK, inside, X)
    assert (region.contains(masked) & (region.size(masked) < 1)).all()
    assert not region.contains(inside).any()
    torch.testing.assert_close(region.size(inside), torch.full((24,), 5.0, dtype=torch.float64))
    assert ((region.project(inside) - X).abs() <= 0.02 + 1e-12).all()


def test_it_projects_into_the_nearest_ball_and_steps_in_the_steepest() -> None:
    region = _region(UNION)
    far = torch.where(X > 0.5, X - 0.2, X + 0.2)  # 4, 4.9 and 8 radii away
    assert torch.equal(region.project(far), BALLS[0].around(X, 0.0, 1.0).project(far))
    one = X.clone()
    one[:, 1, 2] = far[:, 1, 2]
    one[:, 0, 0] = torch.where(X[:, 0, 0] > 0.5, X[:, 0, 0] - 0.4, X[:, 0, 0] + 0.4)  # nearest in L1
    assert torch.equal(region.project(one), BALLS[2].around(X, 0.0, 1.0).project(one))
    flat = torch.ones_like(X)
    middle = X.clamp(0.45, 0.55)
    half = UNION.around(middle, 0.0, 1.0)
    torch.testing.assert_close(half.ascend(middle, flat, half.radius) - middle, 0.05 * flat)
    sharp = torch.zeros_like(X)
    sharp[:, 2, 3] = 1
    torch.testing.assert_close(half.ascend(middle, sharp, 0.5 * half.radius) - middle, 0.15 * sharp)


def test_another_radius_is_another_scale_of_every_ball() -> None:
    far, half = 1 - X, UNION.with_eps(0.5).around(X, 0.0, 1.0)
    region = _region(UNION).within(torch.where(IDS % 2 == 0, 0.5, 1.0).double())
    assert torch.equal(region.project(far)[::2], half.project(far)[::2])
    assert torch.equal(region.project(far)[1::2], _region(UNION).project(far)[1::2])
    point = region.select(IDS[::2]).ascend(X[::2], far[::2] - X[::2], region.radius[::2])
    torch.testing.assert_close(point, half.select(IDS[::2]).ascend(X[::2], far[::2] - X[::2], half.radius[::2]))


def test_random_points_come_from_every_ball() -> None:
    x = torch.full((300, 3, 4), 0.5, dtype=torch.float64)
    region = brittle.union(brittle.linf(0.4), brittle.l0(1), brittle.l2(0.001)).around(x, 0.0, 1.0)
    point = region.random(Streams.seeded(0, torch.arange(300)))
    counts = ((point - x).flatten(1) != 0).sum(1)
    few, tiny = int((counts == 1).sum()), int(((point - x).flatten(1).norm(dim=1) <= 0.001).sum())
    assert 70 < few < 130
    assert 70 < tiny < 130


def test_no_limit_is_the_input_box() -> None:
    region = _region(UNION.with_eps(math.inf))
    assert region.contains(1 - X).all()
    assert (region.radius == region.radius[0]).all()
    assert math.isfinite(float(region.radius[0]))


@pytest.mark.parametrize("text", ["pgd:steps=6", "apgdt:steps=6,targets=2", "cr:targets=2,restarts=1,cycles=2,cycle=6"])
def test_each_member_wins_exactly_what_the_balls_lose_alone(text: str) -> None:
    attack = brittle.parse_attack(text)
    alone = [_run(attack, ball) for ball in BALLS]
    together = _run(brittle.EachMember(attack), UNION)
    won = torch.stack([trial.verdict.success for trial in alone])
    assert torch.equal(together.verdict.success, won.any(0))
    assert together.verdict.feasible.all()
    assert won.any(0).sum() > won.sum(1).max()  # no ball by itself breaks as many
    assert not won.any(0).all()
    margins = torch.stack([trial.verdict.margin for trial in alone])
    lost = ~won.any(0)
    assert torch.equal(together.verdict.margin[lost], margins.amax(0)[lost])


def test_the_cost_is_that_of_the_runs_and_a_look_at_each() -> None:
    attack = brittle.ifgsm(3)
    won = torch.stack([_run(attack, ball).verdict.success for ball in BALLS])
    runs = (won.cumsum(0) == 0).sum(0).add(1).clamp_max(3)  # balls up to the first that won
    together = _run(brittle.EachMember(attack), UNION)
    assert torch.equal(together.forwards, 4 * runs)
    assert torch.equal(together.backwards, 3 * runs)
    assert set(runs.tolist()) >= {1, 3}
    some = _run(brittle.EachMember(attack, ("l2",)), UNION)
    assert (some.forwards == 4).all()
    assert torch.equal(some.verdict.success, won[1])


def test_of_an_attack_that_minimises_the_smallest_scale_is_kept() -> None:
    attack, wide = brittle.parse_attack("fmn:steps=40"), UNION.with_eps(math.inf)
    alone = [_run(attack, ball.with_eps(math.inf)) for ball in BALLS]
    scales = torch.stack([_region(wide).size(trial.x_adv) for trial in alone])
    together = _run(brittle.EachMember(attack), wide)
    assert together.verdict.success.all()
    torch.testing.assert_close(together.verdict.size, scales.amin(0), rtol=1e-9, atol=0)
    for trial, ball in zip(alone, BALLS, strict=True):
        assert (together.verdict.size <= trial.verdict.size / ball.eps * (1 + 1e-9)).all()
    assert len(set(scales.argmin(0).tolist())) > 1


def test_a_budget_compares_balls_by_scale() -> None:
    """Cut off in the last ball, what is kept is the smallest of all balls in scale, not the smallest number."""
    attack = brittle.EachMember(brittle.parse_attack("fmn:steps=40"), ("linf", "l1"))
    wide = brittle.union(brittle.l1(0.3), brittle.linf(0.05)).with_eps(math.inf)
    whole = _run(brittle.EachMember(brittle.parse_attack("fmn:steps=40"), ("l1",)), wide)
    cost = int((whole.forwards + whole.backwards).max())
    cut = _run(attack, wide, budget=cost + 30)
    assert int((cut.forwards + cut.backwards).max()) <= cost + 30
    assert (cut.verdict.size <= whole.verdict.size * (1 + 1e-9)).all()
    assert (cut.verdict.size < 0.99 * whole.verdict.size).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack",
    [
        brittle.EachMember(brittle.pgd(6)),
        brittle.EachMember(brittle.parse_attack("fmn:steps=10")),
        brittle.EachMember(brittle.ifgsm(4), ("l2",)),
        brittle.pgd(6),
        brittle.uniform_noise(3),
    ],
    ids=["each", "smallest", "one norm", "as one region", "noise"],
)
def test_attacks_conform_under_a_union(attack: Any) -> None:
    assert_conforms(attack, [brittle.union(brittle.linf(0.1), brittle.l2(0.3))])


def test_elsewhere_each_member_is_just_the_attack() -> None:
    for threat in (BALLS[1], brittle.box()):
        one, other = _run(brittle.EachMember(brittle.pgd(6), ("linf",)), threat), _run(brittle.pgd(6), threat)
        assert torch.equal(one.x_adv, other.x_adv)
        assert torch.equal(one.forwards, other.forwards)
    assert brittle.EachMember(brittle.uniform_noise()).access is brittle.uniform_noise().access
    assert brittle.EachMember(brittle.pgd()).access is Access.GRADIENT


def test_a_text_a_value_and_a_plan_say_the_same() -> None:
    threat = brittle.union(brittle.linf(8 / 255), brittle.l2(0.5), brittle.l1(12))
    assert brittle.parse_threat("union:linf=8/255,l2=0.5,l1=12") == threat
    assert brittle.parse_threat("union:l2=0.5,linf=8/255,eps=0.25").with_eps(1.0) == brittle.union(
        brittle.l2(0.5), brittle.linf(8 / 255)
    )
    for value in (*UNIONS, brittle.EachMember(brittle.pgd(6), ("linf", "l1"))):
        assert decode(encode(value)) == value
    assert brittle.union(threat.with_eps(0.5), brittle.l0(3)).members == (
        brittle.linf(4 / 255),
        brittle.l2(0.25),
        brittle.l1(6),
        brittle.l0(3),
    )
    assert threat_name(encode(threat)) == "union (linf 8/255, l2 0.5, l1 12)"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: brittle.union(), "union has nothing to choose from; give balls"),
        (lambda: brittle.union(brittle.box()), "union takes no box; give balls: linf, l2, l1 or l0"),  # type: ignore[arg-type]
        (lambda: brittle.union(brittle.hue(0.3)), "union takes no hue; give balls"),  # type: ignore[arg-type]
        (lambda: brittle.union(brittle.l2(0.0)), "l2 has eps=0 in a union; give a finite size above zero"),
        (lambda: brittle.union(brittle.l2(math.inf)), "l2 has eps=inf in a union"),
        (lambda: UNION.with_eps(-1.0), "eps=-1 is not a scale"),
        (lambda: brittle.parse_threat("union"), "write for example 'union:linf=8/255,l2=0.5'"),
        (lambda: brittle.parse_threat("union:hue=0.5"), "part of union 'hue'"),
        (lambda: brittle.parse_threat("union:linf=0.1,linf=0.2"), "'linf' is given twice"),
        (lambda: _run(brittle.EachMember(brittle.fgsm(), ("l0",)), UNION), "is for l0, the union has linf and l2 and l1"),
        (lambda: brittle.union(brittle.linf(8)).around(X, 0.0, 1.0), "did you mean 8/255"),
    ],
)  # fmt: skip
def test_what_is_no_union_is_said_in_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_sample_is_proved_where_every_ball_proves_it() -> None:
    victim, x = _rivals(torch.float32), X.float()
    labels = victim(x).argmax(1)
    alone = torch.stack([prove(Crown(), victim, ball, x, labels) for ball in BALLS])
    assert torch.equal(prove(Crown(), victim, UNION, x, labels), alone.all(0))
    assert 0 < alone.all(0).sum() < alone.sum(1).min()
    for ball, proved in zip(BALLS, alone, strict=True):
        assert torch.equal(proved, prove(Crown(), victim, brittle.union(ball), x, labels))


def test_a_chain_has_the_stages_of_all_its_norms_and_no_attack_meets_another() -> None:
    alone = {norm: {stage.name for stage in stages_of("standard", THREATS[norm](0.1))} for norm in ("linf", "l2")}
    stages = stages_of("standard", brittle.union(brittle.linf(0.1), brittle.l2(0.1)))
    assert {stage.name.partition(", ")[0] for stage in stages} == alone["linf"] | alone["l2"]
    for stage in stages:
        value = decode(stage.value)
        assert isinstance(value, brittle.EachMember)
        assert stage.name.partition(", ")[0] in set.intersection(*(alone[norm] for norm in value.norms or ()))
    assert [stage.name for stage in stages_of("quick", brittle.union(brittle.l0(2)))] == [
        "gradient ascent",
        "random restarts",
    ]


def _trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network of logits, and inputs that it gets right."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 3)).eval()
    x = X[:12].float()
    return net, x, net(x).argmax(1)


@pytest.mark.slow
def test_an_evaluation_is_at_most_the_least_of_its_balls(tmp_path: Path) -> None:
    net, x, labels = _trained()
    options: dict[str, Any] = {
        "effort": "quick",
        "attacks": ["pgd:steps=6", "newtonfool:steps=3"],
        "grid": [0.5],
        "progress": False,
    }
    together = brittle.evaluate(net, (x, labels), UNION, out=tmp_path / "run", **options)
    alone = [
        brittle.evaluate(net, (x, labels), ball, **{**options, "attacks": ["pgd:steps=6"], "grid": [ball.eps]})
        for ball in BALLS
    ]
    least = min(report.robust_accuracy for report in alone)
    assert 0 < together.robust_accuracy <= least < 1
    rows = together.rows
    assert not any(row.error for row in rows)
    assert {row.threat for row in rows} == {"", "union"}
    held = {row.id for row in rows if row.role == "stage" and row.eps == 1.0} - {
        row.id for row in rows if row.success and row.eps == 1.0
    }
    proved = {row.id for row in rows if row.proved and row.eps == 1.0}
    assert proved <= held
    page = together.save(tmp_path / "report.html").read_text()
    assert "union (linf 0.05, l2 0.14, l1 0.3)" in page
    again = brittle.evaluate(net, (x, labels), UNION, out=tmp_path / "run", **options)
    assert again.rows == rows
    with pytest.raises(brittle.InputError, match="stadv works under flow, the union has linf and l2 and l1"):
        brittle.evaluate(net, (x, labels), UNION, attacks=["stadv"], progress=False)
