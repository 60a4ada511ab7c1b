"""`images:FOLDER`: pictures in a folder for each class, or named by a CSV of labels, or one file; decoded a batch at a time."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import InputError, printable
from ..files import regular_file, status, user_path
from ..outside import reading
from ..pictures import MOST, picture
from ..specs import Source
from .framing import Framing
from .options import parse_choice, parse_count, parse_size, required_path
from .rows import Array
from .samples import Samples, as_labels, as_rows

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
SWAPS_SIDES = (5, 6, 7, 8)  # the EXIF orientations that turn a picture by a quarter


@dataclass(frozen=True, eq=False)
class ImageSamples:
    """Image files as samples (3, H, W), or (1, H, W) when `grey`, in [0, 1]. Only the paths are kept in memory."""

    files: tuple[Path, ...]
    labels: Array  # (N,) int64
    name: str
    classes: tuple[str, ...]
    grey: bool
    framing: Framing | None = None  # None: as they are, all of one size
    most: int = MOST  # pixels that a file may have
    bounds: tuple[float, float] = (0.0, 1.0)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width. Raises InputError where the files are as they are and differ."""
        return self.framing.size if self.framing else _common_size(self.files, self.most)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1 if self.grey else 3, *self.size)

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = as_rows(ids, len(self), self.name)
        x = np.empty((len(rows), *self.shape), dtype=np.float32)
        for place, row in enumerate(rows):
            picture = decode(self.files[row], self.grey, self.framing, self.most)
            if picture.shape != self.shape:
                raise InputError(
                    f"{self.files[row]} is {picture.shape[1]}x{picture.shape[2]}, no longer "
                    f"{self.size[0]}x{self.size[1]}; open the data again"
                )
            x[place] = picture
        return torch.from_numpy(x), torch.from_numpy(self.labels[rows])

    @cached_property
    def digest(self) -> str:
        """Hash of the files' bytes, the labels and the options; names and places of files do not count."""
        hasher = hashlib.sha256(f"{len(self)} {self.shape} {self.framing}".encode())
        hasher.update(self.labels.tobytes())
        for path in self.files:
            regular_file(path, "an image file")
            with reading(f"{path} cannot be read as an image", "mend or remove it"), path.open("rb") as file:
                hasher.update(hashlib.file_digest(file, "sha256").digest())
        return hasher.hexdigest()[:32]


def open_images(source: Source) -> Samples:
    """`images:FOLDER[?labels=FILE&size=224&grey=1&pixels=50000000]`.

    With a CSV (`labels.csv` in the folder, or `labels=`) its columns `file` (relative to the folder, and in it) and `label`
    (class index or class name) count and others are ignored; otherwise each subfolder is a class, in alphabetical order.
    `size=224` or `size=180x240` (height x width) resizes with anti-aliasing and does not keep proportions; without it
    they are framed as the victim takes them, see `as_taken`, or must all have one size. `pixels=` is the most that a file may have.

    `images:FILE?label=CLASS` is one picture of that class, by name or number.
    """
    folder = required_path(source, "a folder of images, or one image")
    alone = not folder.is_dir()
    unfit = "labels" if alone else "label"
    if unfit in source.options:
        raise InputError(f"{unfit}= is no option for {'one image' if alone else 'a folder'}; leave it away")
    if alone:
        regular_file(folder, "a folder of images, or one image")
        files, labels, classes = _from_file(folder, source.options)
    else:
        named = source.options.get("labels")
        table = _labels_file(folder, named) if named else folder / "labels.csv"
        files, labels, classes = _from_csv(folder, table) if table.exists() else _from_folders(folder)
    grey = parse_choice(source.options, "grey", ("0", "1"), "0") == "1"
    wanted = source.options.get("size")
    framing = Framing.stretched(parse_size(wanted)) if wanted else None
    most = parse_count(source.options, "pixels", MOST)
    return ImageSamples(files, labels, printable(f"images:{folder.name}"), classes, grey, framing, most=most)


def decode(path: Path, grey: bool, framing: Framing | None, most: int = MOST) -> Array:
    """One image as float32 (1 or 3, H, W) in [0, 1]: upright, alpha over white, 16-bit grey kept at its full depth.

    Framed, if so wanted, unless it has that size already.
    """
    with picture(path, most) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode == "F":
            raise InputError(f"{path} holds floating-point pixels, whose range is unknown; save it with 8 or 16 bits")
        if upright.mode.startswith("I"):  # I;16 and its kin; I is what some 16-bit files are read as
            deep = np.asarray(upright).astype(np.float32) / 65535
            if deep.min() < 0 or deep.max() > 1:
                raise InputError(f"{path} has pixels beyond 16 bits; save it with 8 or 16 bits")
            upright = Image.fromarray(deep)
        else:
            upright = _flat(upright).convert("L" if grey else "RGB")
        if framing is not None and (upright.height, upright.width) != framing.size:
            upright = framing.apply(upright)
        pixels = np.asarray(upright)
    scaled = pixels if pixels.dtype == np.float32 else pixels.astype(np.float32) / np.float32(255)
    if scaled.ndim == 2:
        return np.ascontiguousarray(np.broadcast_to(scaled, (1 if grey else 3, *scaled.shape)))
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _flat(given: Image.Image) -> Image.Image:
    """Transparent images composited on white; others as they are."""
    if not (given.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in given.info):
        return given
    straight = given.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", straight.size, "white"), straight)


