"""Two runs compared: counts by hand, the sentences for what cannot be compared, and what the command prints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import brittle
from brittle.cli.main import app
from brittle.errors import InputError
from brittle.report.compare import paired
from brittle.report.diff_table import diff_table, footnotes, points
from brittle.runs.plan import AttackEntry
from brittle.runs.rows import Row
from report_synthetic import synthetic_plan, write_run

N = 60


def _turned(*ids: int) -> Callable[[list[Row]], list[Row]]:
    """The rows with the success of these samples the other way round, of those that are right untouched."""
    return lambda rows: [
        replace(row, success=not row.success) if row.id in ids and row.clean_correct else row for row in rows
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The second differs in PGD's verdict on samples 3 and 8, and in the grid."""
    folder, plan = tmp_path_factory.mktemp("runs"), synthetic_plan(N)
    other = replace(plan, victim="py:nets:mended", grid=(0.05, 0.1, 0.25))
    return write_run(folder / "a", plan), write_run(folder / "b", other, edit={"pgd": _turned(3, 8)})


def test_the_samples_that_changed_are_those_that_were_changed(runs: tuple[Path, Path]) -> None:
    found = brittle.diff(*runs)
    assert found.victims == ("py:nets:small", "py:nets:mended")
    assert (found.eps, found.threat, found.unmatched, found.differing) == (0.1, "linf", (), ())
    assert {change.eps for change in found.changes} == {0.0, 0.05, 0.1}
    assert found.of("clean").only_first == found.of("clean").only_second == ()
    for eps in (0.05, 0.1):
        before = {row.id: row for row in brittle_rows(runs[0], "pgd", eps)}
        assert before[3].clean_correct
        assert before[8].clean_correct
        lost = {i for i in (3, 8) if not before[i].success}
        change = found.of("pgd", eps)
        assert set(change.only_first) == lost
        assert set(change.only_second) == {3, 8} - lost
        assert (change.pair.n, change.pair.first, change.pair.second) == (N, len(lost), 2 - len(lost))
        robust = sum(row.clean_correct and not row.success for row in before.values())
        assert change.pair.both + change.pair.first == robust
        assert found.of("fgsm", eps).pair.p == 1.0


def brittle_rows(folder: Path, attack: str, eps: float) -> list[Row]:
    from brittle.runs.store import Store

    return [row for row in Store(folder).rows() if row.attack == attack and row.eps == eps]


def test_the_other_way_round_everything_is_turned(runs: tuple[Path, Path]) -> None:
    one, other = brittle.diff(*runs), brittle.diff(runs[1], runs[0])
    for what, eps in (("pgd", 0.1), ("worst case", 0.1)):
        there, back = one.of(what, eps), other.of(what, eps)
        assert (there.only_first, there.only_second) == (back.only_second, back.only_first)
        assert there.pair.difference == -back.pair.difference
        assert (there.pair.low, there.pair.high) == pytest.approx((-back.pair.high, -back.pair.low))
    with pytest.raises(InputError, match="not in both runs"):
        one.of("pgd", 0.2)


def test_a_run_is_like_itself(runs: tuple[Path, Path]) -> None:
    for change in brittle.diff(runs[0], runs[0]).changes:
        assert change.pair.first == change.pair.second == 0
        assert change.pair.p == 1.0
        assert change.pair.low < 0 < change.pair.high


def test_the_worst_case_is_over_smaller_radii_too(tmp_path: Path) -> None:
    """Fooled at 0.05 and not at 0.1: still broken in the worst case at 0.1."""
    plan = synthetic_plan(20)

    def only(rows: list[Row]) -> list[Row]:
        return [replace(row, success=row.eps == 0.05 and row.id == 4, clean_correct=True) for row in rows]

    none = dict.fromkeys(("clean", "uniform", "fgsm", "pgd", "square"), _none)
    a = write_run(tmp_path / "a", plan, edit=none)
    b = write_run(tmp_path / "b", plan, edit={**none, "pgd": only})
    found = brittle.diff(a, b)
    assert found.of("pgd", 0.1).only_first == ()
    assert found.of("worst case", 0.1).only_first == (4,)


def _none(rows: list[Row]) -> list[Row]:
    return [replace(row, success=False, clean_correct=True) for row in rows]


def test_attacks_of_one_run_alone_and_other_settings_are_named(tmp_path: Path) -> None:
    plan = synthetic_plan(20)
    weaker = [
        replace(entry, value={**entry.value, "steps": 9}) if entry.name == "pgd" else entry for entry in plan.attacks
    ]  # type: ignore[dict-item]
    a, b = write_run(tmp_path / "a", plan), write_run(tmp_path / "b", replace(plan, attacks=tuple(weaker[:3])))
    found = brittle.diff(a, b)
    assert (found.unmatched, found.differing) == (("square",), ("pgd",))
    text = " ".join(footnotes(found))
    assert "square" in text
    assert "other settings: pgd" in text


