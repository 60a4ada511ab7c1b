"""Data as the rest of brittle sees it: samples with an index, labels, bounds and a content hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..core.bounds import Bounds, Given, as_bounds, between, feature, interval, numbers, table
from ..core.labels import seeming
from ..errors import InputError
from ..outside import reading
from .rows import Array, StoredRows, parts

MOST_CLASSES = 1_000_000  # a "label" beyond this is an identifier, not a class


class Samples(Protocol):
    """A labelled data set that is read by index, one batch at a time."""

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...  # names in label order
    @property
    def shape(self) -> tuple[int, ...]: ...  # of one sample, channels first: (1, 28, 28)
    @property
    def bounds(self) -> Bounds: ...
    @property
    def digest(self) -> str: ...  # content hash
    def __len__(self) -> int: ...
    def batch(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]: ...  # float32 (B, *S) in bounds, int64 (B,)


@dataclass(frozen=True, eq=False)
class ArraySamples:
    """Samples in an array that is kept in its own type, in memory or in a file; only a batch at a time becomes float32.

    `x` (N, *S) is uint8, whose 0..255 is spread over `bounds`, or floats inside `bounds`. `labels` (N,) are integers
    from 0. `classes` are the names in label order, by default the numbers themselves. Raises InputError for values that
    are not finite or lie outside `bounds`, for lengths that differ, for labels that are no class indices, and for no
    samples at all.
    """

    x: Array | StoredRows
    labels: Array
    name: str = "arrays"
    classes: tuple[str, ...] = ()
    bounds: Bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", as_bounds(self.bounds))
        if len(self.x.shape) == 0 or len(self.x) == 0:
            raise InputError(f"{self.name} has no samples (x has shape {self.x.shape}); give at least one")
        if 0 in self.x.shape:
            raise InputError(
                f"x of {self.name} has shape {self.x.shape}, which holds nothing; give samples with features"
            )
        if len(self.x.shape) == 1:
            raise InputError(
                f"x of {self.name} has shape {self.x.shape}; give (N, *S): one axis for samples, then the sample's"
            )
        labels = as_labels(self.labels, len(self.x), self.name)
        top = int(labels.max())
        if self.classes and top >= len(self.classes):
            raise InputError(f"{self.name} has label {top}, but {len(self.classes)} classes; labels count from 0")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", tuple(self.classes) or tuple(map(str, range(top + 1))))
        check_values(self.x, self.bounds, f"x of {self.name}")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = as_rows(ids, len(self), self.name)
        return spread(as_tensor(self.x[rows]), self.bounds), torch.from_numpy(self.labels[rows])

    @cached_property
    def digest(self) -> str:
        """Hash of types, shapes, bounds and bytes, read in parts so that what lies in a file stays there."""
        hasher = hashlib.sha256(f"{self.x.dtype} {self.x.shape} {self.bounds}".encode())
        for part in parts(self.x):
            hasher.update(np.ascontiguousarray(part).tobytes())
        hasher.update(self.labels.tobytes())
        return hasher.hexdigest()[:32]


def as_data(data: object, bounds: Given = (0.0, 1.0)) -> Samples:
    """Samples from a DATA string, Samples, a pair (x, labels) of tensors or arrays, a Dataset or a DataLoader.

    `bounds` is the range of the values of a pair, a Dataset or a DataLoader; DATA strings and Samples bring their own.
    Of a DataLoader the dataset and its `collate_fn` are used, by index: neither its order nor its batch size.
    """
    from .datasets import from_dataset, from_loader  # these two build on this file
    from .open import open_data

    if isinstance(data, str):
        return open_data(data)
    if isinstance(data, nn.Module):
        raise InputError(
            f"the data are a {type(data).__name__}, which is a model; the model comes first: (model, data, ...)"
        )
    if isinstance(data, ArraySamples) or (hasattr(data, "batch") and hasattr(data, "bounds")):
        return data  # type: ignore[return-value]
    if isinstance(data, DataLoader):
        return from_loader(data, bounds)
    if isinstance(data, tuple | list) and len(data) == 2:
        return ArraySamples(as_array(data[0], "x"), as_array(data[1], "labels"), "arrays", (), as_bounds(bounds))
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__") and not _is_array(data)):
        return from_dataset(data, bounds)
    raise InputError(
        f"the data are a {type(data).__name__}; give 'mnist' or the like, a pair (x, labels), a Dataset or DataLoader"
    )


def as_array(value: object, what: str) -> Array:
    """A tensor, array or nested list as an array, without a copy where that can be."""
    if isinstance(value, Tensor):
        with reading(f"{what} cannot be made an array", "give a dense tensor of numbers, on a device that has them"):
            value = value.detach().cpu()
            return (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # numpy has no bfloat16
    with reading(f"{what} cannot be made an array", "give samples of one shape"):
        return np.asarray(value)


def as_tensor(x: Array) -> Tensor:
    """The array as torch has it: in this machine's byte order, and no wider than float64."""
    kind = np.dtype(np.float64) if x.dtype.kind == "f" and x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")
    return torch.from_numpy(np.ascontiguousarray(x, kind))


