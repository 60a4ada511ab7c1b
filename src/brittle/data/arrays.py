"""`npz:FILE`: arrays `x` and `y` saved by NumPy."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..specs import Source
from .options import parse_bounds, required_path
from .samples import Array, ArraySamples, Samples

CHANNELS = (1, 3, 4)


def open_npz(source: Source) -> Samples:
    """`npz:FILE[?bounds=lo..hi]`: x (N, *S), uint8 or floats inside the bounds, and class indices y (N,)."""
    path = required_path(source, "an .npz file with arrays x and y")
    bounds = parse_bounds(source.options.get("bounds", "0..1"))
    x, labels = read_npz(path)
    return ArraySamples(channels_first(x), labels, f"npz:{path.stem}", (), bounds)


def read_npz(path: Path) -> tuple[Array, Array]:
    """Arrays x and y of a file. Pickled objects inside are refused, for unpickling runs code."""
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds a single array; save both with numpy.savez(FILE, x=..., y=...)")
        with arrays:
            missing = [name for name in ("x", "y") if name not in arrays]
            if missing:
                raise InputError(
                    f"{path} has no array {missing[0]} (it has {', '.join(arrays)}); "
                    "save with numpy.savez(FILE, x=..., y=...)"
                )
            return arrays["x"], arrays["y"]
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as npz ({error}); save plain arrays with numpy.savez(FILE, x=..., y=...)"
        ) from error


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
