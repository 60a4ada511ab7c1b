"""No liar fools an evaluation: what hides its gradients is named, and its number is that of an attacker who knows the defence."""

from __future__ import annotations

import json

import pytest

import brittle
from liar_measures import Honest, Liar, best_known
from liar_training import held_out
from liars import HONEST, LIARS, MISTAKES

pytestmark = pytest.mark.slow


def _evaluated(entry: Liar | Honest) -> tuple[brittle.Report, set[str]]:
    """The report of the defaults at the question's eps, and the kinds of findings on the model."""
    report = brittle.evaluate(
        entry.build(), held_out(), brittle.linf(entry.eps), grid=[entry.eps], batch_size=100, progress=False
    )
    noted = json.loads((report.folder / "diagnosis.json").read_text())
    return report, {finding["kind"] for finding in noted["findings"]}


@pytest.mark.parametrize("name", LIARS)
def test_a_liar_is_named_and_does_not_fool_us(name: str) -> None:
    liar = LIARS[name]
    report, kinds = _evaluated(liar)
    assert {*liar.expects} <= kinds
    assert report.robust_accuracy <= best_known(liar, *held_out()) + 0.03


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_network_gives_no_cause_for_doubt(name: str) -> None:
    report, kinds = _evaluated(HONEST[name])
    assert kinds == set()
    assert {doubt.kind for doubt in report.summary.doubts} <= {"few"}
    assert [
        stage.name for stage in report.summary.chain if stage.name.startswith(("mended", "averaged", "without"))
    ] == []


def test_a_model_left_in_training_mode_is_refused_with_the_mend() -> None:
    mistake = MISTAKES["training-mode"]
    with pytest.raises(brittle.InputError, match=r"call model.eval\(\) first"):
        brittle.evaluate(mistake.make(), held_out(), brittle.linf(mistake.eps))
