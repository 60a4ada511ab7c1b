"""Attacks on a model that only answers, begun at what fools a surrogate: fewer questions, and each of them counted."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import brittle
import published
from brittle.attacks import TransferStart
from brittle.core.access import Access
from brittle.core.problem import Problem
from brittle.core.victim import Victim
from brittle.data import open_data
from brittle.errors import InputError
from brittle.report.terminal import footnote
from brittle.runs.values import decode, encode
from brittle.testing import check_attack, network
from brittle.testing.victims import inputs
from brittle.victims import open_victim
from brittle.victims.ensemble import ensemble
from brittle.victims.named import NamedVictim
from http_server import Served
from test_cli import run_brittle

SHAPE = (3, 4)
X = inputs(SHAPE, dtype=torch.float32, bounds=(0.0, 1.0))
TARGET = network(SHAPE, dtype=torch.float32)
LABELS = TARGET(X).argmax(1)
THREAT = brittle.linf(0.3)


@dataclass(frozen=True)
class Ask:
    """One question, about the start."""

    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = ""

    def __call__(self, problem: Problem) -> Tensor:
        assert problem.starts is not None
        problem.oracle(problem.starts)
        return problem.starts


def counted(access: Access) -> tuple[Victim, list[int]]:
    """The target, which gives no more than that, and the rows it was asked."""
    rows: list[int] = []

    def forward(x: Tensor) -> Tensor:
        assert not x.requires_grad
        rows.append(len(x))
        outputs = TARGET(x)
        return (
            torch.nn.functional.one_hot(outputs.argmax(1), outputs.shape[1]).float()
            if access is Access.LABELS
            else outputs
        )

    return Victim(forward, access=access), rows


def test_the_start_is_what_the_surrogate_alone_is_attacked_to() -> None:
    surrogate = network(SHAPE, seed=5, dtype=torch.float32)
    outcome = brittle.attack(
        TransferStart(surrogate=surrogate, first=brittle.ifgsm(4), then=Ask()), TARGET, X, LABELS, THREAT
    )
    alone = brittle.attack(brittle.ifgsm(4), surrogate, X, LABELS, THREAT)
    assert torch.equal(outcome.x_adv, alone.x_adv)
    assert (outcome.forwards == 1).all()
    assert (outcome.backwards == 0).all()
    assert torch.equal(outcome.aside_forwards, alone.forwards)
    assert torch.equal(outcome.aside_backwards, alone.backwards)
    assert "a sample: 1.0 forwards, 0.0 backwards, and of a surrogate 4.0 forwards, 4.0 backwards" in repr(outcome)
    assert (alone.aside_forwards == 0).all()


@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS], ids=lambda access: access.value)
def test_the_model_is_asked_what_is_counted_and_gives_no_more_than_it_does(access: Access) -> None:
    then = "square:queries=20" if access is Access.SCORES else "rays:queries=20"
    target, rows = counted(access)
    attack = brittle.transfer_start(network(SHAPE, seed=5, dtype=torch.float32), then, first="mifgsm")
    assert attack.access is access
    outcome = brittle.attack(attack, target, X, LABELS, brittle.linf(0.02))
    assert sum(rows) == int(outcome.forwards.sum()) + 4 * len(
        X
    )  # two looks whether it answers alike, the one before the attack, and the judge
    assert (outcome.aside_backwards == 10).all()
    with pytest.raises(InputError, match="gives labels alone"):
        brittle.attack(brittle.transfer_start(TARGET, "pgd"), replace(target, access=Access.LABELS), X, LABELS, THREAT)


def test_a_surrogate_that_is_the_model_itself_is_believed_at_the_first_question() -> None:
    direct = brittle.attack(brittle.mifgsm(), TARGET, X, LABELS, THREAT).success
    started = brittle.attack(brittle.transfer_start(TARGET, "square:queries=50"), TARGET, X, LABELS, THREAT)
    assert int(direct.sum()) >= 5
    assert (started.forwards[direct] == 1).all()
    assert started.success[direct].all()


def test_a_budget_is_the_models_own() -> None:
    attack = brittle.transfer_start(network(SHAPE, seed=5, dtype=torch.float32), "square:queries=50")
    outcome = brittle.attack(attack, TARGET, X, LABELS, brittle.linf(0.001), budget=3)
    assert (outcome.forwards == 3).all()
    assert (outcome.aside_forwards == 10).all()


def test_each_network_of_an_ensemble_is_counted_and_a_surrogate_of_another_type_is_asked_in_its_own() -> None:
    pair = ensemble([network(SHAPE, seed=seed, dtype=torch.float32) for seed in (5, 6)])
    outcome = brittle.attack(
        TransferStart(surrogate=pair, first=brittle.ifgsm(4), then=Ask()), TARGET, X, LABELS, THREAT
    )
    assert (outcome.aside_forwards == 8).all()
    double = network(SHAPE, seed=5)
    outcome = brittle.attack(
        TransferStart(surrogate=double, first=brittle.ifgsm(4), then=Ask()), TARGET, X, LABELS, THREAT
    )
    assert outcome.x_adv.dtype == torch.float32
    assert (outcome.size > 0.29).all()


def test_a_larger_reach_starts_further_away() -> None:
    for reach in (1.0, 2.0):
        attack = brittle.transfer_start(TARGET, "square:queries=1", first="fgsm", reach=reach)
        at = brittle.attack(replace(attack, then=Ask()), TARGET, X, LABELS, brittle.linf(0.05)).size
        assert at.max() == pytest.approx(0.05 * reach, rel=1e-4)


def test_it_keeps_the_laws() -> None:
    attack = TransferStart(
        surrogate=network((3, 4), seed=1), first=brittle.ifgsm(3), then=brittle.parse_attack("square:queries=9")
    )
    kept = {finding.name: finding for finding in check_attack(attack, [brittle.linf(0.1)])}
    others = [
        finding for finding in kept.values() if not finding.passed and "takes inputs in 0..1" not in finding.sentence
    ]
    assert others == []  # some laws are about victims of other bounds
    held = {name.partition(": ")[2] for name, finding in kept.items() if finding.passed}
    assert held >= {
        "treats a sample the same whoever is in the batch, and in any order",
        "is charged for exactly what it asks",
    }


def test_what_cannot_be_is_one_sentence() -> None:
    for surrogate, sentence in (
        (replace(TARGET, access=Access.LABELS), "GradientAscent needs gradients"),
        (replace(TARGET, upper=255.0), r"takes inputs in 0..255, the model in 0..1; give both the same"),
        (Victim(lambda x: TARGET(x)[:, :2], name="small"), r"the surrogate small has 2 classes and knows no class"),
    ):
        with pytest.raises(InputError, match=sentence):
            brittle.attack(brittle.transfer_start(surrogate, "square"), TARGET, X, LABELS, THREAT)
    with pytest.raises(InputError, match="reach=0 leaves no room to start from"):
        brittle.transfer_start(TARGET, "square", reach=0.0)


# By name, in plans and commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start")
    for name, seed in (("target", 0), ("surrogate", 1)):
        run_brittle("train", "digits", "--epochs", "10", "--seed", str(seed), "--out", f"{name}.safetensors", cwd=path)
    return path


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as cache:
        monkeypatch.setenv("BRITTLE_CACHE", cache)
        yield


def test_a_named_surrogate_is_a_value_that_a_plan_can_hold(folder: Path) -> None:
    text = str(folder / "surrogate.safetensors")
    attack = brittle.transfer_start(text, "square:queries=30", first="mifgsm+di")
    assert decode(encode(attack)) == attack
    assert hash(attack) == hash(brittle.transfer_start(text, "square:queries=30", first="mifgsm+di"))
    with pytest.raises(InputError, match="a plan holds numbers"):
        encode(brittle.transfer_start(TARGET, "square"))
    assert isinstance(attack.surrogate, NamedVictim)
    other = dataclasses.replace(attack.surrogate, digest="0" * 32)
    with pytest.raises(InputError, match="another model than when this was planned"):
        other.opened(torch.device("cpu"))


def test_an_evaluation_of_a_server_begins_from_the_surrogate(folder: Path) -> None:
    with Served(open_victim(str(folder / "target.safetensors"))) as server:
        text = f"{server.url}?wait=0.002&journal={tempfile.mkdtemp()}/j.sqlite"
        common: dict[str, Any] = {"attacks": ["square:queries=60"], "samples": 20, "grid": [0.2], "progress": False}
        plain = brittle.evaluate(text, "digits", "linf:0.2", **common)
        begun = brittle.evaluate(text, "digits", "linf:0.2", start_from=str(folder / "surrogate.safetensors"), **common)
    spent = [sum(row.forwards for row in report.rows if row.attack.startswith("square")) for report in (plain, begun)]
    assert 0 < spent[1] < 0.6 * spent[0]
    assert begun.robust_accuracy <= plain.robust_accuracy
    asked = [(row.aside_forwards, row.aside_backwards) for row in begun.rows if row.attack.startswith("square")]
    assert {*asked} == {(0, 0), (10, 10)}  # mifgsm on the surrogate, for those that are right untouched
    assert all(row.aside_forwards == 0 for row in (*plain.rows, *begun.rows) if not row.attack.startswith("square"))
    assert f"A surrogate was asked beside the model: {20 * asked.count((10, 10)):,} forwards" in footnote(begun.summary)
    assert {row.attack for row in begun.rows} == {"clean", "uniform_noise", "square:queries=60"}


def test_the_chain_of_a_model_that_only_answers_begins_there_too(folder: Path) -> None:
    """Every stage; the baseline of noise stays as it is."""
    victim = replace(open_victim(str(folder / "target.safetensors")), access=Access.LABELS)
    start: dict[str, Any] = {"start_from": str(folder / "surrogate.safetensors"), "start_attack": "ifgsm:steps=3"}
    report = brittle.evaluate(
        victim, "digits", "linf:0.1", effort="quick", samples=4, grid=[0.1], progress=False, **start
    )
    kinds = {entry.role: str(entry.value) for entry in report.plan.attacks}
    assert "transfer_start:TransferStart" in kinds["stage"]
    assert "transfer_start:TransferStart" not in kinds["noise"]


def test_the_commands_take_a_surrogate(folder: Path) -> None:
    said = run_brittle(
        *("attack", "target.safetensors", "digits", "--threat", "linf:0.2", "--attack", "square:queries=40"),
        *(
            "--start-from",
            "surrogate.safetensors",
            "--start-attack",
            "ifgsm:steps=7",
            "--out",
            "fooled",
            "--samples",
            "8",
        ),
        cwd=folder,
    )
    assert "7.0 forwards and 7.0 backwards of the surrogate" in said
    said = run_brittle(
        *("evaluate", "target.safetensors", "digits", "--threat", "linf:0.2", "--attack", "square:queries=40"),
        *("--start-from", "surrogate.safetensors", "--grid", "0.2", "--samples", "20", "--out", "run"),
        cwd=folder,
    )
    assert "square:queries=40" in said
    said = run_brittle(
        *("evaluate", "target.safetensors", "digits", "--threat", "linf:0.2", "--start-from", "surrogate.safetensors"),
        cwd=folder, code=2,
    )  # fmt: skip
    assert "gives gradients, which the chain follows" in said


# On networks that others trained


@pytest.mark.data
@pytest.mark.slow
def test_fewer_questions_win_as_much_of_a_published_network() -> None:
    """Square on LeNet-5 at 0.2, from scratch and from another small network's examples."""
    x, labels = open_data("mnist").batch(range(40))
    target, surrogate = (
        published.network(name) for name in ("mnist_lenet5_advertorch_clean", "mnist_convsmall_nat_eran")
    )
    victim = replace(brittle.as_victim(target), access=Access.SCORES)
    square = brittle.parse_attack("square:queries=300")
    plain = brittle.attack(square, victim, x, labels, brittle.linf(0.2))
    begun = brittle.attack(brittle.transfer_start(surrogate, square), victim, x, labels, brittle.linf(0.2))
    assert int(begun.success.sum()) >= int(plain.success.sum()) - 1
    assert float(begun.forwards.double().mean()) < 0.85 * float(plain.forwards.double().mean())
