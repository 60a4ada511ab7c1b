"""Chains and proofs in the numbers: what each stage was asked and settled, the bracket, and the alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console

from brittle.findings import Finding
from brittle.report.numbers import summarise
from brittle.report.terminal import chain_table, summary_table
from brittle.runs.rows import Row, to_table
from test_report_numbers import cell, clean, kinds, plan


def stage(
    name: str, eps: float, won: set[int], asked: set[int], proved: set[int] = frozenset(), **more: Any
) -> list[Row]:  # type: ignore[assignment]
    """Rows of a stage: `won` so far, `asked` now, `proved` so far."""
    rows = cell(name, eps, won, role="stage", **more)
    return [
        replace(row, forwards=5 * (row.id in asked), backwards=4 * (row.id in asked), proved=row.id in proved)
        for row in rows
    ]


ROLES = {"noise": "noise", "cheap": "stage", "crown": "proof", "dear": "stage"}


def rows_of(dear: set[int] = frozenset({1, 2, 3, 4}), noise: set[int] = frozenset()) -> list[Row]:  # type: ignore[assignment]
    """Ten samples: the cheap stage fools 1, 2 and 3; 5 to 8 are proved; the dear one is asked about 0, 4 and 9, and fools 4."""
    proof = stage("crown", 0.1, {1, 2, 3}, set(), {5, 6, 7, 8})
    return [
        *clean(),
        *cell("noise", 0.1, noise, role="noise"),
        *stage("cheap", 0.1, {1, 2, 3}, set(range(10))),
        *(replace(row, role="proof", seconds=2.0 * (row.id not in (1, 2, 3))) for row in proof),
        *stage("dear", 0.1, dear, {0, 4, 9}, {5, 6, 7, 8}),
    ]


def test_a_ledger_says_what_each_stage_was_asked_settled_and_left() -> None:
    summary = summarise(to_table(rows_of()), plan(ROLES))
    assert summary.complete
    assert [attack.name for attack in summary.attacks] == ["noise"]
    found = [(s.name, s.at(0.1).asked, s.at(0.1).settled, s.at(0.1).left.robust.count) for s in summary.chain]
    assert found == [("cheap", 10, 3, 7), ("crown", 7, 4, 7), ("dear", 3, 1, 6)]
    dear = summary.chain[2].at(0.1).cost
    assert (dear.forwards, dear.forwards_mean, dear.backwards_mean) == (15, 5.0, 4.0)
    assert summary.cost.forwards == 50 + 15 + 20
    assert summary.headline.robust.count == 6
    assert (summary.proved.count, summary.proved.n) == (4, 10)


def test_a_proof_holds_for_smaller_radii_and_says_nothing_of_larger_ones() -> None:
    asked = plan(ROLES, (0.05, 0.1, 0.2), eps=0.1)
    summary = summarise(to_table(rows_of()), asked)
    assert [worst.proved and worst.proved.count for worst in summary.worst] == [4, 4, None]
    assert summary.expected == 10 * (1 + 3 * 3 + 1)


def test_a_proof_that_an_attack_refutes_is_an_alarm() -> None:
    assert "refuted-proof" not in kinds(summarise(to_table(rows_of()), plan(ROLES)))
    for broken in (rows_of(dear={1, 2, 3, 5}), rows_of(noise={8})):
        summary = summarise(to_table(broken), plan(ROLES))
        assert kinds(summary)[0] == "refuted-proof"
        assert "1 sample proved to be safe at eps=0.1 or more were fooled there" in summary.doubts[0].measured
    summary = summarise(to_table(rows_of(noise={7, 8})), plan(ROLES))
    assert summary.doubts[0].measured.endswith("were fooled there: 7 and 8.")


def chained(small: set[int], large: set[int], n: int = 500, **more: Any) -> list[Finding]:
    """Doubts where a chain of three stages has fooled `small` after its first stage and `large` at twice the radius."""
    rows = clean(n=n)
    for eps, won in ((0.1, small), (0.2, large)):
        rows += cell("noise", eps, set(), n=n, role="noise")
        for name in ("one", "two", "three"):  # the later ones settle nothing more
            rows += cell(name, eps, won, n=n, role="stage", **more)
    asked = plan({"noise": "noise", "one": "stage", "two": "stage", "three": "stage"}, (0.1, 0.2), samples=n)
    return list(summarise(to_table(rows), asked).doubts)


def test_a_chain_whose_success_falls_or_stands_still_is_doubted_once_and_as_a_whole() -> None:
    for small, large in ((10, 3), (10, 10)):
        doubts = chained(set(range(small)), set(range(large)))
        assert [doubt.kind for doubt in doubts] == ["not-rising"]
        assert "the chain" in doubts[0].measured
        assert "beside the chain" in doubts[0].mend
        assert not any(name in f"{doubts[0].measured} {doubts[0].mend}" for name in ("one ", "two ", "three "))
    assert chained(set(range(10)), set(range(12))) == []


def test_a_cheap_stage_may_fall_where_the_chain_does_not() -> None:
    rows = clean(n=500)
    for eps, first, last in ((0.1, 20, 20), (0.2, 5, 30)):
        rows += [
            *cell("one", eps, set(range(first)), n=500, role="stage"),
            *cell("two", eps, set(range(last)), n=500, role="stage"),
        ]
    asked = plan({"one": "stage", "two": "stage"}, (0.1, 0.2), samples=500)
    assert kinds(summarise(to_table(rows), asked)) == []


def test_what_the_rows_of_later_stages_only_repeat_is_counted_once() -> None:
    doubts = chained(set(), set(range(490)), feasible=False)
    assert [doubt.measured for doubt in doubts if doubt.kind == "infeasible"] == [
        "Points outside the threat set or the input range were proposed: one (1,000)."
    ]
    rows, asked = clean(n=300), plan({"one": "stage", "two": "stage"}, samples=300)
    rows += [replace(r, margin=0.0) for n in ("one", "two") for r in cell(n, 0.1, set(), n=300, role="stage")]
    tied = next(doubt for doubt in summarise(to_table(rows), asked).doubts if doubt.kind == "ties")
    assert tied.measured == "In 300 of 600 answers two classes have exactly the same score."


def test_findings_on_the_model_stand_before_the_doubts_of_the_rows() -> None:
    finding = Finding("softmax", "It is measured.", "It matters.", "Mend it.")
    assert summarise(to_table(rows_of()), plan(ROLES), [finding]).doubts[0] is finding


def test_what_findings_added_is_said_with_the_number_before_and_after() -> None:
    added = summarise(to_table(rows_of()), plan(ROLES), added=["dear"]).added
    assert (added.before.count, added.after.count) == (7, 6)
    assert added.sentence.endswith("went on with dear: 70 % before, 60 % after.")
    alone = {"noise": "noise", "dear": "stage"}
    rows = [row for row in rows_of() if row.attack in (*alone, "clean")]
    assert summarise(to_table(rows), plan(alone), added=["dear"]).added.before is None
    assert summarise(to_table(rows_of()), plan(ROLES)).added is None


def test_the_tables_fit_eighty_columns_and_say_what_was_proved() -> None:
    summary = summarise(to_table(rows_of()), plan(ROLES))
    console = Console(width=80, record=True)
    console.print(summary_table(summary))
    console.print(chain_table(summary))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "4 proved" in text
    assert "3 fooled" in text
    assert next(line for line in text.splitlines() if line.startswith("proved")).split()[1] == "40"
