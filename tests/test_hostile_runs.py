"""Whatever lies in a run folder: reports, exports, comparisons and a run that goes on give a value or a sentence.

`BRITTLE_FUZZ=500 python -m pytest tests/test_hostile_runs.py -s` tries that many at each file and prints a table.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.errors import InputError
from brittle.findings import Finding
from brittle.report.diff import diff
from brittle.report.export import export
from brittle.report.page import render
from brittle.report.read import read_kept, read_run
from brittle.runs.noted import Noted, Provable
from brittle.runs.seal import BLANK, FIELD, from_json, sealed
from brittle.runs.store import Store
from report_synthetic import synthetic_plan, write_run
from test_hostile import PLAIN, TRIES, fuzzed, meets, spoilt, table  # noqa: F401

NOTED = Noted(
    key="k",
    findings=(Finding("few", "Few samples.", "The interval is wide.", "Take more."),),
    forwards=10.0,
    backwards=5.0,
    samples=8,
    checks=("scale",),
    stages=(),
    proof=Provable(None, "nothing was proved of a few samples"),
    seconds=1.5,
)
few = settings(fuzzed, max_examples=TRIES or 6)  # a page takes a while


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    plan = synthetic_plan(12)
    write_run(folder, plan)
    with Store(folder).open(plan) as store:
        store.note(asdict(NOTED))
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def consumers(run: Path, whole: Path) -> dict[str, Callable[[], object]]:
    out = run.parent / "rows.csv"
    return {
        "report": lambda: render(read_run(run)),
        "export": lambda: export(run, out),
        "kept": lambda: read_kept(read_run(run)),
        "diff": lambda: diff(run, whole),
        "go on": lambda: Store(run).open(synthetic_plan(12)).close(),
    }


FILES = {
    "plan": "plan.json",
    "diagnosis": "diagnosis.json",
    "starts": "invocations.jsonl",
    "rows": "units/*.parquet",
    "kept": "units/*.safetensors",
}


def file_of(run: Path, name: str) -> Path:
    return min(run.glob(FILES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_bytes(name: str, run: Path, whole: Path) -> None:
    path = file_of(run, name)
    data = path.read_bytes()

    @few
    @given(spoilt(data))
    def tried(found: bytes) -> None:
        for what, read in consumers(run, whole).items():
            path.write_bytes(found)
            meets(f"{name}, bytes: {what}", read)

    tried()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that stands in parsed JSON."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plan", "diagnosis", "starts"])
def test_a_record_of_any_structure_under_a_seal_that_holds(name: str, run: Path, whole: Path) -> None:
    path = file_of(run, name)
    record = from_json(path.read_bytes().splitlines(keepends=True)[0] if name == "starts" else path.read_bytes())
    where = st.sampled_from(sorted(places(record), key=repr))

    @few
    @given(where, PLAIN)
    def tried(place: tuple[Any, ...], new: Any) -> None:
        changed = put(record, place, new)
        fields = changed if isinstance(changed, dict) else {"other": changed}
        text = json.dumps({**fields, FIELD: BLANK}).encode(errors="surrogatepass")
        for what, read in consumers(run, whole).items():
            path.write_bytes(sealed(text + b"\n"))
            meets(f"{name}, structure: {what}", read)

    tried()


def as_folder(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def as_looping_link(path: Path) -> None:
    path.symlink_to(path)


def as_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("make", [as_folder, as_pipe, as_dangling_link, as_looping_link, as_nothing])
@pytest.mark.parametrize("name", FILES)
def test_something_else_in_the_place_of_a_file(name: str, make: Callable[[Path], None], run: Path, whole: Path) -> None:
    path = file_of(run, name)
    for what, read in consumers(run, whole).items():
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        make(path)
        meets(f"{name}, {make.__name__}: {what}", read)


def test_a_run_folder_that_is_a_file_or_is_not_there(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for name in ("file", "nothing", "x" * 300, "null\0byte"):
        for read in list(consumers(tmp_path / name, whole).values())[:4]:
            with pytest.raises(InputError):
                read()
