"""Batches that shrink where the memory runs out: the result of a sample does not depend on who else is in its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

_SAID = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "ALLOC_FAILED",
)  # by devices without a class for it


def in_parts(work: Callable[[slice], T], count: int, size: int) -> list[T]:
    """`work` on one slice after another of `count` samples, `size` at a time; where memory runs out on half as many, from there on.

    What one sample alone is too large for is raised.
    """
    found: list[T] = []
    start = 0
    while start < count:
        try:
            found.append(work(slice(start, start + size)))
            start += size
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            size = min(size, count - start) // 2 or 1
    return found


def out_of_memory(error: BaseException) -> bool:
    """Whether it says so, or was raised from one that does."""
    cause = error.__cause__
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or (cause is not None and out_of_memory(cause)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)
