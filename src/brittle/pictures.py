"""A picture in a file: of a format that holds pixels alone, of a size that fits into memory, and no pipe or device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

from .errors import InputError
from .files import regular_file
from .outside import reading

# Each is decoded within Pillow or a library made for it. EPS would start Ghostscript, and of the others nobody needs one here.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MOST = 50_000_000  # pixels: a photograph of 50 megapixels


@contextmanager
def picture(path: Path, most: int = MOST) -> Iterator[Image.Image]:
    """The picture of a file, opened and not yet decoded; what goes wrong with it inside becomes a sentence. most: pixels it may have."""
    with picture_in(regular_file(path, "an image file"), str(path), most) as opened:
        yield opened


@contextmanager
def picture_in(file: Path | IO[bytes], name: str, most: int = MOST) -> Iterator[Image.Image]:
    """The same of an open file."""
    with (
        reading(f"{name} cannot be read as an image", "mend or remove it"),
        _limit(most),
        Image.open(file, formats=FORMATS) as opened,
    ):
        pixels = opened.width * opened.height
        if pixels > most:
            raise InputError(
                f"{name} has {pixels:,} pixels, more than {most:,}; make it smaller (a folder of images takes pixels=NUMBER)"
            )
        yield opened


@contextmanager
def _limit(most: int) -> Iterator[None]:
    """Pillow's own limit gives way to this one."""
    own = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = most
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = own
