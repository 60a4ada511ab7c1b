"""The page: whole, self-contained, escaped, and honest about what is missing."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brittle.errors import InputError
from brittle.report.figures import spread_out
from brittle.report.gallery import amplification, data_uri, difference_pixels, pixels
from brittle.report.numbers import summarise
from brittle.report.page import write_report
from brittle.report.read import read_run
from brittle.report.terminal import footnote
from brittle.runs.plan import Plan
from brittle.runs.rows import Row, from_table
from brittle.runs.store import Store
from report_synthetic import synthetic_plan, write_run

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Outline(HTMLParser):
    """Checks that elements are closed in order, and collects attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self.open}:
            self.text += data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), synthetic_plan())


def with_classes(plan: Plan, first: str) -> Plan:
    return replace(plan, resolved={**plan.resolved, "classes": [first, *plan.resolved["classes"][1:]]})


def said(page: Path) -> str:
    """The page's text with plain spaces."""
    return " ".join(Outline(page.read_text(encoding="utf-8")).text.replace("\xa0", " ").split())


def test_the_page_is_whole_small_and_reaches_for_nothing(finished: Path) -> None:
    path = write_report(finished)
    page = path.read_text(encoding="utf-8")
    outline = Outline(page)
    assert path == finished / "report.html"
    assert path.stat().st_size < 1_500_000
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert [attributes for tag, attributes in outline.found if tag == "script"] == [{}]
    for tag, attributes in outline.found:
        assert tag not in ("link", "iframe")
        assert (attributes.get("src") or "data:image/png;").startswith("data:image/png;")
        assert (attributes.get("href") or "#").startswith("#")
    targets = {f"#{attributes['id']}" for _, attributes in outline.found if attributes.get("id")}
    ids = [attributes["id"] for _, attributes in outline.found if attributes.get("id")]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\((#[^)]+)\)", page)) | {a["href"] for _, a in outline.found if a.get("href")}
    assert used <= targets
    assert not [path for path in finished.iterdir() if path.name.startswith(".report-")]


def test_the_headline_is_the_worst_case_with_its_interval(finished: Path) -> None:
    run = read_run(finished)
    summary = summarise(run.rows, run.plan)
    assert (summary.headline.robust.count, summary.headline.robust.n) == (135, 200)
    words = said(write_report(finished))
    assert (
        "68 % of these samples withstand every attack tried at linf eps = 0.1 [60 %, 74 %]; clean accuracy 98 %; "
        "random noise of the same size leaves 97 %." in words
    )
    assert "This run is not finished" not in words
    assert "withstood fgsm, pgd and square" in words
    assert "pgd attack, Gradient ascent steps40 step size0.025 lossCross entropy" in words


def test_the_same_rows_give_the_same_page(finished: Path, tmp_path: Path) -> None:
    first, second = (write_report(finished, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_figures_leave_no_placeholder_color_and_keep_their_numbers(finished: Path) -> None:
    page = write_report(finished).read_text(encoding="utf-8")
    figures = re.findall(r'<svg class="(?:wide|narrow|glance)".*?</svg>', page, flags=re.S)
    assert len(figures) == 7
    for figure in figures:
        assert not re.search(r"#0[1-8]0[0-8]0\d", figure)
        assert "var(--" in figure
        assert "<text" in figure
    assert any("median 0.0956" in figure for figure in figures)


def test_names_of_the_data_cannot_inject_markup(tmp_path: Path) -> None:
    plan = with_classes(replace(synthetic_plan(30), victim="<b>x</b>"), "<script>alert(1)</script>")

    def named(rows: list[Row]) -> list[Row]:
        return [replace(row, label=0, predicted=0, error="<i>" if row.id == 29 else "") for row in rows]

    write_run(tmp_path, plan, edit=dict.fromkeys(("clean", "fgsm", "pgd"), named))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "<b>x</b>" not in page
    assert "<i>" not in page.replace('<i class="', "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_unfinished_run_renders_and_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(40), skip=("square",))
    words = said(write_report(tmp_path))
    assert "This run is not finished. 640 rows of 840 are there. Not begun: square." in words
    assert "withstood fgsm and pgd" in words


def test_a_run_without_rows_renders(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(40), skip=("clean", "uniform", "fgsm", "pgd", "square"))
    assert "there is no robust accuracy yet" in said(write_report(tmp_path))


def test_a_damaged_unit_counts_as_missing(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(40))
    victim = next((tmp_path / "units").glob("*.parquet"))
    victim.write_bytes(b"PAR1 not really")
    with pytest.warns(UserWarning, match=r"cannot be read \(it has no seal: it is damaged, .*; its rows are left out"):
        words = said(write_report(tmp_path))
    assert "800 rows of 840 are there" in words
    assert victim.name in words


def test_a_targeted_goal_changes_the_words(tmp_path: Path) -> None:
    write_run(tmp_path, replace(synthetic_plan(40), goal="least-likely"))
    words = said(write_report(tmp_path))
    assert "never reach their target class" in words
    assert "success means reaching the target class" in words
    assert "withstand every attack" not in words


def test_inputs_that_are_no_images_get_a_sentence(tmp_path: Path) -> None:
    plan = synthetic_plan(40)
    write_run(tmp_path, replace(plan, resolved={**plan.resolved, "shape": [64]}))
    assert "The inputs have shape 64, which is no image" in said(write_report(tmp_path))


def test_a_threat_without_radius_has_a_page_without_curves(tmp_path: Path) -> None:
    threat = {"type": "brittle.threats.mask:Mask"}
    plan = replace(synthetic_plan(40), threat=threat, eps=float("inf"), grid=(float("inf"),))

    def flat(rows: list[Row]) -> list[Row]:
        return [replace(row, size=0.5, margin=1.0 if row.id % 2 else -1.0, success=row.id % 2 == 1) for row in rows]

    write_run(tmp_path, plan, edit=dict.fromkeys(("uniform", "fgsm", "pgd", "square"), flat))
    words = said(write_report(tmp_path))
    assert "withstand every attack tried at mask [" in words
    assert "Robust accuracy against the radius" not in words


def cost(what: str, folder: Path) -> list[str]:
    """The cells of a line of the last table of the folder's page."""
    page = (folder / "report.html").read_text(encoding="utf-8").partition('id="cost"')[2]
    return re.findall("<td[^>]*>(.*?)</td>", page.partition(f'<th scope="row">{what}')[2].partition("</tr>")[0])


DIAGNOSIS = {
    "key": "k",
    "findings": [{"kind": "softmax", "measured": "Outputs are shares.", "why": "It matters.", "mend": "Mend it."}],
    "forwards": 12.5,
    "backwards": 3.0,
    "samples": 8,
    "seconds": 75.0,
    "checks": ["probabilities", "noise"],
    "stages": [{"name": "pgd", "role": "stage", "value": {}, "reach": None}],
    "proof": {"entry": None, "why_none": "none of 8 samples could be proved; try others."},
}


def test_what_was_found_on_the_model_is_read_said_and_charged(tmp_path: Path) -> None:
    plan = synthetic_plan(40)
    write_run(tmp_path, plan)
    bare = read_run(tmp_path)
    assert (bare.findings, bare.checks, bare.added, bare.unproved, bare.looked) == ((), (), (), "", None)
    assert "Nothing here is a proof that a sample is safe." in said(write_report(tmp_path))
    spent, took = int(cost("total", tmp_path)[2].replace(",", "")), cost("total", tmp_path)[-1]
    with Store(tmp_path).open(plan) as store:
        store.note(DIAGNOSIS)
    run = read_run(tmp_path)
    assert [finding.kind for finding in run.findings] == ["softmax"]
    assert (run.checks, run.added) == (("probabilities", "noise"), ("pgd",))
    assert (run.looked.forwards, run.looked.backwards) == (100, 24)
    assert run.summary.doubts[0] == run.findings[0]
    words = said(write_report(tmp_path))
    assert "Nothing here is a proof that a sample is safe: none of 8 samples could be proved." in words
    assert "No proofs: none of 8 samples could be proved." in footnote(run.summary)
    assert "Checks put to the model itself, on 8 samples: probabilities, noise." in words
    assert cost("diagnosis", tmp_path) == ["12.5", "3", "100", "24", "1 min 15 s"]
    assert cost("total", tmp_path)[2] == f"{spent + 100:,}"
    assert (took, cost("total", tmp_path)[-1]) == ("26 s", "1 min 41 s")


def test_what_a_surrogate_was_asked_is_said_apart_from_what_the_model_was(tmp_path: Path) -> None:
    plan = synthetic_plan(12)
    write_run(tmp_path / "without", plan)
    assert "surrogate" not in said(write_report(tmp_path / "without"))
    changed = {"pgd": lambda rows: [replace(row, aside_forwards=4, aside_backwards=3) for row in rows]}
    write_run(tmp_path / "with", plan, edit=changed)
    assert "of the surrogate forwards plus backwards" in said(write_report(tmp_path / "with"))
    asked = 12 * 7 * len(plan.grid)
    before, after = (cost("pgd", tmp_path / name) for name in ("without", "with"))
    assert after == [*before[:-1], f"{asked:,}", before[-1]]
    assert cost("fgsm", tmp_path / "with")[-2] == ""
    assert cost("total", tmp_path / "with")[-2] == f"{asked:,}"
    assert f"A surrogate was asked beside the model: {asked:,} forwards" in footnote(
        read_run(tmp_path / "with").summary
    )


def test_a_heading_leaves_the_folders_out_and_the_facts_keep_them(tmp_path: Path) -> None:
    where = "timm:resnet18?checkpoint=/data/networks/resnet18.safetensors"
    write_run(tmp_path, replace(synthetic_plan(12), victim=where))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<h1>How brittle is timm:resnet18?checkpoint=resnet18.safetensors on " in page
    assert f"<dt>Model</dt><dd>{where}" in page


def test_a_damaged_diagnosis_is_no_diagnosis(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(12), skip=("uniform", "fgsm", "pgd"))
    for damaged in ("{", "[]", "null", '{"findings": []}', "3"):
        (tmp_path / "diagnosis.json").write_text(damaged)
        with pytest.warns(UserWarning, match="what was found on the model itself is left out"):
            assert read_run(tmp_path).diagnosis == {}
    with pytest.warns(UserWarning, match="left out"):
        assert "diagnosis" not in said(write_report(tmp_path)).partition("Damaged")[0]


def test_the_reader_agrees_with_the_store(finished: Path) -> None:
    def key(row: Row) -> tuple[str, int]:
        return row.cell, row.id

    def lines(rows: list[Row]) -> list[str]:
        return [repr(row) for row in sorted(rows, key=key)]

    assert lines(from_table(read_run(finished).rows)) == lines(Store(finished).rows())


def test_a_row_without_an_error_replaces_an_error_row(tmp_path: Path) -> None:
    from brittle.runs.cells import Unit, cells
    from report_synthetic import synthetic_rows

    plan = synthetic_plan(12)
    write_run(tmp_path, plan, edit={"pgd": lambda rows: [replace(row, error="once") for row in rows]})
    with Store(tmp_path).open(plan) as store:
        for cell in cells(plan):
            if cell.name == "pgd":
                store.write(Unit(cell, (3, 4)), synthetic_rows(cell, (3, 4)), {})
    table = read_run(tmp_path).rows
    at_one = [row for row in from_table(table) if row.attack == "pgd" and row.eps == 0.1]
    assert [row.id for row in at_one if not row.error] == [3, 4]
    assert len(at_one) == 12


def test_damaged_invocation_lines_are_passed_over(tmp_path: Path) -> None:
    write_run(tmp_path, synthetic_plan(12))
    path = tmp_path / "invocations.jsonl"
    path.write_text(path.read_text() + '{"command": "half')
    with pytest.warns(UserWarning, match=r"line 2 of .*invocations.jsonl' cannot be read \(it has no seal"):
        assert [record["workers"] for record in read_run(tmp_path).invocations] == [2]


def test_refusals_name_the_folder_and_leave_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="folder that exists"):
        write_report(finished, tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_page(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "report.html"
    old.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(InputError, match="disk full"):
        write_report(finished, old)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert old.read_text() == "old"


def test_reports_start_without_torch() -> None:
    code = "import sys, json, brittle.report; print(json.dumps([m for m in sys.modules if m.split('.')[0] == 'torch']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_pixels_are_rounded_and_zero_difference_is_mid_grey() -> None:
    x = np.array([[[0.0, 0.4999 / 255, 0.501 / 255, 254.6 / 255, 1.0]]], dtype=np.float32)
    assert pixels(x, (0.0, 1.0)).tolist() == [[0, 0, 1, 255, 255]]
    assert pixels(np.full((3, 2, 4), 0.0), (-1.0, 1.0)).shape == (2, 4, 3)
    assert difference_pixels(np.zeros((1, 1, 1)), 5, 1.0).tolist() == [[[128, 128, 128]]]
    up, down = difference_pixels(np.array([[0.1, -0.1]]), 5, 1.0)[0].tolist()
    assert up[0] > 200 > up[2]  # orange
    assert down[2] > 200 > down[0]  # blue
    colour = difference_pixels(np.array([0.05, -0.05, 0.0]).reshape(3, 1, 1), 5, 1.0)
    assert colour.tolist() == [[[191, 64, 128]]]  # 127.5 + 255 * 5 * 0.05


def test_amplification_keeps_the_largest_difference_inside_the_picture() -> None:
    assert [amplification(d, 1.0) for d in (0.1, 8 / 255, 0.3, 1.0)] == [5, 10, 1, 1]
    assert amplification(8.0, 255.0) == 10


def test_large_pictures_are_shrunk_and_small_ones_kept() -> None:
    def size(side: int) -> tuple[int, int]:
        uri = data_uri(np.zeros((side, 2 * side), dtype=np.uint8))
        return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size

    assert size(8) == (16, 8)
    assert size(200) == (128, 64)


def test_labels_move_apart_within_their_room() -> None:
    assert spread_out([10.0, 50.0], 5, 0, 100) == [10.0, 50.0]
    assert spread_out([50.0, 51.0], 5, 0, 100) == [48.0, 53.0]
    assert spread_out([0.0, 0.0, 1.0], 5, 0, 100) == [0.0, 5.0, 10.0]
    crowded = spread_out([30.0] * 40, 5, 0, 100)
    assert crowded[0] == 0.0
    assert crowded[-1] == 100.0
