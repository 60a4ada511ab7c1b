"""What the stages of a chain are called, and what is said of each where it appears."""

from __future__ import annotations

import pytest
from rich.console import Console

import brittle
from brittle.app.chain import stages_of
from brittle.app.efforts import BLACK_BOX, EFFORTS
from brittle.attacks import ATTACKS
from brittle.core.access import Access

ASKED = {
    "linf:0.1": brittle.linf(0.1),
    "l2": brittle.l2(1.0),
    "l0": brittle.l0(3),
    "spatial": brittle.spatial(angle_deg=20),
    "union": brittle.union(brittle.linf(0.1), brittle.l2(1.0), brittle.l0(3)),
}


@pytest.mark.parametrize("threat", ASKED)
@pytest.mark.parametrize("effort", EFFORTS)
def test_every_stage_has_a_name_of_its_own_and_says_what_it_does(effort: str, threat: str) -> None:
    for access in (Access.GRADIENT, *BLACK_BOX):
        try:
            stages = stages_of(effort, ASKED[threat], access)
        except brittle.InputError:  # nothing is known there, which is said elsewhere
            continue
        names = [stage.name for stage in stages]
        assert len(names) == len(set(names))
        assert not {*names} & {*ATTACKS}, "an abbreviation is no name for a stranger"
        for stage in stages:
            assert len(stage.about.split()) >= 4
            assert stage.about[-1] != "."


def test_the_terminal_explains_the_stages_that_were_asked_and_no_other(digits_run: brittle.Report) -> None:
    console = Console(width=160, record=True)
    digits_run.show(console)
    lines = [line.strip() for line in console.export_text().splitlines()]
    asked = [stage for stage in digits_run.summary.chain if stage.at(0.1).asked]
    left = [stage for stage in digits_run.summary.chain if not stage.at(0.1).asked]
    assert asked
    assert left
    said = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines[lines.index("stage by stage") :]}
    for stage in asked:
        assert said[stage.name] == stage.about
    for stage in left:
        assert said[stage.name] != stage.about


@pytest.fixture(scope="module")
def digits_run() -> brittle.Report:
    from brittle.data.open import open_data
    from brittle.victims.networks import Architecture
    from brittle.victims.train import train

    module = train(open_data("digits?split=train"), Architecture("mlp", (1, 8, 8), 10), epochs=5)
    x, labels = open_data("digits").batch(range(8))
    return brittle.evaluate(module, (x, labels), brittle.linf(0.1), grid=[0.1])
