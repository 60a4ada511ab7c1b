"""Whatever bytes or structure come in from outside: a value or a sentence, never another exception.

`BRITTLE_FUZZ=500 python -m pytest tests/test_hostile.py -s` tries that many inputs at each boundary and prints a table of them.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import resource
import socket
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from torch import nn

from brittle.attacks import parse_attack
from brittle.attacks.combine.patch import Patch
from brittle.attacks.combine.replay import Replay
from brittle.data.known import read_idx
from brittle.data.open import open_data
from brittle.errors import InputError
from brittle.runs.plan import expand, load_plan
from brittle.runs.values import decode
from brittle.threats import parse_threat
from brittle.threats.mask import Mask
from brittle.victims import open_victim
from brittle.victims.checkpoint import load_checkpoint
from brittle.victims.networks import Architecture
from brittle.victims.networks import save as save_network

TRIES = int(os.environ.get("BRITTLE_FUZZ", "0"))
TABLE: dict[str, list[float]] = {}
fuzzed = settings(
    max_examples=TRIES or 25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    if TRIES:
        print("\nboundary | inputs | longest, s | peak memory of the process until then, MB")
        for name, (count, longest, peak) in TABLE.items():
            print(f"{name} | {count:.0f} | {longest:.2f} | {peak:.0f}")


def meets(boundary: str, read: Callable[[], object]) -> None:
    """Reading gives a value or a sentence of printable text."""
    begun, sentence = time.perf_counter(), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except InputError as error:
        sentence = str(error)
    assert sentence.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable()
    seen = TABLE.setdefault(boundary, [0.0, 0.0, 0.0])
    seen[0] += 1
    seen[1] = max(seen[1], time.perf_counter() - begun)
    seen[2] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """The file with some bytes changed, cut off, put in, or something else altogether."""
    places = st.integers(0, len(whole) - 1)

    def changed(edits: list[tuple[int, int]], cut: int | None, more: bytes) -> bytes:
        data = bytearray(whole)
        for place, byte in edits:
            data[place] = byte
        return bytes(data[:cut]) + more

    edits = st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)
    return st.builds(changed, edits, st.none() | places, st.binary(max_size=20)) | st.binary(max_size=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ENCODED = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["bytes", "brittle.threats.ball:Ball", "os:path", "x", "brittle.attacks.combine.replay:Replay"]
        )
    },
    optional={"base64": PLAIN, "eps": PLAIN, "norm": PLAIN, "shape": PLAIN, "numbers": PLAIN},
)
PLANS = st.fixed_dictionaries(
    {
        "victim": st.text(max_size=5) | PLAIN,
        "data": PLAIN,
        "threat": st.sampled_from(["linf:8/255", "l2"]) | ENCODED | PLAIN,
    },
    optional={
        "eps": PLAIN,
        "grid": st.lists(PLAIN, max_size=3),
        "attacks": st.lists(
            st.sampled_from(["pgd", "pgd:steps=3"])
            | PLAIN
            | st.fixed_dictionaries(
                {"name": PLAIN, "value": ENCODED | PLAIN}, optional={"reach": PLAIN, "role": PLAIN}
            ),
            max_size=2,
        ),
        **dict.fromkeys(("task", "goal", "samples", "seed", "resolved", "keep", "shard"), PLAIN),
    },
)


@fuzzed
@given(
    text=(PLANS | PLAIN).map(lambda data: json.dumps(data).encode())
    | st.binary(max_size=100)
    | spoilt(b'{"victim": "v", "data": "d", "threat": "linf:0.1", "attacks": ["pgd"], "grid": [0.1]}')
)
def test_plans(folder: Path, text: bytes) -> None:
    for name in ("plan.json", "plan.toml"):
        (folder / name).write_bytes(text)
        meets("plan", lambda: expand(load_plan(folder / name), parse_attack, parse_threat))  # noqa: B023


@fuzzed
@given(data=ENCODED | PLAIN)
def test_encoded_values(data: object) -> None:
    meets("encoded value", lambda: decode(data))


ARRAYS = st.builds(
    lambda kind, shape, order: np.asarray(np.zeros(shape), dtype=kind, order=order),
    st.sampled_from(["u1", ">f4", "f8", "g", "f2", "c8", "i4", "M8[s]", "U3", "?", "V3"]),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from("CF"),
)
HEADERS = st.builds(
    lambda kind, shape, order: f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode(),
    st.sampled_from(["'|u1'", "'<f4'", "'|O'", "'<f99'", "[('a', '<f4')]", "1"]),
    st.sampled_from(
        ["(7, 3)", "(10**9, 3)", f"({10**30},)", "(-1, 3)", "()", "(7, 0)", "(True,)", "7", "(" * 300, "(1.5,)"]
    ),
    st.sampled_from(["True", "False", "None", "2"]),
)


def npz(x: bytes, y: bytes, kind: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", y)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def headed(header: bytes, numbers: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + numbers


MEMBERS = ARRAYS.map(npy) | st.builds(headed, HEADERS, st.binary(max_size=30))
X, Y = npy(np.zeros((7, 3), np.float32)), npy(np.arange(7) % 3)
COMPRESSIONS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])


@fuzzed
@given(
    content=st.builds(npz, MEMBERS | st.just(X), MEMBERS | st.just(Y), COMPRESSIONS)
    | spoilt(npz(X, Y, zipfile.ZIP_STORED))
    | spoilt(npz(X, Y, zipfile.ZIP_DEFLATED))
)
def test_npz(folder: Path, content: bytes) -> None:
    path = folder / "a.npz"
    path.write_bytes(content)

    def read() -> None:
        data = open_data(f"npz:{path}")
        assert data.batch([0])[0].shape[1:] == data.shape
        assert data.digest

    meets("npz", read)


@fuzzed
@given(content=MEMBERS | spoilt(npy(np.eye(3))) | spoilt(npz(X, Y, zipfile.ZIP_STORED)))
def test_masks(folder: Path, content: bytes) -> None:
    path = folder / "mask.npy"
    path.write_bytes(content)
    meets("mask", lambda: Mask.read(path))


def pictured(kind: str, mode: str) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((9, 7)).convert(mode).save(file, kind)
    return file.getvalue()


KINDS = [
    ("PNG", "RGBA"),
    ("PNG", "I;16"),
    ("JPEG", "RGB"),
    ("BMP", "P"),
    ("GIF", "P"),
    ("TIFF", "RGB"),
    ("WEBP", "RGB"),
    ("PPM", "L"),
]
FILES = st.one_of([spoilt(pictured(*kind)) for kind in KINDS])


@fuzzed
@given(content=FILES | spoilt(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"))
def test_pictures(folder: Path, content: bytes) -> None:
    path = folder / "a.png"
    path.write_bytes(content)

    def read() -> None:
        for options in ("label=0", "label=0&size=8&grey=1"):
            assert torch.isfinite(open_data(f"images:{path}?{options}").batch([0])[0]).all()

    meets("picture", read)


@fuzzed
@given(
    content=spoilt(b"file,label\na/x.png,cat\n../y.png,dog\n") | st.text(max_size=60).map(lambda t: t.encode("utf-16"))
)
def test_labels(folder: Path, content: bytes) -> None:
    home = folder / "labelled"
    home.mkdir(exist_ok=True)
    (home / "labels.csv").write_bytes(content)
    meets("labels.csv", lambda: open_data(f"images:{home}"))


@fuzzed
@given(content=spoilt(gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 7)) + bytes(7))))
def test_idx(folder: Path, content: bytes) -> None:
    path = folder / "a.gz"
    path.write_bytes(content)
    meets("idx", lambda: read_idx(path, 1))


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, bytes]:
    architecture = Architecture("mlp", (3,), 2, (4,))
    save_network(architecture.build(), architecture, folder / "net.safetensors")
    torch.save(nn.Linear(3, 2).state_dict(), folder / "net.pth")
    Replay.of(torch.zeros(1, 3, 3)).save(folder / "replay.safetensors")
    Patch.of(torch.zeros(1, 3, 3)).save(folder / "patch.safetensors")
    return {
        name: (folder / f"{name}").read_bytes()
        for name in ("net.safetensors", "net.pth", "replay.safetensors", "patch.safetensors")
    }


@fuzzed
@given(draw=st.data())
def test_weights(folder: Path, models: dict[str, bytes], draw: st.DataObject) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "net.safetensors": lambda path: open_victim(f"net:{path}"),
        "net.pth": lambda path: load_checkpoint(nn.Linear(3, 2), str(path)),
        "replay.safetensors": Replay.read,
        "patch.safetensors": Patch.read,
    }
    for name, read in readers.items():
        path = folder / f"spoilt-{name}"
        path.write_bytes(draw.draw(spoilt(models[name]) | st.just(save({"a": torch.zeros(2)}))))
        meets(f"model file {name.partition('.')[2] if name == 'net.pth' else name}", lambda: read(path))  # noqa: B023


@fuzzed
@given(draw=st.data())
def test_networks_of_other_packages(folder: Path, draw: st.DataObject) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    whole = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])).SerializeToString()
    path = folder / "a.onnx"
    path.write_bytes(draw.draw(spoilt(whole)))
    meets("model file onnx", lambda: open_victim(f"onnx:{path}?runtime=onnxruntime"))


class Loud:
    """A pickle that would tell."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (os.path.join(os.environ["HOSTILE"], "unpickled"),)


