"""A torch Dataset or DataLoader as Samples: read by index, a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from ..core.bounds import Bounds, Given, as_bounds
from ..errors import InputError
from .samples import ArraySamples, Samples, as_array, as_labels, as_rows, check_values, slices, spread

Collate = Callable[[list[Any]], Any]

PROBED = 8  # samples read twice on opening, to learn the shape and to see whether reading is repeatable


@dataclass(frozen=True, eq=False)
class DatasetSamples:
    """A map-style dataset whose items collate to (x, label). Nothing is kept between batches."""

    dataset: Any
    collate: Collate
    name: str
    bounds: Bounds
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = as_rows(ids, len(self), self.name).tolist()
        if not rows:
            return torch.empty(0, *self.shape), torch.empty(0, dtype=torch.int64)
        x, labels = read(self.dataset, self.collate, rows, self.name, self.bounds)
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(
                f"samples {rows[0]}..{rows[-1]} of {self.name} have shape {tuple(x.shape[1:])}, the first samples "
                f"have {self.shape}; bring all to one shape"
            )
        return x, labels

    @property
    def classes(self) -> tuple[str, ...]:
        """The dataset's own `classes`, as torchvision's sets have them, else the numbers up to the largest label."""
        names = getattr(self.dataset, "classes", None)
        return tuple(map(str, names)) if names else tuple(map(str, range(self._scan[1] + 1)))

    @property
    def digest(self) -> str:
        return self._scan[0]

    @cached_property
    def _scan(self) -> tuple[str, int]:
        """One pass over all samples: their hash, and the largest label."""
        hasher = hashlib.sha256(f"{len(self)} {self.shape} {self.bounds}".encode())
        top = 0
        for part in slices(len(self), 64):
            x, labels = self.batch(range(part.start, part.stop))
            hasher.update(x.contiguous().numpy().tobytes())
            hasher.update(labels.numpy().tobytes())
            top = max(top, int(labels.max()))
        return hasher.hexdigest()[:32], top


def from_dataset(dataset: Any, bounds: Given, collate: Collate = default_collate) -> Samples:
    """Samples of a map-style dataset.

    Raises InputError when it streams, is empty, gives other values when read again, or gives no (x, label).
    """
    bounds = as_bounds(bounds)
    name = type(dataset).__name__
    if isinstance(dataset, IterableDataset):
        raise InputError(
            f"{name} is an IterableDataset, which cannot be read by index; give a map-style Dataset (__getitem__ and "
            "__len__), or collect its samples into a pair (x, labels)"
        )
    try:
        count = len(dataset)
    except TypeError:
        raise InputError(f"{name} has no __len__; give a Dataset with __getitem__ and __len__") from None
    if count == 0:
        raise InputError(f"{name} has no samples; give at least one")
    if isinstance(dataset, TensorDataset) and collate is default_collate and len(dataset.tensors) == 2:
        x, labels = (as_array(t, name) for t in dataset.tensors)
        return ArraySamples(x, labels, name, (), bounds)
    probe = list(range(min(PROBED, count)))
    first, again = (read(dataset, collate, probe, name, bounds) for _ in range(2))
    if not all(torch.equal(a, b) for a, b in zip(first, again, strict=True)):
        raise InputError(f"{name} gives other values when it is read twice; leave random transforms out of the data")
    return DatasetSamples(dataset, collate, name, bounds, tuple(first[0].shape[1:]))


def from_loader(loader: DataLoader[Any], bounds: Given) -> Samples:
    """Samples of a DataLoader's dataset, collated as the loader does it."""
    batches = loader.batch_size is not None or loader.batch_sampler is not None
    return from_dataset(loader.dataset, bounds, loader.collate_fn if batches else default_collate)


def read(dataset: Any, collate: Collate, rows: list[int], name: str, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """The samples `rows`: float32 (B, *S) in bounds and int64 (B,)."""
    try:
        items = [dataset[row] for row in rows]
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"samples {rows[0]}..{rows[-1]} of {name} cannot be read: {type(error).__name__}: {error}; mend its code"
        ) from error
    try:
        batch = collate(items)
    except Exception as error:
        raise InputError(
            f"samples {rows[0]}..{rows[-1]} of {name} do not stack ({error}); let each item "
            "be a tensor of one shape and a label"
        ) from error
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[0], Tensor):
        raise InputError(
            f"a batch of {name} is {_describe(batch)}; give items (x, label), or a DataLoader whose collate_fn does"
        )
    x = batch[0].detach().cpu()
    if x.ndim < 2 or len(x) != len(rows):
        raise InputError(f"{len(rows)} samples of {name} give x of shape {tuple(x.shape)}; give ({len(rows)}, *S)")
    check_values(as_array(x, name), bounds, f"x of {name}")
    labels = as_labels(as_array(batch[1], "labels"), len(rows), name)
    return spread(x, bounds), torch.from_numpy(np.ascontiguousarray(labels))


def _describe(batch: object) -> str:
    if isinstance(batch, dict):
        return f"a dict with {', '.join(map(repr, batch))}"
    return (
        f"{len(batch)} things" if isinstance(batch, tuple | list) and len(batch) != 2 else f"a {type(batch).__name__}"
    )
