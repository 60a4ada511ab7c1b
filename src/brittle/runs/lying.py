"""What lies in a run folder, which may be anything: the one way to look into it and to read a file of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import InputError, printable
from ..files import status
from ..outside import reading, reason
from .units import MOST_BYTES

T = TypeVar("T")


class Damaged(InputError):
    """What lies in a run folder is not what was written there."""


def listed(folder: Path, suffix: str) -> list[Path]:
    """What is in a folder under names of that ending, in their order; nothing where there is no folder."""
    with reading(f"{named(folder)} cannot be looked into", "see that it is a folder of yours"):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
    return [folder / name for name in sorted(names) if name.endswith(suffix)]


def parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    """A file of a run folder, read whole and made something of. InputError where that cannot be, Damaged where it is not as written: the
    beginning of a sentence, of what cannot be read and why."""
    problem = f"{named(path)} cannot be read"
    found = status(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        raise Damaged(f"{problem} (it is no regular file)")
    if found.st_size > 2 * MOST_BYTES:
        raise Damaged(f"{problem} (it is larger than any that brittle writes)")
    try:
        data = path.read_bytes()
        try:
            return parse(data)
        except (MemoryError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            raise Damaged(f"{problem} ({reason(error)})") from error
    except (OSError, MemoryError) as error:
        raise InputError(f"{problem} ({reason(error)})") from error


def named(path: Path) -> str:
    """As it is written in a sentence."""
    return printable(repr(str(path)))
