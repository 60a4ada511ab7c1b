"""What the exit code of a command says: one table for all of them, so that a script never takes a crash for an answer."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """docs/cli.md has this table in the user's words."""

    DONE = 0
    TROUBLE = 1  # an error of ours, or rows that could not be measured: the answer is not known
    WRONG_INPUT = 2  # one sentence says what; no verdict was reached
    FINDING = 3  # it ran, and the answer is one that a script may want to stop at
    INTERRUPTED = 130


TABLE = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit)
