"""How far and how long still: lines where there is no terminal, records for logs, and a forecast of all radii."""

from __future__ import annotations

import logging
import re
import time

import pytest
import torch

import brittle
import brittle.app.progress
from brittle.app.efforts import EFFORTS, PASSES
from brittle.app.forecast import Forecast, declared
from brittle.app.progress import progress_bar

NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
X, Y = torch.rand(7, 3, 2, 2), torch.arange(7) % 3
BALL = brittle.linf(0.1)


def test_where_there_is_no_terminal_a_line_comes_in_between(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brittle.app.progress, "EVERY", 0.01)
    with progress_bar() as advance:
        advance(0, 2000, "gradient ascent")
        advance(1000, 2000, "boundary walk")
        deadline = time.monotonic() + 20
        said = ""
        while "\n" not in said and time.monotonic() < deadline:  # also while nothing is told
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert re.match(r"brittle: (boundary walk, 1,000|gradient ascent, 0) of 2,000(, about \d+ s left)?\n", said)
    assert "\x1b" not in said


def test_a_run_that_is_over_soon_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    brittle.evaluate(NET, (X, Y), BALL, attacks="fgsm", grid=[0.1])
    assert capsys.readouterr() == ("", "")


def test_an_attack_tells_how_far_it_is() -> None:
    told: list[tuple[int, int, str]] = []
    quiet = brittle.attack("pgd:steps=3", NET, X, Y, BALL, batch_size=3)
    loud = brittle.attack("pgd:steps=3", NET, X, Y, BALL, batch_size=3, progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == [0, 3, 6, 7]
    assert {total for _, total, _ in told} == {7}
    assert torch.equal(quiet.x_adv, loud.x_adv)


def test_the_logger_tells_programs_of_stages_and_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="brittle"):
        report = brittle.evaluate(NET, (X, Y), BALL, attacks=["fgsm"], grid=[0.1], progress=False)
    said = [record.getMessage() for record in caplog.records if record.name == "brittle"]
    assert said[0].startswith("evaluating Sequential")
    assert any(line.startswith("fgsm (") for line in said)
    assert said[-1].startswith("finished: Report(")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == report.warnings != []


def test_a_library_is_silent_where_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("brittle").handlers)


RADII = [("noise", 100, 1.0), ("ascent", 100, 10.0), ("walk", 100, 30.0), ("ascent", 100, 10.0), ("walk", 100, 30.0)]


def test_what_was_seen_at_one_radius_is_the_forecast_of_the_next() -> None:
    forecast = Forecast(RADII)
    assert forecast.left(0, 0.0) is None  # nothing is known
    assert forecast.left(100, 1.0) is None  # noise says nothing of a pass
    # the ascent took 11 s: 1 s for its rows, as noise, and 0.01 s a pass; to come are two walks of 31 s and an ascent as before
    assert forecast.left(200, 12.0) == pytest.approx(2 * 31 + 11)
    # the walk took 100 s and not 31
    assert forecast.left(300, 112.0) == pytest.approx(11 + 100)
    assert forecast.left(300, 117.0) == pytest.approx(11 + 100 - 5)
    assert forecast.left(400, 123.0) == pytest.approx(100)
    assert forecast.left(400, 323.0) == 0.0  # longer than forecast: no less than nothing is left
    assert forecast.left(500, 400.0) == 0.0


def test_costs_that_the_list_states_are_read() -> None:
    assert declared("fgsm") == 2
    assert declared("mifgsm:steps=7+di+ti") == 14
    assert declared("pgd:steps=7,restarts=2") == 2 * (7 * 2 + 2)
    assert declared("my own attack") is None
    assert {stage.name for effort in ("quick", "standard") for stage in EFFORTS[effort] if "linf" in stage.norms} == {
        *PASSES
    }
