"""Where something from outside comes in: whatever goes wrong there becomes one sentence, and nothing else comes out.

A file, an answer or a function of the user's may raise anything: OverflowError, RecursionError, MemoryError, the errors of a dozen
libraries, SystemExit. A reader does not list them; it says what it reads and what would mend it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import InputError, printable

LONGEST = 300  # characters of a reason: some libraries put the whole file into theirs
_PASSES = (
    InputError,
    KeyboardInterrupt,
    GeneratorExit,
)  # a sentence already; the user's wish; a generator that is closed
_SPEAKS = (OSError, ValueError, MemoryError)  # errors whose text says what is wrong without their name


@contextmanager
def reading(problem: str, mend: str) -> Iterator[None]:
    """Whatever is raised inside becomes `PROBLEM (REASON); MEND`, as in `a.npz cannot be read as npz (not enough memory); save ...`.

    An InputError, which is a sentence already, and Ctrl-C pass through.
    """
    try:
        yield
    except _PASSES:
        raise
    except BaseException as error:
        raise InputError(f"{problem} ({reason(error)}); {mend}") from error


@contextmanager
def calling(name: str, mend: str) -> Iterator[None]:
    """The same around the user's own code: `NAME raised KIND: TEXT; MEND`. Its `sys.exit` is no end of ours."""
    try:
        yield
    except _PASSES:
        raise
    except BaseException as error:
        text = _text(error)
        raise InputError(f"{name} raised {type(error).__name__}{f': {text}' if text else ''}; {mend}") from error


def reason(error: BaseException) -> str:
    """Why, in a line that may be shown: no path twice, no name where the text says it all, no character that a terminal obeys."""
    if isinstance(error, OSError) and error.strerror:
        return printable(str(error.strerror))
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = _text(error)
    if isinstance(error, _SPEAKS):
        return text or ("not enough memory" if isinstance(error, MemoryError) else type(error).__name__)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _text(error: BaseException) -> str:
    """The first line of what the error says of itself, cut where it is long; its own code may fail too."""
    try:
        lines = str(error).strip().splitlines()
    except _PASSES:
        raise
    except BaseException:
        return ""
    first = printable(lines[0]) if lines else ""
    return first if len(first) <= LONGEST else first[:LONGEST] + "..."
