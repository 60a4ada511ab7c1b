"""A few samples put to a victim as it is: its answers, and their cost."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from ..core.access import Access
from ..core.checks import check_outputs
from ..core.victim import Victim
from ..data.samples import Samples

CROWD_VALUES = 32_000_000  # numbers of a crowd at most, 128 MB: 212 colour pictures of 224x224


def answers(victim: Victim, x: Tensor, seed: int) -> Tensor:
    """Outputs (B, C) on the CPU."""
    asked = victim.clamp(x.to(victim.device, victim.dtype))
    with torch.no_grad(), evaluating(victim, seed):
        return check_outputs(victim(asked), len(x)).cpu()


def crowd(data: Samples, after: int, most: int) -> tuple[Tensor, Tensor]:
    """Up to `most` samples behind the first `after`, fewer where they are large: x (N, *S), labels (N,)."""
    fitting = max(CROWD_VALUES // math.prod(data.shape), 1)
    return data.batch(range(after, min(after + min(most, fitting), len(data))))


def seconds_of(victim: Victim, x: Tensor, seed: int) -> tuple[float, float | None]:
    """Wall-clock seconds a sample, asked together: of a forward, and of a forward with its backward; after one that warms up."""
    asked = victim.clamp(x.to(victim.device, victim.dtype)).requires_grad_()
    with evaluating(victim, seed):
        started = time.perf_counter()
        with torch.no_grad():
            victim(asked.detach()).sum().item()
        forward = time.perf_counter() - started
        if victim.access is not Access.GRADIENT:
            return forward / len(x), None
        started = time.perf_counter()
        with torch.enable_grad():
            outputs = victim(asked)
            if not outputs.requires_grad:
                return forward / len(x), None
            (grad,) = torch.autograd.grad(outputs.sum(), asked, allow_unused=True)
        if grad is not None:
            grad.sum().item()
        return forward / len(x), (time.perf_counter() - started) / len(x)


@contextlib.contextmanager
def evaluating(victim: Victim, seed: int) -> Iterator[None]:
    """In evaluation mode and undisturbed; modes come back as they were."""
    training = [part for part in victim.module.modules() if part.training] if victim.module is not None else []
    try:
        for part in training:
            part.training = False
        with victim.undisturbed(seed):
            yield
    finally:
        for part in training:
            part.training = True
