"""Whatever goes wrong at a boundary becomes one sentence that names the thing, the reason and the mend."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brittle.errors import InputError, Unreachable
from brittle.outside import LONGEST, calling, printable, reading, reason


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


KINDS = [
    OverflowError("too large"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    OSError(36, "File name too long", "a" * 300),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    zipfile.BadZipFile("odd"),
    zlib.error("odd"),
    struct.error("odd"),
    KeyError("x"),
    SystemExit(0),
    Mute(),
    BaseException(),
]


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_becomes_a_sentence(error: BaseException) -> None:
    for boundary in (reading, calling):
        with pytest.raises(InputError) as caught, boundary("a.npz cannot be read", "give another"):
            raise error
        said = str(caught.value)
        assert said.startswith("a.npz cannot be read")
        assert said.endswith("; give another")
        assert len(said) < LONGEST + 100
        assert caught.value.__cause__ is error


def test_a_sentence_and_the_users_wish_pass_through() -> None:
    for error in (InputError("mine"), Unreachable("mine"), KeyboardInterrupt()):
        for boundary in (reading, calling):
            with pytest.raises(type(error)) as caught, boundary("outer", "mend"):
                raise error
            assert caught.value is error


def test_a_generator_may_be_closed_inside_a_boundary() -> None:
    def lines() -> Iterator[int]:
        with reading("it", "mend"):
            yield 1
            yield 2

    many = lines()
    assert next(many) == 1
    many.close()


def test_reasons_are_short_and_say_it_once() -> None:
    assert reason(OSError(2, "No such file or directory", "/a/b")) == "No such file or directory"
    assert reason(MemoryError()) == "not enough memory"
    assert reason(RecursionError("maximum recursion depth exceeded")) == "nested too deeply"
    assert reason(KeyError("x")) == "KeyError: 'x'"
    assert reason(ValueError("first\nsecond")) == "first"
    assert len(reason(ValueError("a" * 10_000))) == LONGEST + 3


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert not set(shown) & {chr(c) for c in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066)}
    shown.encode()  # no lone surrogates either


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("plain", "grüße 猫 🐈", "two\nlines\tand a tab", "10 000"):
        assert printable(text) == text
    assert printable("\x1b]0;owned\x07") == r"\x1b]0;owned\x07"
    assert printable("file\udcff") == r"file\udcff"


def test_sys_exit_of_the_users_code_is_no_end_of_ours() -> None:
    with (
        pytest.raises(InputError, match="nets:build raised SystemExit: 0; mend the function"),
        calling("nets:build", "mend the function"),
    ):
        sys.exit(0)
