"""Gradients also for a caller who has switched them off."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")


def recording(function: Callable[P, T]) -> Callable[P, T]:
    """Autograd follows what is calculated inside, also where the caller is under torch.no_grad() or torch.inference_mode()."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False):
            return function(*args, **kwargs)

    return inside


def followed(tensor: Tensor) -> Tensor:
    """The tensor, or of one that was made under torch.inference_mode(), which autograd refuses, a copy."""
    return tensor.clone() if tensor.is_inference() else tensor
