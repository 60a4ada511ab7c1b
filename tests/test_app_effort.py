"""`brittle.evaluate` by effort: a chain of stages, and what is added to it where the model's gradients cannot be believed."""

from __future__ import annotations

import copy
import dataclasses
import json
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.data.open import open_data
from brittle.victims.networks import Architecture
from brittle.victims.train import train

EPS = 0.1


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    module = train(open_data("digits?split=train"), Architecture("mlp", (1, 8, 8), 10), epochs=20)
    x, labels = open_data("digits").batch(range(80))
    return module, x, labels


@pytest.fixture(scope="module")
def honest(digits) -> brittle.Report:
    module, x, labels = digits
    return brittle.evaluate(module, (x, labels), brittle.linf(EPS), grid=[EPS])


class Around(nn.Module):
    """A module with something before or after it."""

    def __init__(self, module: nn.Module, before=lambda x: x, after=lambda z: z) -> None:
        super().__init__()
        self.module, self.before, self.after = module, before, after
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.module(self.before(x)))


class ByNumpy(nn.Module):
    """The same values, with no way back."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy().copy())


def facts(report: brittle.Report) -> list[tuple[object, ...]]:
    rows = [dataclasses.astuple(dataclasses.replace(row, seconds=0.0)) for row in report.rows]
    return sorted(tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows)


def kinds(report: brittle.Report) -> set[str]:
    return {finding["kind"] for finding in json.loads((report.folder / "diagnosis.json").read_text())["findings"]}


def naive(module: nn.Module, x: Tensor, labels: Tensor) -> float:
    report = brittle.evaluate(module, (x, labels), brittle.linf(EPS), attacks=["pgd"], grid=[EPS])
    return report.robust_accuracy


@pytest.mark.slow
def test_a_chain_finds_what_its_attacks_find_and_asks_only_about_what_is_open(digits, honest) -> None:
    module, x, labels = digits
    assert kinds(honest) == set()
    stages = honest.summary.chain
    assert [attack.name for attack in honest.summary.attacks] == ["uniform_noise", "fgsm"]
    assert len(stages) >= 3
    assert honest.robust_accuracy <= naive(module, x, labels)
    asked = [stage.at(EPS).asked for stage in stages]
    left = [stage.at(EPS).left.robust.value for stage in stages]
    assert left == sorted(left, reverse=True)
    assert left[-1] == honest.robust_accuracy
    assert asked[0] == round(80 * honest.clean_accuracy)
    settled = accumulate(stage.at(EPS).settled for stage in stages)
    assert all(many <= asked[0] - done for many, done in zip(asked[1:], settled, strict=False))


@pytest.mark.slow
def test_batches_and_shards_change_no_row(digits) -> None:
    module, x, labels = digits
    exact = copy.deepcopy(module).double()
    options = {"grid": [EPS], "samples": 40}
    one = brittle.evaluate(exact, (x, labels), brittle.linf(EPS), **options)
    two = brittle.evaluate(exact, (x, labels), brittle.linf(EPS), batch_size=7, shard=9, **options)
    assert facts(one) == facts(two)


@pytest.mark.slow
def test_the_same_call_again_runs_nothing_and_more_effort_goes_on(digits, tmp_path: Path) -> None:
    module, x, labels = digits
    calls = []
    listening = module.register_forward_hook(
        lambda *_: calls.append(1)
    )  # first of all: a hook may change what a model says
    first = brittle.evaluate(module, (x, labels), brittle.linf(EPS), grid=[EPS], out=tmp_path, effort="quick")
    files = {path.name for path in (tmp_path / "units").iterdir()}
    calls.clear()
    again = brittle.evaluate(module, (x, labels), brittle.linf(EPS), grid=[EPS], out=tmp_path, effort="quick")
    listening.remove()
    assert len(calls) == 2  # whether the model works at all, before and in the run
    assert {path.name for path in (tmp_path / "units").iterdir()} == files
    assert facts(again) == facts(first)


def test_an_unknown_effort_is_a_sentence(digits) -> None:
    module, x, labels = digits
    with pytest.raises(brittle.InputError, match="unknown effort 'standart'; did you mean standard"):
        brittle.evaluate(module, (x, labels), brittle.linf(EPS), effort="standart")


@pytest.mark.parametrize(
    ("liar", "kind"),
    [
        (lambda m: Around(m, after=lambda z: (1000 * z).softmax(1)), "probabilities"),
        (lambda m: Around(m, before=lambda x: (x * 6).round() / 6), "zero-gradient"),
        (lambda m: Around(m, before=ByNumpy()), "no-gradient"),
    ],
    ids=["saturated probabilities", "quantised", "numpy"],
)
@pytest.mark.slow
def test_what_hides_gradients_is_named_and_the_number_is_that_of_the_honest_model(digits, honest, liar, kind) -> None:
    module, x, labels = digits
    lying = liar(module)
    report = brittle.evaluate(lying, (x, labels), brittle.linf(EPS), grid=[EPS])
    assert kind in kinds(report)
    assert any(name.startswith("mended") for name in (stage.name for stage in report.summary.chain))
    assert report.robust_accuracy <= honest.robust_accuracy + 0.05
    if kind != "no-gradient":
        assert naive(lying, x, labels) > report.robust_accuracy + 0.1
    page = report.save(report.folder / "page.html").read_text()
    assert "Why it matters" in page


@pytest.mark.slow
def test_a_random_model_is_attacked_and_judged_over_its_draws(digits) -> None:
    module, x, labels = digits

    def noisy(z: Tensor) -> Tensor:
        return z + 3 * torch.randn_like(z)

    report = brittle.evaluate(Around(module, after=noisy), (x, labels), brittle.linf(EPS), grid=[EPS])
    assert "random" in kinds(report)
    assert report.plan.draws > 1
    assert any(name.startswith("averaged") for name in (stage.name for stage in report.summary.chain))
