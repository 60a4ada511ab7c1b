"""The command line as a person meets it: every command once, on the embedded data, and errors as one sentence."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import brittle

MODULE = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from brittle import Access

def constant():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()

def broken():
    raise OSError("no such weights")

@dataclass(frozen=True)
class Honest:
    access: ClassVar[Access] = Access.SCORES
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = ""
    def __call__(self, problem):
        return problem.region.random(problem.streams)

@dataclass(frozen=True)
class Cheat(Honest):
    def __call__(self, problem):
        return problem.region.random(problem.streams) + 1
"""


def run_brittle(*args: str, cwd: Path, code: int = 0) -> str:
    """Run the command in this process, in the folder `cwd`; return all that it printed. It must exit with `code`."""
    out, error, ended = both_streams(*args, cwd=cwd)
    assert ended == code, f"exit {ended}\n{out}\n{error}"
    return out + error


def both_streams(*args: str, cwd: Path) -> tuple[str, str, int]:
    """The same: stdout, stderr and the exit code."""
    from brittle.cli import main

    out, error = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(SystemExit) as ended,
    ):
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "argv", ["brittle", *args])
        main()
    return out.getvalue(), error.getvalue(), int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network and a stranger's module."""
    path = tmp_path_factory.mktemp("cli")
    (path / "mine.py").write_text(MODULE)
    printed = run_brittle("train", "digits", "--out", "net.safetensors", "--epochs", "15", cwd=path)
    assert "test accuracy 9" in printed
    return path


def test_evaluate_prints_a_table_writes_a_report_and_goes_on(folder: Path) -> None:
    command = ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--attack", "fgsm")
    command += ("--attack", "uniform_noise", "--grid", "0.05,0.1", "--samples", "60", "--out", "runs/a")
    printed = run_brittle(*command, cwd=folder)
    assert "fgsm" in printed
    assert "uniform_noise" in printed
    assert "worst case" in printed
    page = folder / "runs/a/report.html"
    assert "<svg" in page.read_text()
    units = {unit: unit.stat().st_mtime_ns for unit in (folder / "runs/a/units").iterdir()}
    assert len([u for u in units if u.suffix == ".parquet"]) == 5  # clean, and two attacks at two eps
    run_brittle(*command, cwd=folder)
    assert {unit: unit.stat().st_mtime_ns for unit in (folder / "runs/a/units").iterdir()} == units
    page.unlink()
    run_brittle("report", "runs/a", cwd=folder)
    assert page.is_file()


