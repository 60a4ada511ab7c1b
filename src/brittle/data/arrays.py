"""`npz:FILE`: arrays `x` and `y` saved by NumPy. The samples stay in the file."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zipfile
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import regular_file
from ..outside import reading
from ..specs import Source
from .options import parse_bounds, required_path
from .rows import PART, Array, StoredRows, state_of
from .samples import ArraySamples, Samples, as_labels

CHANNELS = (1, 3, 4)
MEND = "save plain arrays with numpy.savez(FILE, x=..., y=...)"
HEADER = 2**14  # bytes that the description of an array may take
LARGEST = 2**34  # bytes that a compressed array is unpacked to, on the disk
TURNED = 2**30  # bytes that are read whole because they lie in the file column by column
MOST = 20_000_000  # samples; their labels are kept in memory


def open_npz(source: Source) -> Samples:
    """`npz:FILE[?bounds=lo..hi]`: x (N, *S), uint8 or floats inside the bounds, and class indices y (N,)."""
    path = required_path(source, "an .npz file with arrays x and y")
    bounds = parse_bounds(source.options.get("bounds", "0..1"))
    x, labels = read_npz(path)
    return ArraySamples(x, labels, f"npz:{path.stem}", (), bounds)


def read_npz(path: Path) -> tuple[Array | StoredRows, Array]:
    """Samples x, channels first, read as they are asked for, and labels y of a file.

    What was compressed is unpacked into a temporary folder, once, up to LARGEST. Checksums are compared. Pickled objects are refused, for
    unpickling runs code.
    """
    regular_file(path, "an .npz file with arrays x and y")
    with reading(f"{path} cannot be read as npz", MEND):
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                if file.read(6) == np.lib.format.MAGIC_PREFIX:
                    raise InputError(f"{path} holds a single array; save both with numpy.savez(FILE, x=..., y=...)")
            raise ValueError("it is no zip archive")
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in ("x", "y") if name not in members]
            if missing:
                raise InputError(
                    f"{path} has no array {missing[0]} (it has {', '.join(members)}); "
                    "save with numpy.savez(FILE, x=..., y=...)"
                )
            x, y = (_Member.of(archive, members[name], name) for name in ("x", "y"))
            if x.shape[0] > MOST:
                raise InputError(f"{path} has {x.shape[0]:,} samples; give at most {MOST:,}, in files of their own")
            if y.shape != x.shape[:1]:  # an array of that shape, and of no size, gets the right sentence
                as_labels(np.broadcast_to(np.zeros((), y.dtype), y.shape), x.shape[0], path.stem)
            return x.rows(path), y.array()


@dataclass(frozen=True, eq=False)
class _Member:
    """An array of an archive, as it is described there."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    begin: int  # bytes before its numbers
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    turned: bool  # the first axis changes fastest

    @classmethod
    def of(cls, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> _Member:
        with archive.open(info) as file:
            head = io.BytesIO(file.read(HEADER))
        version = np.lib.format.read_magic(head)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its array {name} has the version {version} of the format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, turned, dtype = read(head)
        if dtype.hasobject:
            raise ValueError("Object arrays are pickles, which run code when they are read")
        if not shape or min(shape) < 1:
            raise ValueError(f"its array {name} has the shape {shape}, which holds nothing")
        if prod(shape) * dtype.itemsize != info.file_size - head.tell():
            raise ValueError(f"its array {name} of shape {shape} should have another number of bytes")
        return cls(archive, info, head.tell(), dtype, shape, turned and len(shape) > 1)

    def array(self) -> Array:
        """The array in memory."""
        with self.archive.open(self.info) as file:
            numbers = file.read()[self.begin :]
        return np.frombuffer(numbers, self.dtype).reshape(self.shape, order="F" if self.turned else "C")

    def rows(self, path: Path) -> Array | StoredRows:
        """The array in its file, channels first; in memory where its rows do not lie together."""
        if self.turned:
            if self.info.file_size > TURNED:
                raise ValueError("it lies there column by column; save numpy.ascontiguousarray(x)")
            return channels_first(self.array())
        packed = self.info.compress_type != zipfile.ZIP_STORED
        rows = self._unpacked() if packed else self._in_place(path)
        return replace(rows, shown=channels_first)

    def _in_place(self, path: Path) -> StoredRows:
        with path.open("rb") as file:
            file.seek(self.info.header_offset)
            local = file.read(30)
        name, extra = struct.unpack("<HH", local[26:])
        self._copied(None)
        start = self.info.header_offset + 30 + name + extra + self.begin
        return StoredRows(path, start, self.dtype, self.shape, state_of(path.stat()))

    def _unpacked(self) -> StoredRows:
        if self.info.file_size > LARGEST:
            raise ValueError(
                f"unpacked it is {self.info.file_size / 2**30:,.0f} GiB, more than {LARGEST / 2**30:.0f}; numpy.savez does not compress"
            )
        folder = tempfile.TemporaryDirectory(prefix="brittle-", ignore_cleanup_errors=True)
        if self.info.file_size > shutil.disk_usage(folder.name).free:
            raise ValueError(f"no space is left in {folder.name} to unpack it; TMPDIR names another folder")
        path = Path(folder.name) / "x"
        self._copied(path)
        return StoredRows(path, self.begin, self.dtype, self.shape, state_of(path.stat()), keep=folder)

    def _copied(self, path: Path | None) -> None:
        """Read it to its end, where its checksum is compared, and keep it at `path` if that is given."""
        with self.archive.open(self.info) as file:
            if path is None:
                while file.read(PART):
                    pass
            else:
                with path.open("xb") as copy:
                    shutil.copyfileobj(file, copy, PART)


def channels_first(x: Array) -> Array:
    """Images with the channel axis before height and width.

    (N, H, W) gains a channel: (N, 1, H, W). (N, H, W, C) with C of 1, 3 or 4 becomes (N, C, H, W), unless the second
    axis could itself be channels. Everything else, such as (N, D), stays as it is.
    """
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[3] in CHANNELS and x.shape[1] not in CHANNELS:
        return np.moveaxis(x, 3, 1)
    return x
