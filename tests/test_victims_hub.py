"""A hub that does not answer: said once, within seconds, and never where its cache has the model or it does answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import vision_ops  # noqa: F401
from brittle.errors import InputError
from brittle.victims import open_victim
from brittle.victims.hub import check_hub, held

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty, as on a new machine; the hub is given up after 0.3 seconds."""
    monkeypatch.setattr(hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(hub.constants, "ENDPOINT", url)
    return url


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(hub.constants, "ENDPOINT", url)
        yield url


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answers after a while, and with an error: a hub that is there. What it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            time.sleep(0.1)
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    monkeypatch.setattr(hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def test_a_hub_that_refuses_is_given_up_at_once(refusing: str) -> None:
    pytest.importorskip("transformers")
    started = time.perf_counter()
    with pytest.raises(
        InputError, match=rf"hf:who/what is not on this machine, and {refusing} does not answer.*hf:FOLDER"
    ):
        open_victim("hf:who/what")
    assert time.perf_counter() - started < 20  # its client alone: 25 seconds, and more for each further file


@pytest.mark.parametrize("name", ["resnet18", "hf-hub:timm/resnet18.a1_in1k"])
def test_networks_of_timm_too(refusing: str, name: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(InputError, match=rf"timm:{name} is not on this machine.*\?checkpoint=FILE"):
        open_victim(f"timm:{name}")


def test_a_hub_that_says_nothing_is_given_up(hanging: str) -> None:
    with pytest.raises(InputError, match=rf"hf:x is not on this machine, and {hanging} does not answer \(.*timed out"):
        check_hub("hf:x", "walk")


def test_a_hub_that_is_slow_or_unwell_is_there(slow: list[str]) -> None:
    check_hub("hf:x", "walk")
    assert len(slow) == 1


def test_whoever_is_offline_on_purpose_is_not_asked(slow: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    check_hub("hf:x", "walk")
    assert slow == []


def test_what_the_cache_holds_needs_no_hub(refusing: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    kept = cache / "models--timm--resnet18.a1_in1k"
    assert not held("timm/resnet18.a1_in1k")
    (kept / "snapshots" / "abc").mkdir(parents=True)
    (kept / "snapshots" / "abc" / "model.safetensors").write_bytes(b"")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: (_ for _ in ()).throw(OSError("reached")))
    with pytest.raises(InputError, match="timm:resnet18 cannot be created .reached."):
        open_victim("timm:resnet18")