@pytest.mark.slow
def test_workers_give_the_rows_of_one_process(folder: Path) -> None:
    from brittle.runs.store import Store

    command = ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--attack", "pgd:steps=5")
    command += ("--grid", "0.1", "--samples", "60", "--shard", "20")
    run_brittle(*command, "--out", "runs/one", cwd=folder)
    run_brittle(*command, "--out", "runs/two", "--workers", "2", cwd=folder)
    one, two = (
        [(r.attack, r.id, r.success, r.predicted, r.forwards) for r in Store(folder / f"runs/{name}").rows()]
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 180  # untouched, the noise baseline that nobody asked for, and pgd


def test_an_interrupt_is_a_sentence_and_exit_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import brittle.app.evaluate

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(brittle.app.evaluate, "run", interrupted)
    command = ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--out", "runs/broken-off")
    assert "run the same command again" in run_brittle(*command, cwd=folder, code=130)


def test_a_plan_file_runs_and_a_wrong_field_is_named(folder: Path) -> None:
    plan = 'victim = "net.safetensors"\ndata = "digits"\nthreat = "linf:0.1"\nattacks = ["fgsm"]\nsamples = 20\n'
    (folder / "plan.toml").write_text(plan)
    assert "fgsm" in run_brittle("evaluate", "--plan", "plan.toml", "--out", "runs/plan", cwd=folder)
    (folder / "wrong.toml").write_text(plan.replace("samples", "sampels"))
    assert "unknown field 'sampels'; did you mean samples" in run_brittle(
        "evaluate", "--plan", "wrong.toml", cwd=folder, code=2
    ).replace("\n", " ")


def test_attack_writes_rounded_pictures_and_tells_what_survives(folder: Path) -> None:
    out = folder / "adv"
    printed = run_brittle(
        "attack", "net.safetensors", "digits", "--threat", "linf:0.15", "--attack", "pgd", "--samples", "8",
        "--out", str(out), cwd=folder,
    )  # fmt: skip
    assert "after rounding to 8 bits" in printed
    exact = load_file(out / "adversarial.safetensors")
    assert float((exact["x_adv"] - exact["x"]).abs().max()) <= 0.15 + 1e-6
    rows = list(csv.DictReader((out / "examples.csv").open()))
    from brittle.victims.open import open_victim

    victim = open_victim(str(folder / "net.safetensors"))
    assert len(rows) == 8
    for i, row in enumerate(rows):
        with Image.open(out / f"{int(row['id']):05d}-adversarial.png") as image:
            pixels = np.array(image)
        clean, levels = (exact[which][i, 0].double().numpy() * 255 for which in ("x", "x_adv"))
        assert np.abs(pixels - np.rint(clean)).max() <= 0.15 * 255  # 38 levels: the nearest of 38.25 more may be 39
        assert np.abs(pixels - levels).max() <= 1
        predicted = int(victim(torch.from_numpy(pixels).float()[None, None] / 255).argmax())
        assert row["success_8bit"] == str(predicted != int(row["label"]))
    assert sum(row["success"] == "True" for row in rows) >= 5
    assert (out / "00000-original.png").is_file()


def test_a_budget_ends_an_attack_early(folder: Path) -> None:
    command = (
        "attack",
        "net.safetensors",
        "digits",
        "--threat",
        "linf:0.15",
        "--attack",
        "pgd",
        "--samples",
        "8",
        "--out",
    )
    won = {}
    for budget in ("1", "40"):
        run_brittle(*command, str(folder / budget), "--budget", budget, cwd=folder)
        rows = list(csv.DictReader((folder / budget / "examples.csv").open()))
        won[budget] = sum(row["success"] == "True" for row in rows)
    assert won["1"] < won["40"]
    said = run_brittle(*command, str(folder / "none"), "--budget", "0", cwd=folder, code=2)
    assert "budget=0 is too few" in said


@pytest.mark.parametrize("targeted", ["3", "least-likely", "random", "second"])
def test_attack_targeted(folder: Path, targeted: str) -> None:
    out = folder / f"adv-{targeted}"
    run_brittle(
        "attack", "net.safetensors", "digits", "--threat", "linf:0.3", "--attack", "ifgsm", "--samples", "10",
        "--targeted", targeted, "--out", str(out), cwd=folder,
    )  # fmt: skip
    rows = list(csv.DictReader((out / "examples.csv").open()))
    assert all(row["target"] and row["target"] != row["label"] for row in rows)
    assert all(row["after"] == row["target"] for row in rows if row["success"] == "True")
    if targeted == "3":
        assert {row["target"] for row in rows if row["label"] != "3"} == {"3"}
    assert any(row["success"] == "True" for row in rows)


def test_attack_repeated_until_the_target_is_likely_enough(folder: Path) -> None:
    out = folder / "adv-sure"
    run_brittle(
        "attack", "net.safetensors", "digits", "--threat", "linf:0.5", "--attack", "repeated_fgsm", "--targeted", "7",
        "--confidence", "0.9", "--samples", "10", "--out", str(out), cwd=folder,
    )  # fmt: skip
    won = [row for row in csv.DictReader((out / "examples.csv").open()) if row["success"] == "True"]
    assert len(won) >= 5
    assert all(float(row["confidence"]) > 0.9 for row in won if row["before"] == row["label"])
    assert any(float(row["size"]) < 0.4 for row in won)  # it stops there, and does not use up the radius


def test_a_model_may_know_more_classes_than_the_data(folder: Path) -> None:
    np.savez(folder / "two.npz", x=np.full((4, 8, 8), 200, np.uint8), y=np.array([0, 1, 0, 1]))
    run_brittle("attack", "net.safetensors", "npz:two.npz", "--threat", "linf:0.1", "--out", "adv-two", cwd=folder)
    rows = list(csv.DictReader((folder / "adv-two/examples.csv").open()))
    assert any(int(row["before"].split()[-1]) > 1 for row in rows)


@pytest.mark.parametrize("kind", ["attacks", "threats", "data", "victims", "losses", "directions"])
def test_list(kind: str, tmp_path: Path) -> None:
    words = {"attacks": "fgsm", "threats": "linf", "data": "mnist", "victims": "py", "losses": "cross_entropy"}
    assert words.get(kind, "mi") in run_brittle("list", kind, cwd=tmp_path)
    assert kind in run_brittle("list", cwd=tmp_path)
    assert words.get(kind, "mi") in str(json.loads(run_brittle("list", kind, "--json", cwd=tmp_path)))


def test_what_is_listed_is_what_is_there() -> None:
    from brittle.cli.gathered import text
    from brittle.cli.listed import LISTED

    assert LISTED.read_text(encoding="utf-8") == text(), "run `python -m brittle.cli.gathered`"


LIGHT = {  # a command and its exit code: what needs no model is there before torch could be imported
    (): 2,
    ("--help",): 0,
    ("--version",): 0,
    ("evaluate", "--help"): 0,
    ("list",): 0,
    ("list", "attacks"): 0,
    ("list", "victims", "--json"): 0,
    ("list", "atacks"): 2,
    ("evaluat",): 2,
    ("evaluate", "n.safetensors", "mnist", "--treat", "linf:0.1"): 2,
    ("evaluate", "n.safetensors", "mnist", "--threat", "lnf:0.1"): 2,
    ("evaluate", "n.safetensors", "mnist", "--threat", "linf:0.1", "--attack", "pdg:steps=3"): 2,
    ("attack", "n.safetensors", "mnist", "--threat", "linf:0.1", "--out", "x", "--attack", "mifgms+di"): 2,
}


@pytest.mark.parametrize("command", LIGHT, ids=lambda c: " ".join(c) or "nothing")
def test_help_lists_and_misspelt_names_import_no_torch(command: tuple[str, ...]) -> None:
    code = (
        "import atexit, os, sys; atexit.register(lambda: 'torch' in sys.modules and os._exit(99)); "
        f"sys.argv = ['brittle', *{command!r}]; from brittle.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert ended.returncode == LIGHT[command], ended.stderr.decode()


def test_python_m_brittle_is_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "brittle", "--version"], capture_output=True, timeout=60, text=True)
    assert ended.stdout == f"brittle {brittle.__version__}\n"
    assert ended.returncode == 0


