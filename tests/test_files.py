"""One place writes: whole or not at all, and never over what is no regular file."""

from __future__ import annotations

import ast
import os
import socket
import stat
from pathlib import Path

import pytest

import brittle
from brittle.errors import InputError
from brittle.files import TEMPORARY, make_folder, regular_file, user_path, write_durably, write_whole

ROOT = Path(brittle.__file__).parent


@pytest.fixture
def odd(tmp_path):
    """What is no regular file, by what it is called. A pseudo-terminal's end stands for device nodes, which only root makes."""
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    os.symlink("/dev/null", tmp_path / "device")
    yield {"FIFO": tmp_path / "pipe", "socket": tmp_path / "socket", "folder": tmp_path / "folder"} | {
        "device": Path("/dev/null"),
        "pipe": tmp_path / "link",
        "a device": tmp_path / "device",
    }
    listener.close()


def test_what_is_no_regular_file_is_never_replaced(odd, tmp_path):
    for name, path in odd.items():
        before = os.stat(path)
        for write in (write_durably, write_whole):
            with pytest.raises(InputError, match=f"{name}.*is not replaced; give the path of a file"):
                write(path, b"new")
        after = os.stat(path)
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert not list(tmp_path.rglob(f"*{TEMPORARY}"))


def test_what_is_no_regular_file_is_never_opened_for_reading(odd):
    for name, path in odd.items():
        with pytest.raises(InputError, match=f"{name}.*; give a picture"):
            regular_file(path, "a picture")


def test_a_symlink_stays_and_its_file_is_written_with_its_mode(tmp_path):
    (tmp_path / "far").mkdir()
    file, link = tmp_path / "far" / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to("far/file")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    dangling = tmp_path / "dangling"
    dangling.symlink_to("far/none")
    write_whole(dangling, b"new")
    assert dangling.is_symlink()
    assert (tmp_path / "far" / "none").read_bytes() == b"new"


def test_what_lies_in_the_temporary_files_place_is_not_followed(tmp_path):
    """A name that can be guessed could be a link to another file, or a pipe that waits for ever."""
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / f"out{TEMPORARY}").symlink_to("other")
    write_whole(tmp_path / "out", b"new")
    assert other.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000 + "b", "loop", "no\0thing", "none/there"])
def test_a_path_that_cannot_be_is_a_sentence(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot be|names no|does not exist"):
        write_whole(tmp_path / name, b"")
    with pytest.raises(InputError, match="cannot be looked at|does not exist"):
        regular_file(tmp_path / name, "a file")


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    write_whole(tmp_path / ("a" * 255), b"new")
    assert (tmp_path / ("a" * 255)).read_bytes() == b"new"


def test_a_folder_that_cannot_be_made_and_a_home_that_is_not_there_are_sentences(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/dev/null/x"), tmp_path / ("a" * 300)):
        with pytest.raises(InputError, match="cannot be made"):
            make_folder(folder)
    with pytest.raises(InputError, match="'~nouser_at_all/x' names no place"):
        user_path("~nouser_at_all/x")
    assert user_path("~") == Path.home()


def test_nothing_else_in_the_package_writes_a_file():
    """`write_text`, `Image.save(path)` and the like would follow none of the rules above."""
    writers = {"write_text", "write_bytes", "savez", "tofile", "save_file", "to_csv", "mkdir", "symlink_to"}
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
            opens = name == "open" and any(isinstance(m, str) and m[:1] in "wax" and len(m) <= 3 and m for m in modes)
            if name in writers or opens:
                found.append(f"{path.relative_to(ROOT)}: {name}")
    unpacked = "data/arrays.py: open"  # into a temporary folder of its own
    assert sorted(found) == [unpacked, "files.py: mkdir", "files.py: open", "runs/store.py: mkdir"]