def test_no_pickle_is_opened_without_the_users_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", str(folder))
    for name in ("a.pth", "a.npz", "a.npy", "a.safetensors", "a.png"):
        (folder / name).write_bytes(pickle.dumps(Loud()))
    torch.save(Loud(), folder / "b.pth")
    for read in (
        lambda: load_checkpoint(nn.Linear(3, 2), str(folder / "a.pth")),
        lambda: load_checkpoint(nn.Linear(3, 2), str(folder / "b.pth")),
        lambda: open_victim(f"torch:{folder}/b.pth"),
        lambda: open_data(f"npz:{folder}/a.npz"),
        lambda: Mask.read(folder / "a.npy"),
        lambda: open_victim(f"net:{folder}/a.safetensors"),
        lambda: open_data(f"images:{folder}/a.png?label=0").batch([0]),
    ):
        with pytest.raises(InputError):
            read()
    assert not (folder / "unpickled").exists()


NUMBERS = st.sampled_from(
    ["8/255", "9" * 5000, "1e400", "nan", "-1", "0", "²", "1_0", "0x10", "inf", "1/0", ""]
) | st.text(max_size=5)
KEYS = st.sampled_from(
    ["steps", "eps", "loss", "mask", "restarts", "size", "bounds", "label", "labels", "pixels", "split", "checkpoint"]
)
OPTIONS = st.lists(st.builds("{}={}".format, KEYS, NUMBERS), max_size=3)
NAMES = st.sampled_from(
    [
        "pgd",
        "linf",
        "l0",
        "spatial",
        "union",
        "fgsm+di",
        "images",
        "npz",
        "mnist",
        "digits",
        "net",
        "torch",
        "sklearn",
        "py",
        "http",
    ]
)
AWAY = ["/", "~nouser_at_all/x", "a" * 300, "a/" * 3000, "\0", "\udcff", "/dev/zero", "//x:99999999", ".", ""]
PLACES = st.sampled_from(AWAY) | st.text(max_size=9)