def test_every_command_stands_in_a_group_of_the_help(tmp_path: Path) -> None:
    shown = run_brittle("--help", cwd=tmp_path)
    assert "Measure a model" in shown
    assert "130 interrupted" in shown
    assert "─ Commands" not in shown


ANSWERS = {  # a command that answers, its exit code, and what a program finds in its answer
    ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--attack", "fgsm", "--grid", "0.1"): (
        0,
        "robust_accuracy",
    ),
    ("report", "runs/asked"): (0, "radii"),
    ("export", "runs/asked", "--out", "rows.csv"): (0, "rows"),
    ("diff", "runs/asked", "runs/asked"): (0, "only_second"),
    ("attack", "net.safetensors", "digits", "--threat", "linf:0.1", "--out", "asked"): (0, "examples"),
    ("universal", "net.safetensors", "digits", "--threat", "linf:0.1", "--out", "u.safetensors"): (0, "saved"),
    ("train", "digits", "--epochs", "1", "--out", "t.safetensors"): (0, "accuracy"),
    ("inspect", "py:mine:constant", "digits"): (3, "findings"),
    ("diagnose", "net.safetensors", "digits", "--threat", "linf:0.1", "--samples", "4"): (None, "findings"),
    ("check", "mine:Cheat"): (3, "passed"),
    ("transfer", "digits", "--surrogate", "net.safetensors", "--target", "net.safetensors", "--threat", "linf:0.1",
     "--attack", "fgsm", "--samples", "9"): (0, "networks"),
    ("blackbox", "digits", "--surrogate", "net.safetensors", "--target", "net.safetensors", "--threat", "linf:0.1",
     "--steps", "1,2", "--samples", "9"): (0, "claims"),
    ("extract", "net.safetensors", "digits", "--queries", "20", "--held-out", "9", "--epochs", "1", "--out",
     "e.safetensors"): (0, "agreement"),
}  # fmt: skip
FEW = {"evaluate": ("--samples", "9", "--out", "runs/asked"), "universal": ("--samples", "9", "--epochs", "1")}


