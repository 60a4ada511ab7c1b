"""Rows to numbers, against cases counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from brittle.report.numbers import Summary, summarise
from brittle.report.settings import Settings, in_words, settings
from brittle.report.shares import clopper_pearson, share
from brittle.report.terminal import shown_radii, summary_table
from brittle.report.words import (
    amount,
    between,
    confidence,
    duration,
    interval,
    percent,
    radius,
    several,
    source_name,
)
from brittle.runs.rows import Row, to_table


def plan(attacks: dict[str, str], grid: tuple[float, ...] = (0.1,), samples: int = 10, **more: Any) -> dict[str, Any]:
    """A plan as plain data: attacks as name -> role."""
    listed = [{"name": name, "role": role, "value": name} for name, role in attacks.items()]
    values = {"victim": "v", "data": "d", "threat": "linf", "eps": grid[-1], "grid": list(grid), "attacks": listed}
    return {**values, "samples": samples, "goal": "untargeted", "seed": 0, **more}


def cell(name: str, eps: float, won: set[int], wrong: set[int] = frozenset(), n: int = 10, **more: Any) -> list[Row]:  # type: ignore[assignment]
    """`n` rows of one attack at one radius: ids in `won` are fooled, ids in `wrong` are misclassified untouched."""
    values = {"role": "attack", "threat": "linf", "feasible": True, "size": eps, "forwards": 2, **more}
    return [
        Row(
            cell=f"{name}-{eps}", attack=name, eps=eps, id=i, label=0, clean_correct=i not in wrong,
            success=i in won, margin=1.0 if i in won else -1.0, **values,
        )
        for i in range(n)
    ]  # fmt: skip


def clean(wrong: set[int] = frozenset(), n: int = 10) -> list[Row]:  # type: ignore[assignment]
    return cell("clean", 0.0, set(wrong), wrong, n, role="clean", threat="", forwards=1)


def kinds(summary: Summary) -> list[str]:
    return [doubt.kind for doubt in summary.doubts]


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(0, 10, 0.0, 0.30850), (5, 10, 0.18709, 0.81291), (10, 10, 0.69150, 1.0), (1, 20, 0.00127, 0.24873)],
)
def test_clopper_pearson_agrees_with_published_tables(count: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(count, n) == pytest.approx((low, high), abs=5e-6)


def test_clopper_pearson_ends_are_where_the_tails_are_two_and_a_half_percent() -> None:
    low, high = clopper_pearson(7, 30)
    at_least = sum(math.comb(30, k) * low**k * (1 - low) ** (30 - k) for k in range(7, 31))
    at_most = sum(math.comb(30, k) * high**k * (1 - high) ** (30 - k) for k in range(8))
    assert (at_least, at_most) == pytest.approx((0.025, 0.025), abs=1e-9)


def test_percentages_print_no_more_digits_than_the_sample_supports() -> None:
    assert percent(share(512, 1000)) == "51 %"
    assert percent(share(51_234, 100_000)) == "51.2 %"
    assert percent(share(999, 1000)) == "99.9 %"
    assert percent(share(299, 300)) == ">99 %"
    assert percent(share(1, 300)) == "<1 %"
    assert percent(share(10, 10)) == "100 %"
    assert percent(share(0, 0)) == "–"
    assert interval(share(0, 10)) == "[0 %, 31 %]"
    assert interval(share(5, 10)) == "[18 %, 82 %]"  # outwards from 18.7 and 81.3


def test_numbers_are_written_as_people_name_them() -> None:
    assert [radius(8 / 255, "linf"), radius(0.2, "linf"), radius(8 / 255, "l2")] == ["8/255", "0.2", "0.0314"]
    assert radius(8 / 255, "linf", (0.0, 255.0)) == "0.0314"
    assert [radius(levels / 255, "linf") for levels in (0.5, 1.5, 0.4)] == ["0.5/255", "1.5/255", "0.00157"]
    assert source_name("images:/home/me/pictures/?size=224") == "images:pictures/?size=224"
    assert source_name("../weights/a.pt?arch=py:nets:build") == "a.pt?arch=py:nets:build"
    for text in ("mnist", "hf:org/name", "timm:resnet50", "http://localhost:80/v1/models/a", "runs/a.pt"):
        assert source_name(text) == text
    assert [amount(-0.0956), amount(12345.6), amount(float("nan"))] == ["−0.0956", "12,346", "–"]
    assert [between(0.1, 0.1), between(0.01, 0.1)] == ["0.1", "0.01–0.1"]
    assert [duration(0.44), duration(59.6), duration(7500)] == ["0.4 s", "1 min 0 s", "2 h 5 min"]
    assert [confidence(0.97), confidence(0.9999), confidence(1.0)] == ["97 %", "99.9 %", "100 %"]
    assert [confidence(0.0), confidence(1e-30), confidence(0.004), confidence(0.006)] == ["0 %", "<1 %", "<1 %", "1 %"]
    assert several(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    loss = {"type": "p.losses:Margin@12ab"}
    inner = Settings("Margin", ())
    assert settings(
        {"type": "p:PGD", "steps": 40, "eta_0": 0.5, "loss": loss, "d": ["x", 1], "stop": True, "far": None}
    ) == (Settings("PGD", (("steps", "40"), ("eta 0", "0.5"), ("loss", inner), ("d", "x, 1"), ("stop", "yes"))))
    assert settings({"type": "p:InTurn", "attacks": [loss, loss]}).options == (
        ("attacks 1", inner),
        ("attacks 2", inner),
    )
    assert settings("pgd:steps=40") == Settings("pgd:steps=40", ())
    names = ("GradientAscent", "APGD", "SparseAPGD", "FAB", "PGD0", "HopSkipJump", "CW")
    assert [in_words(name) for name in names] == [
        "Gradient ascent", "APGD", "Sparse APGD", "FAB", "PGD 0", "Hop skip jump", "CW",
    ]  # fmt: skip


def test_robust_accuracy_counts_samples_right_when_untouched_and_not_fooled() -> None:
    rows = [*clean({0}), *cell("pgd", 0.1, {0, 1, 2}, {0})]
    summary = summarise(to_table(rows), plan({"pgd": "attack"}))
    assert (summary.clean.count, summary.clean.n) == (9, 10)
    found = summary.attacks[0].cells[0]
    assert (found.accuracy.robust.count, found.accuracy.robust.n, found.fooled) == (7, 10, 2)
    assert summary.complete


def test_worst_case_joins_attacks_noise_and_smaller_radii_and_never_rises() -> None:
    rows = [
        *clean(),
        *cell("a", 0.1, {1, 2}), *cell("b", 0.1, {3}), *cell("noise", 0.1, {4}, role="noise"),
        *cell("a", 0.2, {5}), *cell("b", 0.2, {3}), *cell("noise", 0.2, set(), role="noise"),
    ]  # fmt: skip
    names = {"noise": "noise", "a": "attack", "b": "attack"}
    summary = summarise(to_table(rows), plan(names, (0.1, 0.2)))
    assert [worst.accuracy.robust.count for worst in summary.worst] == [6, 5]
    assert summary.headline.robust.count == 5
    assert {attack.name: attack.only for attack in summary.attacks} == {"noise": (4,), "a": (1, 2, 5), "b": (3,)}


def test_error_rows_leave_n_and_state_both_extremes() -> None:
    pgd = [replace(row, error="boom", success=False) if row.id in (8, 9) else row for row in cell("pgd", 0.1, {1, 2})]
    summary = summarise(to_table([*clean({9}), *pgd]), plan({"pgd": "attack"}))
    found = summary.attacks[0].cells[0].accuracy
    assert (found.robust.count, found.robust.n, found.errors) == (6, 8, 2)
    assert summary.headline == found  # one attack is its own worst case
    # of the two errors one sample is misclassified untouched, so even the best case leaves it broken
    assert (found.if_errors_robust, found.if_errors_broken) == (0.7, 0.6)
    doubt = next(doubt for doubt in summary.doubts if doubt.kind == "errors")
    assert "boom" in doubt.measured
    assert "70 %" in doubt.why
    assert "60 %" in doubt.why


def test_an_attack_that_only_fails_does_not_empty_the_sample() -> None:
    broken = [replace(row, error="no") for row in cell("bad", 0.1, set())]
    rows = [*clean(), *cell("pgd", 0.1, {1}), *broken]
    summary = summarise(to_table(rows), plan({"pgd": "attack", "bad": "attack"}))
    assert (summary.headline.robust.count, summary.headline.robust.n) == (9, 10)
    assert (summary.headline.if_errors_robust, summary.headline.if_errors_broken) == (0.9, 0.0)


def test_sizes_are_of_fooled_samples_and_cost_is_of_all() -> None:
    rows = [
        *clean({0}),
        *(replace(row, size=row.id / 10, backwards=row.id) for row in cell("a", 0.9, {0, 2, 4, 6}, {0})),
    ]
    attack = summarise(to_table(rows), plan({"a": "attack"}, (0.9,))).attacks[0]
    assert attack.cells[0].sizes.n == 3
    assert attack.cells[0].sizes.median == pytest.approx(0.4)
    assert (attack.cost.forwards, attack.cost.backwards, attack.cost.backwards_mean) == (20, 45, 4.5)


def test_missing_rows_make_a_run_incomplete() -> None:
    summary = summarise(to_table([*clean(), *cell("a", 0.1, {1})]), plan({"a": "attack", "b": "attack"}))
    assert not summary.complete
    assert (summary.rows, summary.expected) == (20, 30)
    doubt = summary.doubts[0]
    assert doubt.kind == "incomplete"
    assert "Not begun: b" in doubt.measured
    assert "incomplete" not in kinds(summarise(to_table([*clean(), *cell("a", 0.1, {1})]), plan({"a": "attack"})))


def test_no_rows_at_all_are_an_incomplete_summary_without_a_number() -> None:
    summary = summarise(to_table([]), plan({"a": "attack"}))
    assert (summary.complete, summary.headline.robust.n, kinds(summary)) == (False, 0, ["incomplete"])


def test_one_attack_that_fails_beside_noise_is_not_said_to_prove_a_masked_gradient() -> None:
    def why(*names: str) -> str:
        rows = [*clean(n=400), *(row for name in names for row in cell(name, 0.1, {1, 2}, n=400, backwards=40))]
        rows += cell("noise", 0.1, {1, 3}, n=400, role="noise")
        roles = {"noise": "noise", **dict.fromkeys(names, "attack")}
        (doubt,) = [f for f in summarise(to_table(rows), plan(roles, samples=400)).doubts if f.kind == "masking"]
        return doubt.why

    assert "deepfool itself fails on this model, or the gradient is masked" in why("deepfool")
    assert "itself fails" not in why("deepfool", "pgd")


def test_noise_that_finds_what_gradients_miss_is_doubted() -> None:
    def measured(noise: set[int], backwards: int) -> list[str]:
        rows = [*clean(n=400), *cell("pgd", 0.1, {1, 2}, n=400, backwards=backwards)]
        rows += cell("noise", 0.1, noise, n=400, role="noise")
        return kinds(summarise(to_table(rows), plan({"noise": "noise", "pgd": "attack"}, samples=400)))

    assert measured({1, 3}, 40) == ["masking"]
    assert measured({1, 2}, 40) == []
    assert measured({1, 3}, 0) == []  # no attack here follows a gradient


def test_success_that_falls_or_stands_still_is_doubted() -> None:
    def measured(small: set[int], large: set[int]) -> list[str]:
        rows = [*clean(n=500), *cell("a", 0.1, small, n=500), *cell("a", 0.2, large, n=500)]
        return kinds(summarise(to_table(rows), plan({"a": "attack"}, (0.1, 0.2), samples=500)))

    assert measured(set(range(10)), set(range(3))) == ["not-rising"]
    assert measured(set(range(10)), set(range(10))) == ["not-rising"]
    assert measured(set(range(10)), set(range(12))) == []
    assert measured(set(), set()) == []  # too small a radius is no fault
    assert measured({1, 2, 3}, {4, 5, 6}) == []  # three for three is chance


def test_one_step_better_than_many_is_doubted() -> None:
    def measured(one: set[int], many: set[int]) -> list[str]:
        rows = [*clean(n=500), *cell("fgsm", 0.1, one, n=500, backwards=1)]
        rows += cell("pgd", 0.1, many, n=500, backwards=40)
        return kinds(summarise(to_table(rows), plan({"fgsm": "attack", "pgd": "attack"}, samples=500)))

    assert measured(set(range(9)), {0}) == ["one-step"]
    assert measured({0}, set(range(9))) == []


def test_few_samples_chance_infeasible_points_and_ties_are_doubted() -> None:
    ten = [f"c{i}" for i in range(10)]
    few = summarise(to_table([*clean(), *cell("a", 0.1, {1})]), plan({"a": "attack"}))
    assert kinds(few) == ["few"]
    wrong = set(range(270))
    rows = [*clean(wrong, n=300), *cell("a", 0.1, wrong, wrong, n=300)]
    asked = plan({"a": "attack"}, samples=300, resolved={"classes": ten})
    assert kinds(summarise(to_table(rows), asked)) == ["chance"]
    outside = [replace(row, feasible=row.id > 3) for row in cell("a", 0.1, {9}, n=300)]
    tied = [replace(row, margin=0.0 if row.id < 30 else row.margin) for row in outside]
    assert kinds(summarise(to_table([*clean(n=300), *tied]), asked)) == ["ties", "infeasible"]


def test_terminal_table_fits_eighty_columns_and_shows_the_radius_asked() -> None:
    from rich.console import Console

    grid = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.25, 0.3)
    rows = [*clean(), *(row for eps in grid for row in cell("an-attack-with-a-very-long-name", eps, {1}))]
    summary = summarise(to_table(rows), plan({"an-attack-with-a-very-long-name": "attack"}, grid, eps=0.1))
    assert {0.01, 0.1, 0.3} < set(shown_radii(summary))
    assert len(shown_radii(summary)) == 6
    console = Console(width=80, record=True)
    console.print(summary_table(summary))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert "▸ 0.1" in lines[1]
    place = next(i for i, line in enumerate(lines) if line.startswith("worst case"))
    assert "90 %" in lines[place]
    assert "55–100" in lines[place + 1]
