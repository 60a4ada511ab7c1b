"""The terminal obeys nothing that comes from outside, and a place to write that is odd is a sentence."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rich.table import Table

from brittle.report.screen import Screen

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def command(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "brittle", *arguments], stderr=subprocess.PIPE, **options)


def test_what_a_terminal_obeys_is_shown_as_its_escape(capsys):
    table = Table(f"head{ESCAPES}", title=f"title{ESCAPES}")
    table.add_row(f"[/b]cell :smile: [red]x[/red]{ESCAPES}")
    screen = Screen()
    screen.print(table)
    screen.print(f"line{ESCAPES}", f"[link=file:///etc]{ESCAPES}")
    shown = capsys.readouterr().out
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert r"line\x1b]0;owned" in shown
    assert "[/b]cell :smile: [red]x[/red]" in shown.replace("\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_characters_shows_which_they_are(encoding):
    done = command("list", "attacks", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding})
    out, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (0, b"")
    assert b"pgd" in out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_the_output_is_a_sentence():
    with open("/dev/full", "w") as full:
        done = command("list", "threats", stdout=full)
        _, err = done.communicate(timeout=60)
    assert done.returncode == 1
    assert (
        err.decode() == "brittle: the output cannot be written (No space left on device); what --out names is whole\n"
    )


def test_a_reader_that_has_gone_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = command("list", "attacks", stdout=write)
    os.close(write)
    _, err = done.communicate(timeout=60)
    assert done.returncode == 1
    assert err == b""


def test_an_interruption_while_it_starts_is_no_traceback():
    code = """
import builtins, brittle.__main__
real = builtins.__import__
def late(name, *rest, **more):
    if name == "typer":
        raise KeyboardInterrupt
    return real(name, *rest, **more)
builtins.__import__ = late
brittle.__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_a_fault_of_our_own_is_a_sentence_and_a_warning_has_no_line_of_code():
    code = (
        "import importlib, warnings\nmain = importlib.import_module('brittle.cli.main')\n"
        "def faulty():\n    warnings.warn('mind the gap\\x1b[1m')\n    raise KeyError('gone')\n"
        "main.app.command('faulty')(faulty)\n"
        "import sys; sys.argv = ['brittle', 'faulty']\n"
        "main.main()\n"
    )
    for trace, shown in (("", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "BRITTLE_TRACEBACK": trace}
        )
        assert done.returncode == 1
        assert "brittle: mind the gap\\x1b[1m\n" in done.stderr
        assert ("Traceback" in done.stderr) == shown
        assert ("a fault of brittle itself (KeyError: 'gone'); BRITTLE_TRACEBACK=1" in done.stderr) != shown
