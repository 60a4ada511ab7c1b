"""Downloads, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from brittle.data import known, open_data
from brittle.data.downloads import Published, download, find, obtain
from brittle.errors import InputError

CONTENT = b"the published bytes" * 100
FILE = Published("toy", "file.bin", "http://127.0.0.1:9/nowhere", hashlib.md5(CONTENT).hexdigest())


class Server:
    """`files` maps a path to its bytes; `cut` is how many bytes of each answer are kept back."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.cut = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                body = outer.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write((body or b"")[: len(body or b"") - outer.cut])

            def log_message(self, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("BRITTLE_DATA_URL", server.url)
    monkeypatch.setenv("BRITTLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BRITTLE_DATA", raising=False)
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def left_over(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once(server, tmp_path):
    server.files["/toy/file.bin"] = CONTENT
    path = obtain(FILE)
    assert path == tmp_path / "cache" / "toy" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert obtain(FILE) == path
    assert server.requests == ["/toy/file.bin"]
    assert left_over(tmp_path) == ["file.bin"]


def test_without_a_mirror_the_home_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.delenv("BRITTLE_DATA_URL")
    server.files["/home/file.bin"] = CONTENT
    assert download(replace(FILE, home=f"{server.url}/home/"), tmp_path / "x").read_bytes() == CONTENT


def test_the_data_folder_goes_before_the_cache_and_may_differ(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path))
    own = tmp_path / "data" / "toy" / "file.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"compressed anew")
    assert obtain(FILE) == own
    assert server.requests == []


def test_files_are_found_in_the_order_of_their_names(server, tmp_path):
    (tmp_path / "cache" / "toy").mkdir(parents=True)
    for number in (3, 0, 5, 2, 4, 1):
        (tmp_path / "cache" / "toy" / f"part-{number}").touch()
    assert [path.name for path in find("toy", "part-*")] == [f"part-{number}" for number in range(6)]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.files["/toy/file.bin"] = CONTENT[:-1] + b"X"
    with pytest.raises(InputError, match="is not the published file"):
        obtain(FILE)
    assert left_over(tmp_path) == []


def test_an_interrupted_download_leaves_nothing_and_can_be_repeated(server, tmp_path):
    server.files["/toy/file.bin"] = CONTENT
    server.cut = 700
    with pytest.raises(InputError, match=r"cannot be downloaded|is not the published file"):
        obtain(FILE)
    assert left_over(tmp_path) == []
    server.cut = 0
    assert obtain(FILE).read_bytes() == CONTENT


def test_a_damaged_cache_is_mended(server):
    server.files["/toy/file.bin"] = CONTENT
    path = obtain(FILE)
    path.write_bytes(CONTENT[:50])
    assert obtain(FILE).read_bytes() == CONTENT


def test_a_missing_file_says_where_to_put_it(server, tmp_path):
    with pytest.raises(InputError, match=r"404.*put file\.bin into .*cache/toy"):
        obtain(FILE)
    assert left_over(tmp_path) == []


def test_no_connection_is_a_sentence(server, monkeypatch):
    monkeypatch.setenv("BRITTLE_DATA_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"toy is not in \$BRITTLE_DATA"):
        obtain(FILE)


def test_a_cache_that_cannot_be_written_is_a_sentence(server, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("no folder")
    monkeypatch.setenv("BRITTLE_CACHE", str(tmp_path / "plain"))
    server.files["/toy/file.bin"] = CONTENT
    with pytest.raises(InputError, match="cannot be downloaded"):
        obtain(FILE)


def test_mnist_is_downloaded_checked_and_read(server, monkeypatch):
    images = np.arange(2 * 28 * 28, dtype=np.uint16).astype(np.uint8).reshape(2, 28, 28)
    parts = {"images": (3, images), "labels": (1, np.array([4, 9], dtype=np.uint8))}
    for kind, (axes, array) in parts.items():
        raw = bytes((0, 0, 8, axes)) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()
        server.files[f"/mnist/t10k-{kind}-idx{axes}-ubyte.gz"] = gzip.compress(raw)
        md5 = hashlib.md5(server.files[f"/mnist/t10k-{kind}-idx{axes}-ubyte.gz"]).hexdigest()
        monkeypatch.setitem(known.MD5, ("mnist", f"t10k-{kind}"), md5)
    data = open_data("mnist")
    assert data.batch([0, 1])[1].tolist() == [4, 9]
    assert len(server.requests) == 2
    open_data("mnist")
    assert len(server.requests) == 2
