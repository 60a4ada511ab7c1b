"""`brittle.evaluate`: what it measures, what it accepts, and that going on does only what is missing."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import brittle
from brittle.data.open import open_data
from brittle.victims.networks import Architecture
from brittle.victims.train import train


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    training, test = open_data("digits?split=train"), open_data("digits")
    module = train(training, Architecture("mlp", (1, 8, 8), 10), epochs=20)
    x, labels = test.batch(range(150))
    return module, x, labels


def facts(report: brittle.Report) -> list[tuple[object, ...]]:
    """The rows without their times, in a stable order; floats to six digits."""
    rows = [dataclasses.astuple(dataclasses.replace(row, seconds=0.0)) for row in report.rows]
    return sorted(tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows)


def test_an_attack_leaves_less_than_noise_and_a_larger_eps_leaves_less(digits, tmp_path: Path) -> None:
    module, x, labels = digits
    report = brittle.evaluate(module, (x, labels), brittle.linf(0.15), attacks=["uniform_noise", "pgd:steps=10"])
    accuracy = {(a.name, c.eps): c.accuracy.robust.value for a in report.summary.attacks for c in a.cells}
    assert accuracy["pgd:steps=10", 0.15] < accuracy["uniform_noise", 0.15] - 0.3
    assert accuracy["pgd:steps=10", 0.15] < accuracy["pgd:steps=10", 0.15 / 4] - 0.2
    assert report.robust_accuracy <= accuracy["pgd:steps=10", 0.15]
    low, high = report.interval
    assert low < report.robust_accuracy < high
    assert report.clean_accuracy > 0.9
    assert report.save(tmp_path / "page.html").read_text().lower().startswith("<!doctype html>")


def test_the_one_line_call_and_the_evaluation_agree(digits) -> None:
    module, x, labels = digits
    outcome = brittle.attack(brittle.fgsm(), module, x, labels, brittle.linf(0.1))
    report = brittle.evaluate(module, (x, labels), brittle.linf(0.1), attacks=[brittle.fgsm()], grid=[0.1])
    rows = [row for row in report.rows if row.attack == "fgsm"]
    assert [row.success for row in rows if row.clean_correct] == outcome.success[outcome.clean_correct].tolist()
    assert report.robust_accuracy == pytest.approx(outcome.robust_accuracy)
    assert all(row.forwards == row.backwards == 1 for row in rows if row.clean_correct)
    assert all(row.forwards == 0 for row in rows if not row.clean_correct)


def test_an_attack_with_settings_of_its_own_is_named_by_them_and_shares_show_no_digits_too_many(digits) -> None:
    module, x, labels = digits
    attacks = [brittle.ifgsm(steps=3), brittle.fgsm()]
    report = brittle.evaluate(module, (x, labels), brittle.linf(0.1), attacks=attacks, grid=[0.1])
    assert [attack.name for attack in report.summary.attacks] == ["uniform_noise", "GradientAscent(steps=3)", "fgsm"]
    assert f"robust accuracy {100 * report.robust_accuracy:.0f} % [" in repr(report)
    outcome = brittle.attack(brittle.fgsm(), module, x, labels, brittle.linf(0.1))
    assert f"robust accuracy {100 * outcome.robust_accuracy:.0f} %" in repr(outcome)


def test_progress_speaks_of_the_look_at_the_model_before_the_rows(digits) -> None:
    module, x, labels = digits
    seen: list[tuple[int, int, str]] = []
    options = {"effort": "quick", "grid": [0.02], "prove": False}
    brittle.evaluate(
        module, (x[:16], labels[:16]), brittle.linf(0.02), progress=lambda *told: seen.append(told), **options
    )
    assert seen[:2] == [(0, 3, "diagnosis"), (1, 3, "proofs")]
    assert next(name for _, _, name in seen if name not in ("diagnosis", "proofs", "remedies")) == "clean"
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("kind", ["dataset", "loader"])
def test_a_dataset_or_loader_gives_the_rows_that_the_tensors_give(digits, kind: str) -> None:
    module, x, labels = digits
    dataset = TensorDataset(x, labels)
    data = dataset if kind == "dataset" else DataLoader(dataset, batch_size=17, shuffle=True)
    options = {"attacks": ["pgd:steps=5"], "grid": [0.1], "samples": 40}
    plain = brittle.evaluate(module, (x, labels), brittle.linf(0.1), **options)
    other = brittle.evaluate(module, data, brittle.linf(0.1), **options)
    strip = [tuple(v for i, v in enumerate(row) if i != 0) for row in facts(plain)]  # the cell names the data
    assert [tuple(v for i, v in enumerate(row) if i != 0) for row in facts(other)] == strip


def test_batch_and_shard_change_no_row(digits) -> None:
    module, x, labels = digits
    options = {"attacks": ["uniform_noise", "pgd:steps=5"], "grid": [0.1], "samples": 60}
    exact = copy.deepcopy(module).double()
    one = brittle.evaluate(exact, (x, labels), brittle.linf(0.1), batch_size=256, shard=500, **options)
    two = brittle.evaluate(exact, (x, labels), brittle.linf(0.1), batch_size=7, shard=11, **options)
    assert facts(one) == facts(two)


def test_going_on_runs_only_what_is_missing(digits, tmp_path: Path) -> None:
    module, x, labels = digits
    calls = {"rows": 0}
    module.register_forward_pre_hook(lambda _, args: calls.__setitem__("rows", calls["rows"] + len(args[0])))
    options = {"attacks": ["fgsm"], "grid": [0.1], "out": tmp_path / "run"}
    first = brittle.evaluate(module, (x, labels), brittle.linf(0.1), samples=50, **options)
    spent = calls["rows"]
    again = brittle.evaluate(module, (x, labels), brittle.linf(0.1), samples=50, **options)
    assert calls["rows"] == spent + 16  # two looks at the first eight, whether the model answers, and answers alike
    assert facts(again) == facts(first)
    more = brittle.evaluate(module, (x, labels), brittle.linf(0.1), samples=60, **options)
    assert 0 < calls["rows"] - spent < spent / 2
    assert set(facts(first)) < set(facts(more))


def test_a_folder_with_another_run_is_refused(digits, tmp_path: Path) -> None:
    module, x, labels = digits
    options = {"attacks": ["fgsm"], "grid": [0.1], "out": tmp_path / "run", "samples": 20}
    brittle.evaluate(module, (x, labels), brittle.linf(0.1), **options)
    with pytest.raises(brittle.InputError, match="holds another run.*seed was 0 and is 1.*--out"):
        brittle.evaluate(module, (x, labels), brittle.linf(0.1), seed=1, **options)


def test_a_folder_of_another_model_is_refused_before_the_model_is_looked_at(digits, tmp_path, monkeypatch) -> None:
    module, x, labels = digits
    options = {"effort": "quick", "grid": [0.1], "out": tmp_path / "run", "samples": 8, "progress": False}
    brittle.evaluate(module, (x, labels), brittle.linf(0.1), **options)
    changed = copy.deepcopy(module)
    with torch.no_grad():
        next(changed.parameters()).add_(0.01)
    monkeypatch.setattr("brittle.app.evaluate.examined", None)  # minutes, on a large network
    with pytest.raises(brittle.InputError, match="holds another run: the model changed; give another --out"):
        brittle.evaluate(changed, (x, labels), brittle.linf(0.1), **options)


def test_targeted_evaluation_counts_reaching_the_target(digits) -> None:
    module, x, labels = digits
    report = brittle.evaluate(
        module, (x, labels), brittle.linf(0.2), attacks=["pgd:steps=10"], grid=[0.2], goal="class:3", samples=60
    )
    rows = [row for row in report.rows if row.role == "attack" and row.clean_correct]
    assert {row.target for row in rows if row.label != 3} == {3}
    assert all(row.target != 3 for row in rows if row.label == 3)
    assert all(row.predicted == row.target for row in rows if row.success)
    assert any(row.success for row in rows)


def test_a_sample_that_raises_becomes_an_error_row(digits) -> None:
    module, x, labels = digits
    poison = x[5].clone()

    class Fragile(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if bool((batch == poison).flatten(1).all(1).any()):
                raise RuntimeError("this sample is cursed")
            return module(batch)

    report = brittle.evaluate(
        Fragile().eval(), (x[:20], labels[:20]), brittle.linf(0.1), attacks=["uniform_noise"], grid=[0.1]
    )
    assert {row.id for row in report.rows if row.error} == {5}
    assert all("cursed" in row.error for row in report.rows if row.error)
    assert any("error" in warning for warning in report.warnings)


@pytest.mark.parametrize("threat", [brittle.box(), brittle.l0(3), brittle.l2(1.0), brittle.l1(4.0), brittle.linf(0.0)])
def test_every_threat_can_be_evaluated(digits, threat, tmp_path: Path) -> None:
    module, x, labels = digits
    report = brittle.evaluate(module, (x[:20], labels[:20]), threat, attacks=["uniform_noise", "ifgsm:steps=3"])
    assert all(row.feasible for row in report.rows)
    assert 0 <= report.robust_accuracy <= report.clean_accuracy
    report.save(tmp_path / "page.html")


BAD = {
    "eps beyond the range": ({"threat": "linf:8"}, "eps=8 exceeds the input range .* did you mean 8/255"),
    "unknown attack": ({"attacks": ["pdg"]}, "unknown attack 'pdg'; did you mean .*pgd"),
    "unknown option": ({"attacks": ["pgd:step=3"]}, "unknown option of pgd 'step'; did you mean"),
    "no attack": ({"attacks": []}, "no attack is given"),
    "unknown goal": ({"goal": "worst"}, "goal 'worst' is not one of"),
    "unknown threat": ({"threat": "linff:0.1"}, "unknown threat 'linff'; did you mean linf"),
    "workers need strings": ({"workers": 2}, "workers=2 needs the model and the data as strings"),
    "twins": ({"attacks": {"a": "fgsm", "b": "fgsm"}}, "is the same attack as"),
    "negative eps": ({"threat": "linf:-0.1"}, "eps=-0.1 is not a size"),
    "grid beyond the range": ({"grid": [0.1, 7.0]}, "eps=7 exceeds the input range"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(digits, name: str, tmp_path: Path) -> None:
    module, x, labels = digits
    change, sentence = BAD[name]
    options = {"threat": "linf:0.1", "attacks": ["fgsm"], "out": tmp_path / "run"} | change
    threat = options.pop("threat")
    with pytest.raises(brittle.InputError, match=sentence):
        brittle.evaluate(module, (x, labels), threat, **options)
    assert not (tmp_path / "run").exists()


def test_a_model_in_training_mode_is_refused(digits) -> None:
    module, x, labels = digits
    module.train()
    try:
        with pytest.raises(brittle.InputError, match=r"training mode.*model\.eval\(\)"):
            brittle.evaluate(module, (x, labels), "linf:0.1")
    finally:
        module.eval()


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (lambda z: z * float("nan"), "NaN logits"),
        (lambda z: {"logits": z}, "returns a dict"),
        (lambda z: z[:1], "returns shape"),
        (lambda z: z[:, :1], "one output"),
        (lambda z: z[:, :3], "label 9 .* out of range: the model has 3 classes"),
    ],
)
def test_what_is_wrong_with_the_whole_model_is_raised_and_not_filed_away(digits, wrap, sentence: str) -> None:
    module, x, labels = digits
    with pytest.raises(brittle.InputError, match=sentence):
        brittle.evaluate(lambda batch: wrap(module(batch)), (x, labels), "linf:0.1", attacks=["fgsm"])
