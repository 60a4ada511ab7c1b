"""A device by name, tried: one that parses may still not be there."""

from __future__ import annotations

import torch

from ..errors import InputError


def as_device(device: torch.device | str) -> torch.device:
    """InputError, with one sentence, where nothing can be computed on it."""
    try:
        found = torch.zeros(1, device=device)
        found.item()  # one without numbers, such as meta, has none to give
    except Exception as error:  # of many kinds, from builds without it to drivers that are too old
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(", mps, meta")[0]
        raise InputError(
            f"device {str(device)!r} cannot be used ({reason}); give cpu, or cuda on a machine that has it"
        ) from error
    return found.device