def as_labels(labels: Array, count: int, name: str) -> Array:
    """Labels (N,) as int64. Raises InputError unless they are `count` whole numbers from 0."""
    if labels.ndim != 1:
        raise InputError(
            f"labels of {name} have shape {labels.shape}; give one class index a sample, shape ({count},){seeming(labels, count)}"
        )
    if len(labels) != count:
        raise InputError(f"{name} has {count} samples and {len(labels)} labels; give one label a sample")
    if labels.dtype.kind not in "biuf":
        raise InputError(f"labels of {name} have type {labels.dtype}; give class indices 0, 1, 2, ... as integers")
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels) & (labels == np.floor(labels))):
        row = int(np.argmin(np.isfinite(labels) & (labels == np.floor(labels))))
        raise InputError(f"label {labels[row]} of sample {row} of {name} is not a whole number{seeming(labels, count)}")
    if count and (labels.min() < 0 or labels.max() >= MOST_CLASSES):
        row = int(np.argmax((labels < 0) | (labels >= MOST_CLASSES)))
        raise InputError(
            f"label {labels[row]} of sample {row} of {name} is no class index; number the classes 0, 1, 2, ..."
        )
    return labels.astype(np.int64)


def as_rows(ids: Sequence[int], count: int, name: str) -> Array:
    """Ids as an index array (B,). Raises InputError for an id outside 0..count-1."""
    rows = np.asarray(ids, dtype=np.int64).reshape(-1)
    outside = rows[(rows < 0) | (rows >= count)]
    if len(outside):
        raise InputError(f"{name} has no sample {outside[0]}; its ids are 0..{count - 1}")
    return rows


def check_values(x: Array | StoredRows, bounds: Bounds, what: str) -> None:
    """Raises InputError unless `x` (N, *S) is uint8, or floats that are finite and inside `bounds`."""
    lower, upper = bounds
    if x.dtype == np.uint8:
        if not (np.isfinite(numbers(lower)).all() and np.isfinite(numbers(upper)).all()):
            raise InputError(f"{what} is uint8, which is spread over the bounds, and these are infinite; give floats")
        return
    if x.dtype.kind != "f":
        raise InputError(f"{what} has type {x.dtype}; give uint8 (0..255), or floats in {interval(lower, upper)}")
    low, high, seen = math.inf, -math.inf, 0
    mend = "rescale the data and keep normalisation inside the model, or give the bounds they have"
    shared = isinstance(lower, float) and isinstance(upper, float)
    for part in parts(x):
        least, largest = float(part.min()), float(part.max())  # a NaN anywhere makes both NaN
        if not (math.isfinite(least) and math.isfinite(largest)):
            row = seen + next(i for i in range(len(part)) if not np.isfinite(part[i]).all())
            raise InputError(f"{what} holds NaN or infinity, first in sample {row}; mend or leave out such samples")
        if not shared:
            _check_features(part, bounds, seen, what, mend)
        low, high, seen = min(low, least), max(high, largest), seen + len(part)
    if isinstance(lower, float) and isinstance(upper, float) and (low < lower or high > upper):
        raise InputError(f"{what} reaches from {low:g} to {high:g}, outside the bounds [{lower:g}, {upper:g}]; {mend}")


def _check_features(part: Array, bounds: Bounds, first: int, what: str, mend: str) -> None:
    """Raises InputError, naming the feature and the sample, whose number counts from `first`, where one leaves its own bounds."""
    least, most = (table(edge, part.shape[1:], part.dtype) for edge in bounds)
    beyond = np.argwhere((part < least) | (part > most))
    if len(beyond):
        row, *place = (int(i) for i in beyond[0])
        at = tuple(place)
        raise InputError(
            f"feature {feature(at)} of sample {first + row} of {what} is {part[(row, *at)]:g}, outside its bounds "
            f"[{least[at]:g}, {most[at]:g}]; {mend}"
        )


def spread(x: Tensor, bounds: Bounds) -> Tensor:
    """Floats as float32; uint8 (0..255) spread over `bounds`."""
    if x.dtype != torch.uint8:
        return x.to(torch.float32)
    scaled = x.to(torch.float32) / 255
    return scaled if bounds == (0.0, 1.0) else between(scaled, *bounds)


def slices(count: int, step: int = 1024) -> Iterator[slice]:
    """0..count in runs of `step`."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray | dict | list | tuple)
