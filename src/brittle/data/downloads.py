"""Where the files of the known data sets are: the user's data folder, the cache, or their home on the web."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pooch

from ..errors import InputError
from ..files import user_path
from ..outside import reading


@dataclass(frozen=True)
class Published:
    """A file as its home publishes it. `md5` is of the download; a user's own copy may be compressed anew."""

    dataset: str  # "mnist"
    file: str  # "t10k-images-idx3-ubyte.gz"
    home: str  # URL of the folder
    md5: str


def folders(dataset: str) -> Iterator[Path]:
    """Where a data set's files may lie, in order: $BRITTLE_DATA/data/NAME, $BRITTLE_DATA/NAME, the cache."""
    root = os.environ.get("BRITTLE_DATA")
    names = dict.fromkeys((dataset, dataset.replace("-", "_")))
    if root:
        yield from (user_path(root) / top / name for top in ("data", "") for name in names)
    yield cache() / dataset


def cache() -> Path:
    """$BRITTLE_CACHE, or the platform's cache folder."""
    named = os.environ.get("BRITTLE_CACHE")
    return user_path(named) if named else Path(pooch.os_cache("brittle"))


def find(dataset: str, pattern: str) -> list[Path]:
    """The files matching `pattern` in the first folder that has any, sorted by name."""
    for folder in folders(dataset):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def obtain(published: Published) -> Path:
    """The file's path, downloaded into the cache when it is nowhere else. Raises InputError when that fails."""
    own = find(published.dataset, published.file)
    kept = cache() / published.dataset
    if own and own[0].parent != kept:
        return own[0]
    return download(published, kept)


def download(published: Published, folder: Path) -> Path:
    """The file in `folder`, fetched only when it is not there with the right checksum; no partial file is left behind.

    $BRITTLE_DATA_URL names a mirror that has the files as DATASET/FILE.
    """
    mirror = os.environ.get("BRITTLE_DATA_URL")
    base = f"{mirror.rstrip('/')}/{published.dataset}" if mirror else published.home.rstrip("/")
    url = f"{base}/{published.file}"
    with reading(f"{url} cannot be downloaded", f"check the connection, or put {published.file} into {folder}"):
        return _retrieved(published, url, folder)


def _retrieved(published: Published, url: str, folder: Path) -> Path:
    try:
        return Path(pooch.retrieve(url, f"md5:{published.md5}", fname=published.file, path=folder))
    except ValueError as error:
        if "does not match the known hash" not in str(error):
            raise InputError(_failed(published, url, folder, str(error))) from error
        raise InputError(
            f"{url} is not the published file (its md5 is not {published.md5}): the download is damaged or the file "
            f"was changed; try again, or put the right file into {folder}"
        ) from error
    except OSError as error:  # every error of requests is one
        cause = _first(error)
        raise InputError(_failed(published, url, folder, f"{type(cause).__name__}: {cause}")) from error


def _first(error: BaseException) -> BaseException:
    """What went wrong below all that was raised because of it."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def _failed(published: Published, url: str, folder: Path, reason: str) -> str:
    return (
        f"{published.dataset} is not in $BRITTLE_DATA, and {url} cannot be downloaded ({reason}); check the "
        f"connection, or put {published.file} into {folder}"
    )
