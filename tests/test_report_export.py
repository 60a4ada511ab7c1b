"""What is exported reads back as the rows that were run, in the documented columns."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import brittle
from brittle.cli.main import app
from brittle.errors import InputError
from brittle.report.read import read_run
from brittle.runs.rows import SCHEMA, Row
from report_synthetic import synthetic_plan, write_run


def _odd(rows: list[Row]) -> list[Row]:
    """A size that was not measured, and a sentence with everything that a table may trip over."""
    return [replace(rows[0], size=float("nan"), error='"no", it\nsaid; then, ü'), *rows[1:]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), synthetic_plan(15), edit={"fgsm": _odd})


def test_csv_reads_back(run: Path, tmp_path: Path) -> None:
    path, rows = brittle.export(run, tmp_path / "rows.csv"), read_run(run).rows
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == SCHEMA.names
    assert len(lines) == len(rows) == 15 * (1 + 4 * 5)
    assert [float(line["margin"]) for line in lines] == rows["margin"].to_pylist()
    assert [line["error"] for line in lines] == rows["error"].to_pylist()
    assert sum(math.isnan(float(line["size"])) for line in lines) == 5
    assert pyarrow.csv.read_csv(path)["success"].to_pylist() == rows["success"].to_pylist()


def test_json_reads_back_with_null_for_what_is_no_number(run: Path, tmp_path: Path) -> None:
    path, rows = brittle.export(run, tmp_path / "rows.json"), read_run(run).rows.to_pylist()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    records = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    wanted = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    assert records == wanted


def test_parquet_reads_back(run: Path, tmp_path: Path) -> None:
    path = brittle.export(run, tmp_path / "rows.bin", "parquet")
    table = pq.read_table(path)
    assert table.schema.names == SCHEMA.names
    assert table.drop_columns("size").equals(read_run(run).rows.drop_columns("size"))


def test_wrong_formats_and_places_get_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--format"):
        brittle.export(run, tmp_path / "rows.xlsx")
    with pytest.raises(InputError, match="format"):
        brittle.export(run, tmp_path / "rows.csv", "cvs")
    with pytest.raises(InputError, match="cannot be written"):
        brittle.export(run, tmp_path / "none" / "rows.csv")
    with pytest.raises(InputError, match="holds no run"):
        brittle.export(tmp_path, tmp_path / "rows.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_command(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    assert CliRunner().invoke(app, ["export", str(run), "--format", "json", "--out", str(out)]).exit_code == 0
    assert len(json.loads(out.read_text())) == 15 * 21


def test_no_cell_of_text_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "fine"]

    def odd(rows: list[Row]) -> list[Row]:
        return [replace(row, error=text, margin=-1.0) for row, text in zip(rows, texts, strict=True)]

    run = write_run(tmp_path / "run", synthetic_plan(6), edit={"fgsm": odd})
    with open(brittle.export(run, tmp_path / "rows.csv"), newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["attack"] == "fgsm"]
    assert [line["error"] for line in lines[:6]] == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", "fine"]
    assert {float(line["margin"]) for line in lines} == {-1.0}