@pytest.fixture(scope="module")
def asked(folder: Path) -> Path:
    """The folder, with a run in it."""
    command = ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--attack", "fgsm", "--grid", "0.1")
    run_brittle(*command, *FEW["evaluate"], "--quiet", cwd=folder)
    return folder


@pytest.mark.parametrize("command", ANSWERS, ids=lambda c: c[0])
def test_a_command_that_answers_does_so_for_programs_and_in_silence(asked: Path, command: tuple[str, ...]) -> None:
    code, word = ANSWERS[command]
    command += FEW.get(command[0], ())
    out, _, ended = both_streams(*command, "--json", cwd=asked)
    assert word in json.dumps(json.loads(out))  # nothing else is on stdout
    assert code in (None, ended)
    out, error, quiet = both_streams(*command, "--quiet", cwd=asked)
    assert (out, error, quiet) == ("", "", ended)


def test_a_gate_for_ci_has_an_exit_code_of_its_own(folder: Path) -> None:
    command = ("evaluate", "net.safetensors", "digits", "--threat", "linf:0.1", "--attack", "pgd:steps=5")
    command += ("--grid", "0.1", "--samples", "40", "--out", "runs/gate")
    out, error, code = both_streams(*command, "--json", "--fail-under", "1", cwd=folder)
    assert code == 3
    assert "is under the 1 of --fail-under" in error
    reached = json.loads(out)["robust_accuracy"]["value"]
    assert both_streams(*command, "--fail-under", str(reached), cwd=folder)[2] == 0
    assert "is no share" in run_brittle(*command, "--fail-under", "nan", cwd=folder, code=2)
    assert "is no share" in run_brittle(*command, "--fail-under", "40", cwd=folder, code=2)


def test_many_smallest_perturbations_are_a_line_of_quantiles(folder: Path) -> None:
    command = ("attack", "net.safetensors", "digits", "--threat", "l2:inf", "--attack", "minimal", "--out", "smallest")
    printed = run_brittle(*command, "--samples", "30", cwd=folder)
    rows = [row for row in csv.DictReader((folder / "smallest/examples.csv").open()) if row["success"] == "True"]
    sizes = [float(row["size"]) for row in rows if row["before"] == row["label"]]
    assert f"{np.median(sizes):.4g}" in printed
    assert "25 %" in printed
    assert len(printed.splitlines()) < 9
    assert "the first 30 of 596 samples" in run_brittle(*command, "--samples", "30", cwd=folder)
    assert "the first 16 of 596 samples; --samples takes more" in run_brittle(*command, cwd=folder)


def test_check_passes_an_honest_attack_and_fails_a_cheat(folder: Path) -> None:
    assert "checks passed" in run_brittle("check", "mine:Honest", cwd=folder)
    assert "FAILED" in run_brittle("check", "mine:Cheat", cwd=folder, code=3)


@pytest.mark.slow
def test_demo_on_the_embedded_digits(tmp_path: Path) -> None:
    printed = " ".join(run_brittle("demo", "--out", "d", cwd=tmp_path).split())
    assert "pixels were let out of [0, 1]" in printed
    assert (tmp_path / "d/run/report.html").is_file()