@pytest.mark.slow
def test_what_cannot_be_compared_gets_a_sentence(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    plan = synthetic_plan(N)
    cases = {
        "data": replace(plan, resolved={**plan.resolved, "data_digest": "another"}),
        "threat": replace(plan, threat={**plan.threat, "name": "l2"}),  # type: ignore[dict-item]
        "goal": replace(plan, goal="random"),
        "samples": replace(plan, samples=30),
        "no radius": replace(plan, eps=0.4, grid=(0.4,), threat={**plan.threat, "eps": 0.4}),  # type: ignore[dict-item]
    }
    for word, other in cases.items():
        with pytest.raises(InputError, match=word):
            brittle.diff(runs[0], write_run(tmp_path / word, other))
    with pytest.raises(InputError, match="is not finished"):
        brittle.diff(runs[0], write_run(tmp_path / "half", plan, skip=("square",)))
    with pytest.raises(InputError, match="holds no run"):
        brittle.diff(tmp_path / "nothing", runs[0])


def test_what_is_proved_is_compared_where_both_runs_looked_for_proofs(tmp_path: Path) -> None:
    """Samples 1, 2 and 5 against 2 and 7, at 0.1 and, as a proof holds in smaller balls, at 0.05."""
    plan = synthetic_plan(20)
    proof = AttackEntry(name="crown", role="proof", value={"type": "brittle.certify.methods:Crown", "steps": 0})

    def run(name: str, proved: set[int], at: float = 0.1) -> Path:
        asked = replace(plan, eps=at, threat={**plan.threat, "eps": at}, attacks=(*plan.attacks, proof))  # type: ignore[dict-item]
        marked = {
            "clean": _none,
            "crown": lambda rows: [replace(row, proved=row.id in proved, success=False) for row in rows],
        }
        return write_run(tmp_path / name, asked, edit=marked)

    without = write_run(tmp_path / "without", plan)
    one, other, farther = run("one", {1, 2, 5}), run("other", {2, 7}), run("farther", {2}, at=0.2)
    found = brittle.diff(one, other)
    assert [change.eps for change in found.changes if change.what == "proved"] == [0.05, 0.1]
    for eps in (0.05, 0.1):
        assert (found.of("proved", eps).only_first, found.of("proved", eps).only_second) == ((1, 5), (7,))
    for pair in ((one, without), (without, one)):
        assert "proved" not in {change.what for change in brittle.diff(*pair).changes}
    assert [change.eps for change in brittle.diff(one, farther).changes if change.what == "proved"] == [0.05, 0.1]


def test_the_table_fits_eighty_columns(runs: tuple[Path, Path]) -> None:
    found, out = brittle.diff(*runs), io.StringIO()
    Console(file=out, width=80).print(diff_table(found))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("▸ 0.1" in line for line in lines) == 5  # four attacks and the worst case
    assert "…" not in out.getvalue()


def test_points_show_what_the_interval_supports() -> None:
    assert points(paired([1] * 90 + [0] * 10, [1] * 80 + [0] * 20)).startswith("−10 [−1")
    assert points(paired([1] * 50, [1] * 50)) == "0 [−8, +8]"
    assert points(paired([], [])) == "–"


def test_the_command_prints_the_table_or_everything_as_json(runs: tuple[Path, Path]) -> None:
    shown = CliRunner().invoke(app, ["diff", *map(str, runs)])
    assert shown.exit_code == 0
    assert "worst case" in shown.output
    written = json.loads(CliRunner().invoke(app, ["diff", *map(str, runs), "--json"]).output)
    found = brittle.diff(*runs)
    assert len(written["changes"]) == len(found.changes)
    pgd = next(change for change in written["changes"] if change["what"] == "pgd" and change["eps"] == 0.1)
    assert pgd["only_first"] + pgd["only_second"] in ([3, 8], [8, 3])
    assert pgd["pair"]["difference"] == found.of("pgd", 0.1).pair.difference


def test_what_one_run_alone_tried_is_no_difference_between_models(tmp_path: Path) -> None:
    """The second run's own attack fools everything: the worst case is over what both tried, where the two are alike."""
    plan = synthetic_plan(40)
    more = AttackEntry(name="dearer", value={"type": "brittle.attacks.score.square:Square", "queries": 9000})
    a = write_run(tmp_path / "a", plan)
    b = write_run(
        tmp_path / "b",
        replace(plan, attacks=(*plan.attacks, more)),
        edit={"dearer": lambda rows: [replace(row, success=True) for row in rows]},
    )
    change = brittle.diff(a, b).of("worst case", 0.1)
    assert (change.pair.first, change.pair.second, change.pair.p) == (0, 0, 1.0)
    assert brittle.diff(a, b).unmatched == ("dearer",)