def _common_size(files: tuple[Path, ...], most: int) -> tuple[int, int]:
    """Height and width of all files, from their headers. Raises InputError when they differ."""
    first = _size(files[0], most)
    for path in files[1:]:
        size = _size(path, most)
        if size != first:
            raise InputError(
                f"images have unequal sizes: {files[0].name} is {first[0]}x{first[1]} and {path.name} is "
                f"{size[0]}x{size[1]} (height x width); add ?size={first[0]}x{first[1]} to resize them"
            )
    return first


def _size(path: Path, most: int) -> tuple[int, int]:
    with picture(path, most) as opened:
        width, height = opened.size
        return (width, height) if opened.getexif().get(0x0112) in SWAPS_SIDES else (height, width)


def _from_file(path: Path, options: Mapping[str, str]) -> tuple[tuple[Path, ...], Array, tuple[str, ...]]:
    """One file and the class that the options name."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no image ({', '.join(sorted(SUFFIXES))}) and no folder; give one of these")
    label = options.get("label", "").strip()
    if not label:
        raise InputError(f"what {path} shows is not known; add ?label=CLASS, by name or number")
    return ((path,), *_classes([label], path))


def _from_folders(folder: Path) -> tuple[tuple[Path, ...], Array, tuple[str, ...]]:
    """Files, labels and class names of FOLDER/CLASS/**; an empty class folder keeps its place in the order."""
    with reading(f"the folder {folder} cannot be looked through", "give a folder of yours"):
        folders = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
        found = [(path, label) for label, name in enumerate(folders) for path in _images_in(folder / name)]
    classes = tuple(map(printable, folders))  # what no text can hold is written as its escape
    if not found:
        raise InputError(
            f"{folder} has no images in class folders and no labels.csv; put the images of each class into a folder"
        )
    if not any(path.parent.parent == folder for path, _ in found):  # FOLDER/SPLIT/CLASS: one level too high
        splits = " or ".join(f"images:{folder / name}" for name in classes[:3])
        raise InputError(f"{folder} has images only two folders down; did you mean {splits}?")
    return tuple(path for path, _ in found), np.array([label for _, label in found], dtype=np.int64), classes


def _images_in(folder: Path) -> list[Path]:
    named = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted(regular_file(p, "a folder of image files") for p in named if not p.is_dir())


def _labels_file(folder: Path, named: str) -> Path:
    for path in (folder / named, user_path(named)):
        if status(path) is not None:
            return regular_file(path, "a CSV with columns file,label")
    raise InputError(
        f"labels={named} is neither a file in {folder} nor in the current folder; give a CSV with columns file,label"
    )


def _from_csv(folder: Path, table: Path) -> tuple[tuple[Path, ...], Array, tuple[str, ...]]:
    """Files, labels and class names from a CSV with the columns file and label."""
    regular_file(table, "a CSV with columns file,label")
    problem, mend = f"{table} cannot be read as a CSV", "save it as UTF-8 text with columns file,label"
    with reading(problem, mend), table.open(newline="", encoding="utf-8-sig") as lines:
        records = list(csv.DictReader(lines))
    if not records:
        raise InputError(f"{table} lists no images; give a header file,label and a line for each image")
    missing = [column for column in ("file", "label") if column not in records[0]]
    if missing:
        raise InputError(
            f"{table} has no column {missing[0]} (it has {', '.join(map(str, records[0]))}); "
            "call its columns file,label"
        )
    for number, record in enumerate(records, 2):
        if not record["file"] or not record["label"]:
            raise InputError(f"line {number} of {table} has an empty file or label; fill it or remove the line")
        place = os.path.normpath(record["file"])
        if os.path.isabs(place) or place.split(os.sep)[0] == os.pardir or not _is_file(folder / place):
            raise InputError(
                f"{record['file']}, line {number} of {table}, is no file in {folder}; mend or remove the line"
            )
    labels, classes = _classes([record["label"].strip() for record in records], table)
    return tuple(folder / record["file"] for record in records), labels, classes


def _is_file(path: Path) -> bool:
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _classes(column: list[str], table: Path) -> tuple[Array, tuple[str, ...]]:
    """Labels and class names of a CSV column: class indices when all are numbers, else names in alphabetical order."""
    try:
        numbers = np.array([float(text) for text in column])
    except ValueError:
        names = tuple(sorted(set(column)))
        place = {name: i for i, name in enumerate(names)}
        return np.array([place[text] for text in column], dtype=np.int64), names
    labels = as_labels(numbers, len(column), str(table))
    return labels, tuple(map(str, range(int(labels.max()) + 1)))
