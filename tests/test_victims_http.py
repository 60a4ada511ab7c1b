"""A model behind HTTP, on a real server that drops, delays, refuses and dies: the verdicts are the model's, and every row is counted."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import brittle
from brittle.app.chain import stages_of
from brittle.app.train import train_and_save
from brittle.core.access import Access
from brittle.core.victim import Victim, as_victim
from brittle.errors import InputError, Unreachable
from brittle.runs.store import Store
from brittle.runs.values import decode
from brittle.threats import parse_threat
from brittle.victims import open_victim
from http_server import Served

X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
EPS = 0.1
MISCHIEF = {2: "drop", 7: "429", 9: "500", 11: "drop", 13: "words", 17: "nan", 19: "short"}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In memory where that can be: the journal waits for the disk twice a request."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        monkeypatch.setenv("BRITTLE_CACHE", folder)
        yield Path(folder)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    train_and_save("digits", path, epochs=5)
    module = open_victim(str(path)).module
    assert module is not None
    return module


def _open(server: Served, options: str = "") -> Victim:
    return open_victim(f"{server.url}?wait=0.002&{options}")


def _sent(victim: Victim) -> int:
    return int(victim.forward.journal.sent)  # type: ignore[attr-defined]


def _facts(report: brittle.Report) -> list[tuple[Any, ...]]:
    return [(r.attack, r.id, r.clean_correct, r.success, r.predicted, r.forwards, r.error) for r in report.rows]


def _labels(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: one_hot(net(x).argmax(1), 10).float()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Access.SCORES, Access.LABELS], ids=lambda kind: kind.value)
def test_an_evaluation_through_a_bad_server_gives_the_rows_of_the_model_itself(
    net: nn.Module, tmp_path: Path, kind: Access
) -> None:
    labels = kind is Access.LABELS
    asked = {"effort": "quick", "samples": 8, "grid": [EPS], "progress": False}
    with Served(net, labels=labels, mischief=lambda number: MISCHIEF.get(number % 20, "")) as server:
        text = f"{server.url}?wait=0.002&budget=100000" + ("&answers=labels&classes=10" if labels else "")
        report = brittle.evaluate(text, "digits", f"linf:{EPS}", out=tmp_path / "run", **asked)
        assert _sent(open_victim(text)) == len(server.rows) > len(set(server.rows))  # tried again, and counted
        again = brittle.evaluate(text, "digits", f"linf:{EPS}", out=tmp_path / "again", **asked)
        assert _sent(open_victim(text)) == len(server.rows)  # all of it came out of the journal
    direct = dataclasses.replace(as_victim(net), access=kind, forward=_labels(net) if labels else net)
    wanted = brittle.evaluate(direct, "digits", f"linf:{EPS}", **asked)
    assert _facts(report) == _facts(wanted) == _facts(again)
    assert {r.attack for r in report.rows} == {
        "clean",
        "uniform_noise",
        "search along rays" if labels else "random squares",
    }
    assert wanted.robust_accuracy < wanted.clean_accuracy
    assert not any("gradient" in warning for warning in report.warnings)


@pytest.mark.parametrize("wrong", ["", *sorted({*MISCHIEF.values()})])
def test_answers_are_the_models_whatever_goes_wrong_in_between(net: nn.Module, wrong: str) -> None:
    with Served(net, mischief=lambda number: wrong if number % 3 else "") as server, torch.no_grad():
        victim = _open(server, "batch=7")
        assert torch.allclose(victim(X), net(X), atol=1e-6)
        assert _sent(victim) == len(server.rows)
        assert max(server.batches) == 7
        assert (len(server.rows) == len(X) + 16) == (not wrong)  # the first 8 rows are asked three times, to learn


def test_a_late_answer_is_given_up_and_asked_for_again(net: nn.Module) -> None:
    with Served(net, mischief=lambda number: "late" if number == 2 else "") as server:
        victim, started = _open(server, "timeout=0.2"), time.perf_counter()
        assert torch.allclose(victim(X[:1]), net(X[:1]), atol=1e-6)
        assert time.perf_counter() - started < 0.9
        assert _sent(victim) == len(server.rows) == 4


def test_the_budget_is_never_exceeded_and_more_of_it_goes_on_from_the_journal(net: nn.Module, tmp_path: Path) -> None:
    with Served(net, mischief=lambda number: MISCHIEF.get(number % 20, "")) as server:

        def report(budget: int) -> brittle.Report:
            text = f"{server.url}?wait=0.002&budget={budget}"
            return brittle.evaluate(
                text, "digits", "linf:0.05", attacks=["square:queries=60"], samples=12, grid=[0.05],
                out=tmp_path / str(budget), progress=False,
            )  # fmt: skip

        short = report(300)
        assert len(server.rows) <= 300
        errors = [row for row in short.rows if row.error]
        assert errors
        assert all("budget of 300" in row.error for row in errors)
        assert any("budget of 300" in warning for warning in short.warnings)
        assert [row for row in short.rows if row.attack.startswith("square") and not row.error]
        before = set(server.rows)
        assert not [row for row in report(5000).rows if row.error]
        assert before < set(server.rows)
        assert len(server.rows) < 5000
        twice = Counter(server.rows)
        answered = [row for row in short.rows if not row.error]
        assert answered
        assert max(twice.values()) <= 3 + 4  # asked to learn, and what went wrong on the way


def test_several_processes_share_a_budget(net: nn.Module) -> None:
    with Served(net) as server:
        one, other = _open(server, "budget=30"), _open(server, "budget=30")
        one(X[:2])  # 2 rows, three times
        other(X[2:22])
        with pytest.raises(InputError, match=r"budget of 30 rows does not allow 5 more: 26 were sent"):
            one(X[22:27])
        assert torch.equal(other(X[:22]), one(X[:22]))
        assert len(server.rows) == 26 == _sent(one)


def test_a_server_that_dies_and_comes_back_is_waited_for_and_costs_nothing_meanwhile(net: nn.Module) -> None:
    dead = threading.Event()

    def dies(number: int) -> str:
        if number == 15:
            dead.set()
            return "drop"
        return ""

    with Served(net, mischief=dies) as server:

        def back() -> None:
            dead.wait()
            server.stop()
            time.sleep(0.4)
            server.start()

        thread = threading.Thread(target=back)
        thread.start()
        victim = open_victim(f"{server.url}?wait=0.05&batch=4&retries=8")
        assert torch.allclose(victim(X), net(X), atol=1e-6)
        thread.join()
        assert _sent(victim) == len(server.rows) == len(X) + 16 + 4


def test_a_server_that_stays_away_ends_the_run_and_leaves_no_error_rows(net: nn.Module, tmp_path: Path) -> None:
    with Served(net, mischief=lambda number: "500" if number > 30 else "") as server:
        with pytest.raises(Unreachable, match=r"no answer that can be used in 3 tries, the last time: status 500"):
            brittle.evaluate(
                f"{server.url}?wait=0.002&retries=2", "digits", "linf:0.05", attacks=["square:queries=50"], samples=9,
                out=tmp_path / "run", progress=False,
            )  # fmt: skip
        rows = Store(tmp_path / "run").rows()
        assert {row.attack for row in rows} == {"clean", "uniform_noise"}  # what was finished, and no errors
        assert not any(row.error for row in rows)


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_nothing_answered_is_asked_twice(net: nn.Module, tmp_path: Path) -> None:
    hold, held = threading.Event(), threading.Event()

    def waits(number: int) -> str:
        if number == 40:  # the answer is on its way when the other side is killed
            held.set()
            hold.wait(20)
            return "drop"
        return ""

    with Served(net, mischief=waits) as server:
        code = "import torch; torch.set_num_threads(1); from brittle.cli import main; main()"
        text = f"{server.url}?wait=0.002&batch=16&budget=3000"
        command = [sys.executable, "-c", code, "evaluate", text, "digits", "--threat", "linf:0.05", "--grid", "0.05"]
        command += ["--attack", "square:queries=40", "--samples", "20", "--shard", "5", "--out", "run"]
        quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        assert held.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold.set()
        before, flying = len(server.rows), server.batches[-1]
        victim = open_victim(text)
        assert _sent(victim) == before  # what was under way is in the account
        assert subprocess.run(command, check=False, **quiet).returncode == 0  # type: ignore[call-overload]
        assert _sent(victim) == len(server.rows)
        twice = {row for row, count in Counter([*server.rows[before:], *{*server.rows[:before]}]).items() if count > 1}
        assert twice == set(server.rows[before - flying : before])  # only what nobody has heard the answer to


def test_a_server_that_answers_at_random_is_asked_anew_each_time_and_found_out(net: nn.Module, tmp_path: Path) -> None:
    noise = torch.Generator().manual_seed(0)
    with Served(lambda x: net(x) + 5 * torch.randn(len(x), 10, generator=noise)) as server:
        victim = _open(server)
        assert not torch.equal(victim(X), victim(X))
        first = _open(server)(X[:8])
        assert torch.equal(first, _open(server)(X[:8]))  # begun anew it hears the same answers again, in the same order
        report = brittle.evaluate(
            victim, "digits", "linf:0.05", effort="quick", attacks=["uniform_noise"], samples=2, grid=[0.05],
            progress=False,
        )  # fmt: skip
        assert report.plan.draws == 512
        assert any("Asked 16 times the same" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("words", "it answered no JSON"),
        ("nan", "the last time: it answered"),
        ("short", r"it answered scores of shape \(0, 1?2?\)|it answered scores of shape"),
        ("302", "sends on to http://127.0.0.2/elsewhere, where nothing is sent unasked"),
        ("401", "lets nobody in .*token_env=NAME"),
        ("404", "cannot be asked .*look at the URL"),
        ("413", "refuses these inputs"),
    ],
)
def test_what_is_wrong_with_a_server_is_one_sentence(net: nn.Module, wrong: str, sentence: str) -> None:
    with Served(net, mischief=lambda number: wrong) as server, pytest.raises(InputError, match=sentence) as caught:
        _open(server, "retries=1")(X[:2])
    assert "\n" not in str(caught.value)


def test_a_server_that_asks_for_patience_gets_it(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("brittle.victims.remote.line.time.sleep", slept.append)

    class Slow(Served):
        def answer(self, handler: Any, x: Tensor, wrong: str) -> None:
            if wrong:
                handler.send(429, b"", Retry_After=wrong)
            else:
                super().answer(handler, x, wrong)

    with Slow(net, mischief=lambda number: "7" if number == 1 else "") as server:
        _open(server)(X[:1])
    assert slept == [7.0]
    with Slow(net, mischief=lambda number: "86400") as server, pytest.raises(Unreachable, match="not before 86,400 s"):
        _open(server)(X[:1])
    assert slept == [7.0]


def test_a_token_goes_into_the_header_and_nowhere_else(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_cache: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret-token")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Served(net) as server:
        victim = _open(server, "token_env=MY_TOKEN")
        victim(X[:2])
        assert server.headers["Authorization"] == "Bearer s3cret-token"
        _open(server)(X[2:4])
        assert "Authorization" not in server.headers
        server.mischief = lambda number: "401"
        with pytest.raises(InputError) as caught:
            victim(X[4:6])
    assert "s3cret" not in f"{caught.value} {victim!r} {victim.name} {victim.digest}"
    files = [path for path in own_cache.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files)
    assert not any(b"s3cret" in path.read_bytes() for path in files)


CARD = {"model": "digits", "version": "3", "answers": "scores", "classes": list("0123456789"), "shape": [1, 8, 8]}


def test_what_the_server_says_of_itself_is_taken_and_a_new_version_is_noticed(net: nn.Module) -> None:
    with Served(net, card={**CARD, "bounds": [0, 1]}) as server:
        victim = _open(server)
        assert (victim.access, victim.shape, victim.classes) == (Access.SCORES, (1, 8, 8), tuple("0123456789"))
        with pytest.raises(InputError, match=r"takes inputs of shape \(1, 8, 8\), not \(3, 8, 8\)"):
            victim(X[:2].expand(2, 3, 8, 8))
        assert not server.rows
        server.card = {**CARD, "version": "4"}
        assert _open(server).digest != victim.digest
        assert _open(server, "batch=3").forward.journal.path != victim.forward.journal.path  # type: ignore[attr-defined]
        server.said = lambda outputs: {"scores": outputs.tolist(), "version": "4"}  # type: ignore[method-assign]
        with pytest.raises(Unreachable, match="with version 4 of the model, and said 3 before"):
            victim(X[:2])


@pytest.mark.parametrize("labels", [False, True])
def test_the_open_inference_protocol(net: nn.Module, labels: bool) -> None:
    kind = "INT64" if labels else "FP32"
    card = {
        "name": "net", "versions": ["1"], "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [{"name": "out", "datatype": kind, "shape": [-1] if labels else [-1, 10]}],
    }  # fmt: skip
    with Served(net, v2=True, labels=labels, card=card) as server:
        victim = _open(server, "protocol=v2&classes=10")
        assert (victim.shape, victim.access) == ((1, 8, 8), Access.LABELS if labels else Access.SCORES)
        assert torch.allclose(victim(X), _labels(net)(X) if labels else net(X), atol=1e-6)


def test_probabilities_are_seen_and_become_logarithms(net: nn.Module) -> None:
    with Served(lambda x: net(x).softmax(1)) as server:
        assert torch.allclose(_open(server)(X).softmax(1), net(X).softmax(1), atol=1e-6)
        assert torch.allclose(_open(server, "scores=logits")(X), net(X).softmax(1), atol=1e-6)


def test_channels_are_sent_last_where_the_server_wants_them_so() -> None:
    picture = torch.rand(2, 3, 4, 5)
    with Served(lambda x: x.flatten(1)[:, :10]) as server:
        assert torch.equal(_open(server, "layout=nhwc")(picture), picture.movedim(1, -1).flatten(1)[:, :10])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("http://127.0.0.1:9/x?budgte=3", "unknown option of http 'budgte'; did you mean budget"),
        ("http://me:word@127.0.0.1:9/x", "would be printed; give a token as token_env=NAME"),
        ("http:ftp://127.0.0.1/x", "no http or https URL"),
        ("http:", "no http or https URL"),
        ("http://127.0.0.1:port/x", "is no URL"),
        ("http://127.0.0.1:9/x?budget=many", "budget=many is not accepted; give a whole number"),
        ("http://127.0.0.1:9/x?timeout=0", "give seconds above 0"),
        ("http://127.0.0.1:9/x?token_env=NOT_SET_ANYWHERE", "names no environment variable that is set"),
        ("http://127.0.0.1:9/x?retries=0", "no answer that can be used in 1 try, the last time: ConnectionError"),
    ],
)
def test_a_wrong_string_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_victim(text)


def test_labels_need_the_number_of_classes_and_attacks_need_no_more_than_is_given(net: nn.Module) -> None:
    with Served(net, labels=True) as server:
        with pytest.raises(InputError, match="does not say of how many classes; write classes=NUMBER"):
            _open(server, "answers=labels")
        with pytest.raises(InputError, match="answers with labels, not scores; write answers=labels"):
            _open(server)(X[:1])
        victim = _open(server, "answers=labels&classes=10")
        for attack, needs in (("pgd", "gradients"), ("square", "scores")):
            with pytest.raises(InputError, match=f"needs {needs} and .* gives labels alone"):
                brittle.evaluate(victim, "digits", "linf:0.05", attacks=[attack], samples=3, progress=False)


def test_a_journal_of_another_model_is_refused(net: nn.Module, tmp_path: Path) -> None:
    with Served(net) as server:
        _open(server, f"journal={tmp_path / 'mine.sqlite'}")(X[:2])
        assert os.path.exists(tmp_path / "mine.sqlite")
        with pytest.raises(InputError, match="holds another model's answers"):
            _open(server, f"journal={tmp_path / 'mine.sqlite'}&layout=nhwc")
        (tmp_path / "words.sqlite").write_text("this is no database, it is a text, and a long one at that" * 20)
        with pytest.raises(InputError, match="cannot be used"):
            _open(server, f"journal={tmp_path / 'words.sqlite'}")


@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS], ids=lambda access: access.value)
@pytest.mark.parametrize("effort", ["quick", "standard", "exhaustive"])
def test_a_chain_for_a_black_box_asks_for_no_more_than_it_gives(access: Access, effort: str) -> None:
    for threat in (brittle.linf(0.1), brittle.l2(0.5), brittle.l1(5), brittle.l0(5)):
        stages = stages_of(effort, threat, access)
        attacks = [decode(stage.value, stage.name) for stage in stages]
        assert attacks
        assert all(access.gives(attack.access) for attack in attacks)
    if access is Access.LABELS:
        with pytest.raises(InputError, match="no chain is known for spatial where the model gives labels alone"):
            stages_of(effort, parse_threat("spatial:angle_deg=30"), access)