@fuzzed
@given(name=NAMES | st.text(max_size=5), options=OPTIONS, place=PLACES)
def test_strings(name: str, options: list[str], place: str) -> None:
    meets("attack string", lambda: parse_attack(f"{name}:{','.join(options)}"))
    meets("threat string", lambda: parse_threat(f"{name}:{','.join(options)}"))
    if name not in ("mnist", "images") or place != "/":  # not the whole disk
        meets("data string", lambda: open_data(f"{name}:{place}?{'&'.join(options)}"))
    meets("victim string", lambda: open_victim(f"{name}:{place}?retries=0&{'&'.join(options)}"))


class Raw:
    """A server that says just these bytes, one connection after the other."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.pause = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._say, args=(connection, self.answers.pop(0) if self.answers else b""), daemon=True
            ).start()

    def _say(self, connection: socket.socket, answer: bytes) -> None:
        with connection:
            try:
                connection.recv(2**16)
                for start in range(0, len(answer), 1 if self.pause else 2**20):
                    connection.sendall(answer[start : start + (1 if self.pause else 2**20)])
                    time.sleep(self.pause)
                connection.shutdown(socket.SHUT_WR)  # closed with something unread, the answer would be lost
                while connection.recv(2**16):
                    pass
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    server = Raw()
    yield server
    server.close()


def said(content: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n%b\r\n%b" % (headers, content)


GOOD = b'{"scores": [[0.1, 0.9]]}'
ANSWERS = (
    PLAIN.map(lambda data: said(json.dumps({"scores": data}).encode()))
    | PLAIN.map(lambda data: said(json.dumps(data).encode()))
    | spoilt(said(GOOD))
    | spoilt(said(gzip.compress(GOOD), b"Content-Encoding: gzip\r\n"))
)
CARDS = PLAIN.map(lambda data: {"classes": data, "shape": data, "bounds": data, "version": data, "answers": data})


@fuzzed
@given(
    card=CARDS.map(lambda card: said(json.dumps(card).encode())) | ANSWERS,
    answer=ANSWERS,
    protocol=st.sampled_from(["v1", "v2"]),
)
def test_answers(raw: Raw, tmp_path_factory: pytest.TempPathFactory, card: bytes, answer: bytes, protocol: str) -> None:
    journal = tmp_path_factory.mktemp("journal") / "a.sqlite"
    raw.answers = [card, *[answer] * 9]

    def read() -> None:
        victim = open_victim(f"http://127.0.0.1:{raw.port}/p?retries=0&timeout=5&protocol={protocol}&journal={journal}")
        victim(torch.zeros(1, *(victim.shape or (3,))))

    meets("HTTP answer", read)


def asked(raw: Raw, journal: Path, answer: bytes, options: str = "") -> torch.Tensor:
    raw.answers = [said(b"{}"), *[answer] * 9]
    return open_victim(f"http://127.0.0.1:{raw.port}/p?retries=0&journal={journal}/a.sqlite&{options}")(
        torch.zeros(1, 3)
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (said(b'{"scores": [["0.1", "0.9"]]}'), "no matrix of numbers"),
        (said(b'{"scores": [[true, false]]}'), "no matrix of numbers"),
        (said(b'{"scores": [[1e39, 0]]}'), "not finite"),
        (said(b"[" * 100_000), "no JSON"),
        (said(b" " * (2**25 + 1)), "more than 33,554,432 bytes"),
        (said(gzip.compress(bytes(2**28)), b"Content-Encoding: gzip\r\n"), "more than 33,554,432 bytes"),
        (said(GOOD, b"Content-Encoding: br\r\n"), "packed as 'br'"),
        (said(b'"\x1b]0;owned\x07"'), "an object|no JSON"),
        (b"HTTP/1.1 404 \x1b[2J\r\nContent-Length: 3\r\n\r\n\x1b[m", r"\\x1b"),
    ],
)
def test_an_answer_that_is_none_is_refused(raw: Raw, tmp_path: Path, answer: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        asked(raw, tmp_path, answer)
    assert "\x1b" not in str(caught.value)


def test_answers_that_come_packed_are_unpacked(raw: Raw, tmp_path: Path) -> None:
    found = asked(raw, tmp_path, said(gzip.compress(GOOD), b"Content-Encoding: gzip\r\n"))
    torch.testing.assert_close(found.exp(), torch.tensor([[0.1, 0.9]]))


def test_a_server_that_says_a_byte_now_and_then_is_given_up(raw: Raw, tmp_path: Path) -> None:
    """Between two bytes it is never silent for long; the whole request is what is limited."""
    raw.pause = 0.05
    try:
        with pytest.raises(InputError, match=r"no whole answer within 0\.5 s"):
            asked(raw, tmp_path, said(GOOD), "timeout=0.5")
    finally:
        raw.pause = 0.0


class Ends(BaseException):
    pass


@fuzzed
@given(
    kind=st.sampled_from([SystemExit, Ends, RecursionError, MemoryError, GeneratorExit, OSError, KeyError]),
    text=st.text(max_size=9),
)
def test_functions(kind: type[BaseException], text: str) -> None:
    from brittle.outside import calling

    def read() -> None:
        with calling("nets:build", "mend the function"):
            raise kind(text)

    if kind is not GeneratorExit:
        meets("user function", read)
