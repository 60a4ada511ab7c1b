"""What a report says first: how easily, in words and as a curve; where to read on; and what each class and stage had to do with it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from brittle.report import figures
from brittle.report.glance import glance
from brittle.report.numbers import Summary, summarise
from brittle.report.page import write_report
from brittle.report.read import read_run
from brittle.report.verdict import NEVER, SCALE, verdict
from brittle.report.words import moment
from brittle.runs import seal
from brittle.runs.rows import Row, to_table
from report_synthetic import synthetic_plan, write_run
from test_report_chain import ROLES, rows_of
from test_report_numbers import cell, clean, plan
from test_report_page import Outline, said

UNIT = (0.0, 1.0)


def of(won: int, n: int = 40, wrong: int = 0, **more: object) -> Summary:
    """`won` of `n` samples fooled by pgd at 0.1, the last `wrong` of them wrong untouched."""
    lost = set(range(n - wrong, n))
    rows = [*clean(lost, n), *cell("pgd", 0.1, set(range(won)), lost, n)]
    return summarise(to_table(rows), plan({"pgd": "attack"}, samples=n, **more))


@pytest.mark.parametrize(
    ("won", "words"),
    [
        (0, NEVER),
        (1, "hardly ever fooled"),
        (2, "fooled now and then"),
        (9, "fooled now and then"),
        (10, "often fooled"),
        (19, "often fooled"),
        (20, "easily fooled"),
        (35, "easily fooled"),
        (36, "almost always fooled"),
        (40, "almost always fooled"),
    ],
)
def test_the_words_follow_the_share_of_what_was_right_and_fell(won: int, words: str) -> None:
    assert verdict(of(won), UNIT).words == words
    assert [limit for limit, _ in SCALE] == sorted(limit for limit, _ in SCALE)


def test_the_sentence_counts_only_what_was_right_and_says_what_was_allowed() -> None:
    found = verdict(of(9, wrong=22), UNIT)
    assert found.words == "easily fooled"  # 9 of 18; of all 40 it would be fewer than a quarter
    assert found.sentence == (
        "Of the 18 samples that it gets right, 9 are taken for something else when each value may change by up to 0.1."
    )
    one = verdict(of(1, goal="class:3"), UNIT).sentence
    assert "1 is brought to its target class" in one
    assert "none are taken" in verdict(of(0), UNIT).sentence
    assert "all are taken" in verdict(of(40), UNIT).sentence
    assert verdict(of(0, wrong=40), UNIT) is None
    allowed = {"l2": "0.1 long", "l1": "add up to 0.1", "l0": "up to 0.1 values", "hue": "under hue of size up to 0.1"}
    for threat, words in allowed.items():
        assert words in verdict(of(3, threat=threat), UNIT).sentence


def test_noise_and_the_radius_that_costs_half_stand_beside_it() -> None:
    grid = (0.05, 0.1, 0.2)
    fell = {0.05: 2, 0.1: 4, 0.2: 5}
    rows = [*clean(), *(row for eps in grid for row in cell("pgd", eps, set(range(fell[eps]))))]
    rows += [row for eps in grid for row in cell("blind", eps, {9} if eps == 0.1 else set(), role="noise")]

    def more(eps: float, of: list[Row] = rows) -> str:
        roles = {"pgd": "attack", "blind": "noise"}
        return " ".join(verdict(summarise(to_table(of), plan(roles, grid) | {"eps": eps}), UNIT).more)

    assert more(0.05) == "Random noise of the same size does that to none. At 0.1, half of them or more are lost."
    assert more(0.1) == "Random noise of the same size does that to 1."
    assert "At 0.1 already, half of them or more are lost." in more(0.2)
    few = [row for row in rows if row.attack != "pgd" or row.id < 5]
    assert "At no size tried, up to 0.2, half of them are lost." in more(0.05, [r for r in few if r.attack != "pgd"])


def test_each_class_has_its_own_interval_and_the_counts_add_up() -> None:
    def labelled(rows: list[Row]) -> list[Row]:
        return [replace(row, label=row.id % 3) for row in rows]

    rows = labelled([*clean({9}), *cell("pgd", 0.1, {0, 3, 4}, {9})])
    rows[-2] = replace(rows[-2], error="lost", label=-1)  # of sample 8, a 2
    found = summarise(to_table(rows), plan({"pgd": "attack"})).classes
    counts = {one.label: (one.robust.count, one.clean.count, one.clean.n) for one in found}
    assert counts == {0: (1, 3, 4), 1: (2, 3, 3), 2: (2, 2, 2)}
    assert [one.label for one in found] == [0, 1, 2]  # the least robust first
    assert found[0].robust.low < 0.25 < found[0].robust.high
    summary = summarise(to_table(rows), plan({"pgd": "attack"}))
    assert sum(one.robust.count for one in found) == summary.headline.robust.count
    assert (summary.fooled.count, summary.fooled.n) == (3, 8)
    assert summarise(to_table([*clean(), *cell("pgd", 0.1, {1})]), plan({"pgd": "attack"})).classes == ()


def test_the_page_begins_with_words_and_a_curve_and_lists_its_contents(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(200))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    first = page.partition("<nav")[0]
    assert "The model is <strong>often fooled</strong>." in first
    assert '<svg class="glance"' in first
    outline = Outline(page)
    links = re.findall(r'<li><a href="#([\w-]+)">', page.partition("<nav")[2].partition("</nav>")[0])
    assert links == [attributes["id"] for tag, attributes in outline.found if tag == "h2"]
    words = said(tmp_path / "report.html")
    assert "Class by class The weakest is “" in words
    assert "asked: 0.1" in first


def test_many_classes_are_folded(tmp_path: Path) -> None:
    plan = synthetic_plan(60)
    many = replace(plan, resolved={**plan.resolved, "classes": [f"name {i}" for i in range(30)]})

    def spread(rows: list[Row]) -> list[Row]:
        return [replace(row, label=row.id % 30) for row in rows]

    write_run(tmp_path, many, edit=dict.fromkeys(("clean", "uniform", "fgsm", "pgd", "square"), spread))
    words = said(write_report(tmp_path))
    assert "All 30 classes" in words
    assert "The weakest is “name " in words


def test_the_one_script_is_known_to_the_policy_and_nothing_else_may_run(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(12))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not re.search(r"<[^>]* on\w+=", page)


def test_times_are_marked_for_the_reader_and_readable_without_the_script(tmp_path: Path) -> None:
    assert moment("2026-11-30T22:31:07+00:00") == "30 November 2026, 22:31 +00:00"
    assert moment("2026-01-02T03:04:05") == "2 January 2026, 03:04"
    assert moment("<b>") == "<b>"
    write_run(tmp_path, synthetic_plan(12))
    log = tmp_path / "invocations.jsonl"
    log.write_bytes(seal.to_json(seal.from_json(log.read_bytes()) | {"started": "<b>soon</b>"}))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert '<time datetime="&lt;b&gt;soon&lt;/b&gt;">' in page
    assert "<b>soon" not in page


def test_the_stages_that_set_the_number_are_in_the_margins_and_the_others_are_not(tmp_path: Path) -> None:
    summary = summarise(to_table(rows_of()), plan(ROLES))
    assert figures.deciding(summary) == ("cheap", "dear")
    idle = summarise(to_table(rows_of(dear={1, 2, 3})), plan(ROLES))
    assert figures.deciding(idle) == ("cheap",)
    assert {*figures.looks(summary)} == {"noise", "cheap", "dear"}


def test_the_asked_radius_stays_inside_the_picture_wherever_it_lies() -> None:
    for eps, side in ((0.01, "start"), (0.1, "middle"), (0.2, "end")):
        rows = [*clean(), *(row for at in (0.01, 0.1, 0.2) for row in cell("pgd", at, {1}))]
        summary = summarise(to_table(rows), plan({"pgd": "attack"}, (0.01, 0.1, 0.2)) | {"eps": eps})
        for drawn in (glance(summary, UNIT), *figures.curves(summary, UNIT).split('<svg class="narrow"')):
            asked = re.findall(r'<text style="([^"]*)"[^>]*>asked: ', drawn)
            assert asked
            assert all((f"text-anchor: {side}" in style) or side == "start" for style in asked), asked


def test_on_a_phone_the_column_of_the_asked_radius_stays_in_sight(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(12))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    phone = page.partition("@media (max-width: 44rem) {")[2].partition("@media print")[0]
    assert re.search(r"\.stick \.asked \{ position: sticky; right: 0; left: [\d.]+rem;", phone)
    assert page.count('class="asked"') >= 6


def test_an_old_run_has_no_words_on_its_stages_and_a_page(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(12))
    run = read_run(tmp_path)
    bare = [{key: value for key, value in entry.items() if key != "about"} for entry in run.plan["attacks"]]
    summary = summarise(run.rows, {**run.plan, "attacks": bare})
    assert {attack.about for attack in summary.attacks} == {""}
    assert "abouts" not in write_report(tmp_path).read_text(encoding="utf-8").partition("</style>")[2]
