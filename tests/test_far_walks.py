"""`far_walks` and `square_if_near`: they find what gradients at x hide, and spend little where nothing is hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import brittle
from brittle.app.chain import stages_of
from brittle.app.efforts import BALLS, EFFORTS
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.problem import Problem
from brittle.core.trial import Trial, attempt
from brittle.core.victim import as_victim

SIDE = 6
NORMAL = torch.linspace(0.5, 1.5, SIDE * SIDE).view(1, SIDE, SIDE)
X = torch.full((5, 1, SIDE, SIDE), 0.4)
THRESHOLD = 0.5  # of the weighted mean, which is 0.4 at X: 0.1 away in Linf
LABELS = torch.zeros(5, dtype=torch.int64)


def rise(x: Tensor) -> Tensor:
    return (x * NORMAL).flatten(1).mean(1) / NORMAL.mean() - THRESHOLD


def flat(x: Tensor) -> Tensor:
    """Two classes, and no gradient at all until 0.02 before the boundary."""
    score = rise(x).clamp_min(-0.02)
    return torch.stack([-score, score], dim=1)


def honest(x: Tensor) -> Tensor:
    score = rise(x)
    return torch.stack([-score, score], dim=1)


def tried(spec: str, model=flat, eps: float = 0.15, norm: str = "linf") -> Trial:
    threat = getattr(brittle, norm)(eps)
    return attempt(brittle.parse_attack(spec), as_victim(model), threat, X, Classify(LABELS), torch.arange(5), 0)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.13), ("l2", 0.75), ("l1", 4.5)])
def test_far_walks_cross_a_plain_where_ascent_stands_still(norm: str, eps: float) -> None:
    assert not tried("apgd:steps=20,loss=margin", eps=eps, norm=norm).verdict.success.any()
    assert tried("far_walks", eps=eps, norm=norm).verdict.success.all()


def test_what_lies_beyond_the_radius_is_not_won_and_its_margin_is_that_of_a_point_inside() -> None:
    trial = tried("far_walks", honest, eps=0.07)
    assert not trial.verdict.success.any()
    assert trial.verdict.feasible.all()
    assert torch.allclose(trial.verdict.margin, torch.tensor(2 * (0.07 - 0.1)).to(trial.verdict.margin), atol=2e-3)


def test_each_far_place_costs_a_walk_and_a_climb_and_a_won_sample_leaves() -> None:
    one, four = (tried(f"far_walks:starts={starts}", honest, eps=0.07) for starts in (0, 3))
    assert (four.forwards > 2 * one.forwards).all()
    assert (four.forwards <= 4 * (10 + 8 + 10 + 27)).all()
    assert (tried("far_walks:starts=8").forwards < four.forwards).all()


def test_without_the_nearest_walk_only_the_far_ones_are_made() -> None:
    whole, near, rest = (
        tried(f"far_walks:{text}", honest, eps=0.07) for text in ("starts=2", "starts=0", "starts=2,near=false")
    )
    assert (whole.forwards == near.forwards + rest.forwards).all()
    with pytest.raises(brittle.InputError, match="starts"):
        brittle.far_walks(starts=0, near=False)


def test_square_goes_on_only_where_it_came_near() -> None:
    probe, climb, queries = 10, 4, 50
    short, longer, whole = (
        tried(f"square_if_near:probe={probe},climb={climb},queries={queries},reach={reach}", honest, eps=0.05)
        for reach in (0.001, 0.3, 1)  # eps goes half of the way to the boundary
    )
    begun = 2 + 2 * (
        probe + climb + 2
    )  # x for each of the two questions what is near, and a look at each start and answer
    assert (short.forwards == begun + 2).all()
    assert (longer.forwards == begun + 7 * probe + 3).all()
    assert (whole.forwards == begun + 7 * probe + queries + 4).all()
    assert (whole.backwards == 2 * climb).all()
    assert (short.backwards == 2 * climb).all()
    assert (whole.verdict.margin >= short.verdict.margin).all()


def test_square_finds_what_an_ascent_from_x_does_not() -> None:
    assert not tried("apgd:steps=60,loss=margin", eps=0.15).verdict.success.any()
    assert tried("square_if_near", eps=0.15).verdict.success.any()


def test_targets_go_on_only_where_they_came_near() -> None:
    short, whole = (
        tried(f"targets_if_near:steps=5,targets=1,more=7,reach={reach}", honest, eps=0.05) for reach in (0.01, 1)
    )
    assert (short.backwards == 5).all()
    assert (whole.backwards == 5 + 7).all()
    assert (whole.forwards - short.forwards == 7 + 2).all()
    assert (whole.verdict.margin >= short.verdict.margin).all()


def test_relaxation_goes_on_from_its_own_point_where_it_came_near() -> None:
    text = "relaxation_if_near:climb=4,queries=10,reach="
    alone = tried("cr:targets=1,restarts=1,cycles=3,cycle=15", honest, eps=0.05)
    short, whole = (tried(text + reach, honest, eps=0.05) for reach in ("0.01", "1"))
    looked = 3  # x, to know what is near, and at what each of the two parts returned
    assert (short.forwards == alone.forwards + looked - 1).all()
    assert (whole.forwards == alone.forwards + looked + 2 * (4 + 1 + 10) + 4).all()
    assert (whole.backwards == alone.backwards + 2 * 4).all()
    assert (whole.verdict.margin >= short.verdict.margin).all()


def test_a_walk_follows_only_an_ascent_that_stood_still() -> None:
    moved, stuck = tried("walk_if_stuck:steps=5,walk=6", honest, eps=0.05), tried("walk_if_stuck:steps=5,walk=6")
    assert (moved.backwards == 5).all()
    assert not moved.verdict.success.any()
    assert (stuck.backwards > 5).all()
    assert stuck.verdict.success.all()
    never = tried("walk_if_stuck:steps=5,walk=6,stuck=1.1")
    assert (never.backwards == 5).all()
    assert not never.verdict.success.any()


def test_combinators_refuse_the_wrong_kind() -> None:
    with pytest.raises(brittle.InputError, match="fixed budget"):
        brittle.IfNear(brittle.square(), brittle.fab())
    with pytest.raises(brittle.InputError, match="fixed budget"):
        brittle.IfStuck(brittle.fab(), brittle.square())
    with pytest.raises(brittle.InputError, match="walk that minimises"):
        brittle.FarWalks(walk=brittle.apgd(), climb=brittle.apgd())


def test_every_effort_goes_further_than_the_one_before() -> None:
    assert EFFORTS["exhaustive"][: len(EFFORTS["standard"])] == EFFORTS["standard"]
    assert EFFORTS["exhaustive"][-1].attack == "autoattack"
    for norm in BALLS:
        quick, standard, exhaustive = (
            stages_of(effort, getattr(brittle, norm)(0.1)) for effort in ("quick", "standard", "exhaustive")
        )
        assert len(quick) < len(standard) < len(exhaustive)
        assert [stage.name for stage in quick] == [stage.name for stage in standard[: len(quick)]]
        names = [stage.name for stage in exhaustive]
        assert len(names) == len(set(names))
    assert "square" not in [stage.name for stage in stages_of("standard", brittle.l2(0.1))]


@dataclass(frozen=True)
class Begins:
    """Notes where it is told to begin, and stays at x."""

    seen: list[Tensor | None]

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "none"

    def __call__(self, problem: Problem) -> Tensor:
        self.seen.append(problem.starts)
        return problem.region.origin.clone()


def test_what_is_near_is_gone_on_with_and_what_is_stuck_begun_afresh() -> None:
    begun: list[Tensor | None] = []
    for model, attack in (
        (honest, brittle.IfNear(brittle.ifgsm(steps=4), Begins(begun), reach=0.3)),  # 0.08 of the 0.1 to the boundary
        (flat, brittle.IfStuck(brittle.ifgsm(steps=4), Begins(begun))),
    ):
        attempt(attack, as_victim(model), brittle.linf(0.08), X, Classify(LABELS), torch.arange(5), 0)
    near, stuck = begun
    assert near is not None
    assert torch.allclose(near, X + 0.08)
    assert stuck is None
