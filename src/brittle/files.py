"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

TEMPORARY = ".tmp"  # ending of a file that is not yet whole


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that at every moment there is either the whole new file or what was there before."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # where folders can be synced: the new name must last as well
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, data: bytes) -> None:
    """The same for a file that the user named: InputError where it cannot be written."""
    try:
        write_durably(path, data)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); give a file in a folder that exists, is yours and has space"
        ) from error
