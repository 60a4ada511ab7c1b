"""Attacks made of attacks: they lose nothing, ask no more than they need, and keep the laws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import brittle
from brittle.attacks.combine.cascade import Cascade
from brittle.attacks.combine.replay import Replay
from brittle.attacks.combine.restarts import Restarts
from brittle.attacks.combine.start_from import StartFrom
from brittle.attacks.combine.widening import Widening
from brittle.core.access import Access
from brittle.core.goal import Classify
from brittle.core.trial import Trial, attempt
from brittle.runs.values import decode, encode
from brittle.testing import assert_conforms, network
from brittle.testing.victims import inputs

X = inputs((3, 4), bounds=(0.0, 1.0))
VICTIM = network((3, 4))
GOAL = Classify(VICTIM(X).argmax(1))
IDS = torch.arange(7)
COMBINED = {
    "cascade": Cascade((brittle.fgsm(), brittle.pgd(6), brittle.uniform_noise(2))),
    "warm": Cascade((brittle.ifgsm(3), brittle.pgd(6)), warm=True),
    "start_from": StartFrom(brittle.fgsm(), brittle.pgd(6), reach=1.5),
    "widening": Widening(brittle.pgd(6), (0.4, 1.0)),
    "replay": Replay.of(0.05 * torch.ones(3, 4)),
}


def _run(attack: brittle.Attack, eps: float) -> Trial:
    return attempt(attack, VICTIM, brittle.linf(eps), X, GOAL, IDS, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cascade", "warm", "start_from", "widening"])
def test_combinations_conform(name: str) -> None:
    assert_conforms(COMBINED[name], [brittle.linf(0.1), brittle.l2(0.3)])


@pytest.mark.parametrize("name", COMBINED)
def test_a_combination_is_a_value_that_a_plan_can_hold(name: str) -> None:
    assert decode(encode(COMBINED[name])) == COMBINED[name]


def test_a_cascade_wins_what_any_of_its_attacks_wins_and_asks_only_about_survivors() -> None:
    parts = (brittle.fgsm(), brittle.ifgsm(20))
    eps = 0.15
    first, second = (_run(part, eps) for part in parts)
    both = _run(Cascade(parts), eps)
    assert torch.equal(both.verdict.success, first.verdict.success | second.verdict.success)
    won = first.verdict.success
    assert 0 < int(won.sum()) < 7
    assert (both.forwards[won] == 2).all()  # one step, one look
    assert (both.forwards[~won] == 23).all()


def test_a_cascade_asks_the_access_that_its_attacks_need_and_mixes_no_aims() -> None:
    assert Cascade((brittle.uniform_noise(3), brittle.pgd())).access is Access.GRADIENT
    assert Cascade((brittle.uniform_noise(3), COMBINED["replay"])).access is Access.SCORES
    with pytest.raises(brittle.InputError, match="no attacks"):
        Cascade(())
    with pytest.raises(brittle.InputError, match="Bisect"):
        Cascade((brittle.pgd(), brittle.parse_attack("ddn")))


def test_restarts_of_an_attack_that_minimises_keep_the_smallest() -> None:
    attack = Cascade((brittle.parse_attack("boundary:queries=200"),))
    sizes = [
        attempt(Restarts(attack, n), VICTIM, brittle.l2(math.inf), X, GOAL, IDS, 0).verdict.size for n in (1, 2, 4)
    ]
    assert (sizes[1] <= sizes[0]).all()
    assert (sizes[2] <= sizes[1]).all()
    assert (sizes[2] < sizes[0]).any()


def test_start_from_begins_where_the_first_ended() -> None:
    """One tiny step from a strong point stays at the strong point; from x it goes nowhere."""
    tiny = brittle.GradientAscent(steps=1, step_size=1e-6)
    eps = float(2 * _run(brittle.ifgsm(40), 0.2).verdict.size.max())
    strong, weak = _run(StartFrom(brittle.ifgsm(40), tiny), eps), _run(tiny, eps)
    assert (strong.verdict.size > 100 * weak.verdict.size).all()
    assert strong.verdict.success.sum() > weak.verdict.success.sum()


def test_widening_begins_each_radius_where_the_last_ended() -> None:
    """Steps of 0.01, five at each of three radii, add up only if they go on from one another."""
    steps = brittle.GradientAscent(steps=5, step_size=0.01)
    trial = _run(Widening(steps, (0.5, 0.75, 1.0)), 0.2)
    lost = ~trial.verdict.success
    assert bool(lost.any())
    assert (trial.verdict.size[lost] > 0.1).all()
    assert (_run(steps, 0.2).verdict.size <= 0.05 + 1e-12).all()


def test_replay_is_the_perturbation_and_survives_a_file(tmp_path: Path) -> None:
    delta = torch.linspace(-0.3, 0.3, 12).view(3, 4)
    Replay.of(delta).save(tmp_path / "delta.safetensors")
    attack = brittle.parse_attack(f"replay:path={tmp_path / 'delta.safetensors'}")
    trial = _run(attack, 0.1)
    assert torch.allclose(trial.x_adv, (X + delta.double().clamp(-0.1, 0.1)).clamp(0, 1), atol=1e-7)
    assert not (trial.forwards + trial.backwards).any()
    with pytest.raises(brittle.InputError, match="does not exist; give a perturbation that Replay.save wrote"):
        brittle.parse_attack("replay:path=nowhere.safetensors")
    with pytest.raises(brittle.InputError, match="shape"):
        _run(Replay.of(torch.zeros(4)), 0.1)
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "delta.safetensors").read_bytes()[:-5])
    with pytest.raises(brittle.InputError, match="torn.safetensors is not a saved perturbation"):
        Replay.read(tmp_path / "torn.safetensors")


def test_a_perturbation_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, first = tmp_path / "delta.safetensors", Replay.of(torch.ones(3, 4))
    first.save(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brittle.files.os.fsync", full)
    with pytest.raises(brittle.InputError, match="cannot be written"):
        Replay.of(torch.zeros(3, 4)).save(path)
    assert Replay.read(path) == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_minimal_keeps_to_the_smallest_budget_that_it_takes(norm: str) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    threat = getattr(brittle, norm)(float("inf"))
    trial = attempt(brittle.minimal(budget=200), victim, threat, x, Classify(victim(x).argmax(1)), torch.arange(7), 0)
    assert int((trial.forwards + trial.backwards).max()) <= 200
    assert trial.verdict.success.all()


def test_minimal_refuses_a_budget_for_one_start_alone() -> None:
    with pytest.raises(brittle.InputError, match="budget=199 is too small for several starts; give 200 or more"):
        brittle.minimal(budget=199)
