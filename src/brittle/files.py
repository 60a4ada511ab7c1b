"""The user's files: paths as they are written, files that are read as files, and files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from .errors import InputError
from .outside import reading

TEMPORARY = ".tmp"  # ending of a file that is not yet whole
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path as people write it, `~` and `~name` for homes. InputError where there is no such home."""
    with reading(f"the path {str(text)!r} names no place", "write the folder's name out"):
        return Path(text).expanduser()


def status(path: Path) -> os.stat_result | None:
    """What is there, symlinks followed; None where nothing is. InputError for a path that can name nothing, or may not be looked at."""
    with reading(f"{path} cannot be looked at", "give the path of a file or folder of yours"):
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None


def regular_file(path: Path, wanted: str) -> Path:
    """The path of a file that can be read to its end. InputError for all else, which is not even opened: opening a pipe waits for ever.

    wanted: what is to be given, for the sentence.
    """
    found = status(path)
    if found is None:
        raise InputError(f"{path} does not exist; give {wanted}")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is {_kind(found.st_mode)}; give {wanted}")
    return path


def make_folder(folder: Path) -> Path:
    """The folder, with those above it. InputError where it cannot be made."""
    with reading(f"the folder {folder} cannot be made", "give a place that is yours, with no file of that name"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that at every moment there is either the whole new file or what was there before.

    Where `path` is a symlink, what it names is written; a file's mode is kept. InputError for what is no regular file, such as a device
    or a pipe, which is never replaced. OSError where writing fails.
    """
    target = Path(os.path.realpath(path))
    found = status(target)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is {_kind(found.st_mode)}, which is not replaced; give the path of a file")
    temporary = target.with_name(f"{secrets.token_hex(8)}{TEMPORARY}")  # nobody else's, whatever lies there already
    try:
        with open(temporary, "xb") as file:
            if found is not None:
                os.chmod(temporary, stat.S_IMODE(found.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # where folders can be synced: the new name must last as well
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, data: bytes) -> None:
    """The same for a file that the user named: InputError where it cannot be written."""
    with reading(f"{path} cannot be written", "give a file in a folder that exists, is yours and has space"):
        write_durably(path, data)


def _kind(mode: int) -> str:
    return next((name for is_it, name in _KINDS if is_it(mode)), "no regular file")