BAD = {
    ("evaluate", "net.safetensors", "digits", "--threat", "linf:8"): "did you mean 8/255?",
    ("evaluate", "net.safetensors", "digits"): "needs VICTIM, DATA and --threat",
    ("evaluate", "net.safetensors", "mnits", "--threat", "linf:0.1"): "unknown data 'mnits'; did you mean mnist",
    ("evaluate", "missing.safetensors", "digits", "--threat", "linf:0.1"): "missing.safetensors",
    ("evaluate", "py:mine:broken", "digits", "--threat", "linf:0.1"): "no such weights",
    ("evaluate", "py:mine:nothing", "digits", "--threat", "linf:0.1"): "nothing",
    ("evaluate", "weights.pt", "digits", "--threat", "linf:0.1"): "--trust",
    (
        "attack",
        "net.safetensors",
        "digits",
        "--threat",
        "linf:0.1",
        "--attack",
        "fgms",
        "--out",
        "x",
    ): "did you mean fgsm",
    (
        "attack",
        "net.safetensors",
        "digits",
        "--threat",
        "linf:0.1",
        "--targeted",
        "cat",
        "--out",
        "x",
    ): "no class of these",
    (
        "attack",
        "net.safetensors",
        "digits",
        "--threat",
        "linf:0.1",
        "--confidence",
        "98",
        "--out",
        "x",
    ): "not a probability",
    ("evaluate", "--plan", "plan.toml", "--seed", "3"): "put the rest into the plan",
    ("report", "nowhere"): "holds no run",
    ("list", "atacks"): "did you mean attacks",
    ("check", "mine"): "is not module:Attack",
    ("train", "digits", "--out", "net.pt"): "safetensors",
    ("demo", "--data", "cifar"): "unknown demo data 'cifar'",
}


@pytest.mark.parametrize("command", BAD, ids=lambda c: " ".join(c[:2]))
def test_bad_input_is_a_sentence_and_exit_2(folder: Path, command: tuple[str, ...]) -> None:
    torch.save(torch.nn.Linear(2, 2), folder / "weights.pt")
    printed = " ".join(run_brittle(*command, cwd=folder, code=2).split())
    assert printed.startswith("brittle: ")
    assert BAD[command] in printed
    assert not (folder / "x").exists()


def test_reports_and_help_start_without_torch() -> None:
    code = "import sys, brittle.report.page, brittle.runs.store, brittle.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


MISFITS = [
    ("evaluate", "net.safetensors", "npz:colour.npz", "--threat", "linf:0.1", "--out", "misfit"),
    ("attack", "net.safetensors", "npz:colour.npz", "--threat", "linf:0.1", "--out", "misfit"),
    ("universal", "net.safetensors", "npz:colour.npz", "--threat", "linf:0.1", "--out", "misfit.safetensors"),
    ("patch", "net.safetensors", "npz:colour.npz", "--target", "1", "--out", "misfit.safetensors"),
    ("diagnose", "net.safetensors", "npz:colour.npz", "--threat", "linf:0.1"),
    ("extract", "net.safetensors", "npz:colour.npz", "--queries", "3", "--held-out", "2", "--out", "misfit.safetensors"),
    ("transfer", "npz:colour.npz", "--surrogate", "net.safetensors", "--target", "net.safetensors", "--threat", "linf:0.1"),
    ("blackbox", "npz:colour.npz", "--surrogate", "net.safetensors", "--target", "net.safetensors", "--threat", "linf:0.1",
     "--out", "misfit"),
]  # fmt: skip


@pytest.mark.parametrize("command", MISFITS, ids=lambda c: c[0])
def test_a_network_for_other_pictures_is_a_sentence_before_anything_runs(
    folder: Path, command: tuple[str, ...]
) -> None:
    np.savez(folder / "colour.npz", x=np.zeros((6, 3, 9, 9), np.uint8), y=np.arange(6))
    printed = run_brittle(*command, cwd=folder, code=2)
    assert "does not answer to the" in printed
    assert "of shape (3, 9, 9) each" in printed
    assert not [*folder.glob("misfit*")]
