"""What people give in their first hour: it works, or one sentence names the nearest that does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

import brittle
from brittle import InputError, linf

torch.manual_seed(3)
NET = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 24, 5)).eval()
X, Y = torch.rand(7, 3, 8, 6), torch.arange(7) % 5
BALL = linf(0.1)


def reference() -> brittle.Outcome:
    return brittle.attack(brittle.pgd(steps=3), NET, X, Y, BALL)


WORKS: dict[str, Callable[[], brittle.Outcome]] = {
    "a string": lambda: brittle.attack("pgd:steps=3", NET, X, Y, BALL),
    "a threat's string": lambda: brittle.attack("pgd:steps=3", NET, X, Y, "linf:0.1"),
    "arrays": lambda: brittle.attack("pgd:steps=3", NET, X.numpy(), Y.numpy(), BALL),
    "arrays of doubles": lambda: brittle.attack("pgd:steps=3", NET, X.double().numpy(), Y.numpy(), BALL),
    "lists": lambda: brittle.attack("pgd:steps=3", NET, X.tolist(), Y.tolist(), BALL, ids=list(range(7))),
}


@pytest.mark.parametrize("given", WORKS)
def test_other_forms_of_the_same_give_the_same(given: str) -> None:
    found, expected = WORKS[given](), reference()
    assert torch.equal(found.x_adv, expected.x_adv)
    assert torch.equal(found.success, expected.success)


def test_targets_may_be_a_list_or_an_array() -> None:
    wanted = (Y + 1) % 5
    found = [
        brittle.attack("pgd:steps=3", NET, X, Y, BALL, targets=t).x_adv
        for t in (wanted, wanted.tolist(), wanted.numpy())
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def mine(outputs: Tensor, goal: Any) -> Tensor:
    return outputs.sum(1)


LAST = X.permute(0, 2, 3, 1)
SAYS: dict[str, tuple[Callable[[], object], str]] = {
    "a misspelt attack": (lambda: brittle.attack("pdg", NET, X, Y, BALL), "unknown attack 'pdg'; did you mean .*pgd"),
    "an attack not called": (
        lambda: brittle.attack(brittle.deepfool, NET, X, Y, BALL),
        r"as in brittle.deepfool\(\)\?",
    ),
    "a number as threat": (
        lambda: brittle.attack("pgd", NET, X, Y, 0.1),
        r"not in which norm; give brittle.linf\(0.1\)",
    ),
    "a threat not called": (lambda: brittle.attack("pgd", NET, X, Y, linf), r"as in brittle.linf\(8 / 255\)\?"),
    "model and attack swapped": (lambda: brittle.attack(NET, brittle.pgd(), X, Y, BALL), "the attack comes first"),
    "model and data swapped": (lambda: brittle.evaluate((X, Y), NET, BALL), "the model comes first"),
    "no labels": (lambda: brittle.attack("pgd", NET, X, None, BALL), "labels are None; give one class index a sample"),
    "labels that are text": (lambda: brittle.attack("pgd", NET, X, "cat", BALL), "the labels are a str"),
    "ragged lists": (lambda: brittle.attack("pgd", NET, [[1.0], [1.0, 2.0]], Y, BALL), "cannot be made a tensor"),
    "channels last": (
        lambda: brittle.attack("pgd", NET, LAST, Y, BALL),
        r"channels first: give x.permute\(0, 3, 1, 2\)",
    ),
    "channels last, evaluated": (lambda: brittle.evaluate(NET, (LAST, Y), BALL), r"give x.permute\(0, 3, 1, 2\)"),
    "no such device": (lambda: brittle.attack("pgd", NET, X, Y, BALL, device="gpu"), "device 'gpu' cannot be used"),
    "a device of no numbers": (lambda: brittle.attack("pgd", NET, X, Y, BALL, device="meta"), "device 'meta' cannot"),
    "a device, evaluated": (lambda: brittle.evaluate(NET, (X, Y), BALL, device="meta"), "device 'meta' cannot be used"),
    "another library's option": (
        lambda: brittle.pgd(alpha=0.1),
        "unknown option of pgd 'alpha'; did you mean step_size",
    ),
    "an attack's radius": (lambda: brittle.pgd(eps=0.1), r"said by the threat, as in linf\(8 / 255\)"),
    "a class's option": (lambda: brittle.deepfool(step=3), "unknown option of DeepFool 'step'; did you mean steps"),
    "a threat's option": (lambda: linf(epsilon=0.1), "unknown option of linf 'epsilon'; did you mean eps"),
    "an option of evaluate": (lambda: brittle.evaluate(NET, (X, Y), BALL, sample=3), "did you mean samples"),
    "an option of attack": (lambda: brittle.attack("pgd", NET, X, Y, BALL, target=3), "did you mean targets"),
    "a function as loss": (lambda: brittle.attack(brittle.pgd(loss=mine), NET, X, Y, BALL), "register_loss"),
    "torch's loss": (
        lambda: brittle.attack(brittle.apgd(loss=F.cross_entropy), NET, X, Y, BALL),
        "loss=cross_entropy is",
    ),
    "universal": (lambda: brittle.universal(NET, (X, Y), 0.1), "not in which norm"),
    "mimic": (lambda: brittle.mimic(NET, X, X, 0.1, layer="0"), "not in which norm"),
    "diagnose": (lambda: brittle.diagnose(NET, (X, Y), 0.1), "not in which norm"),
    "transfer": (lambda: brittle.transfer({"a": NET}, {"b": NET}, (X, Y), 0.1), "not in which norm"),
    "blackbox": (lambda: brittle.blackbox(NET, NET, (X, Y), 0.1), "not in which norm"),
}


@pytest.mark.parametrize("given", SAYS)
def test_what_cannot_work_is_a_sentence_with_the_nearest_that_does(given: str) -> None:
    call, said = SAYS[given]
    with pytest.raises(InputError, match=said):
        call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without cuda")
def test_cuda_on_a_machine_without_it_is_a_sentence() -> None:
    with pytest.raises(InputError, match="device 'cuda' cannot be used"):
        brittle.attack("pgd", NET, X, Y, BALL, device="cuda")


def test_a_misspelt_name_of_the_package_gets_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean .*pgd"):
        _ = brittle.pdg
    with pytest.raises(AttributeError, match="no attribute 'zzzzzz'$"):
        _ = brittle.zzzzzz


def test_one_bad_sample_is_no_misfit_of_model_and_data(tmp_path: Path) -> None:
    def picky(x: Tensor) -> Tensor:
        if bool((x[:, 0, 0, 0] == 0.25).any()):
            raise ValueError("a quarter")
        return NET(x)

    x = X.clone()
    x[2, 0, 0, 0] = 0.25
    report = brittle.evaluate(picky, (x, Y), BALL, attacks="fgsm", grid=[0.1], progress=False)
    assert [row.id for row in report.rows if row.error] == [2, 2, 2]


@pytest.fixture(scope="module")
def report() -> brittle.Report:
    return brittle.evaluate(NET, (X, Y), BALL, attacks=brittle.pgd(steps=5), grid=[0.05, 0.1], progress=False)


def test_the_examples_of_a_run_are_tensors_that_do_what_the_rows_say(report: brittle.Report) -> None:
    found = report.examples()
    assert found["x_adv"].shape == X.shape
    assert torch.equal(NET(found["x_adv"]).argmax(1), found["predicted"])
    assert bool(((found["x_adv"] - X[found["id"]]).abs() <= 0.1 + 1e-6).all())
    won = {row.id for row in report.rows if row.eps == 0.1 and row.success}
    assert {int(i) for i in found["id"][found["success"]]} == won != set()
    rows = {(row.id, row.eps): row for row in report.rows if row.role == "attack"}
    smaller = report.examples(report.summary.attacks[-1].name, eps=0.05)
    assert smaller["success"].tolist() == [rows[int(i), 0.05].success for i in smaller["id"]]
    with pytest.raises(InputError, match="unknown attack of this run 'pdg'"):
        report.examples("pdg")
    with pytest.raises(InputError, match=r"nothing was tried at eps=0.3; give one of 0.05, 0.1"):
        report.examples(eps=0.3)


def test_a_notebook_shows_the_table_and_the_warnings(report: brittle.Report) -> None:
    page = report._repr_html_()
    assert "worst case" in page
    assert "<pre" in page
    assert "<script" not in page
    assert len(report.warnings) == page.count("<li>") > 0


def test_rows_as_a_data_frame_need_pandas(report: brittle.Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(InputError, match=r'pip install "brittle\[pandas\]"'):
        report.frame()


def test_an_outcome_is_kept_as_tensors(tmp_path: Path) -> None:
    outcome = reference()
    loaded = load_file(outcome.save(tmp_path / "new" / "outcome.safetensors"))
    assert set(loaded) == set(outcome.__dataclass_fields__)
    assert torch.equal(loaded["x_adv"], outcome.x_adv)
    assert np.array_equal(loaded["size"].numpy(), outcome.size.numpy())
    with pytest.raises(InputError, match=r"does not end in .safetensors"):
        outcome.save(tmp_path / "outcome.pt")
