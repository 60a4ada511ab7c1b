"""What a caller gives as an attack, a batch or whole numbers, as the drivers need it; a sentence where it is something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import ATTACKS, parse_attack
from ..core.problem import Attack
from ..core.victim import Victim
from ..errors import InputError


def as_attack(given: object) -> Attack:
    """An attack value, or the one that a string such as `pgd:steps=10` names."""
    if isinstance(given, str):
        return parse_attack(given)
    if isinstance(given, Victim | nn.Module):
        raise InputError(
            f"the attack is a {type(given).__name__}, which is a model; the attack comes first: attack('pgd', model, ...)"
        )
    if isinstance(given, type) or not (dataclasses.is_dataclass(given) and isinstance(given, Callable)):  # type: ignore[arg-type]
        name = getattr(given, "__name__", "")
        mend = (
            f"did you forget to call it, as in {_called(name)}()?" if name else "give brittle.pgd() or 'pgd:steps=40'"
        )
        raise InputError(f"{name or type(given).__name__!r} is not an attack value; {mend}")
    return given  # type: ignore[return-value]


def _called(name: str) -> str:
    """Under which name it is public: classes go by their attack's."""
    return f"brittle.{next((public for public, entry in ATTACKS.items() if entry.recipe.__name__ == name), name)}"


def as_batch(given: object, dtype: torch.dtype, what: str = "inputs") -> Tensor:
    """A tensor as it is; an array or nested list, which has no precision of its own to keep, as floats of `dtype`."""
    if isinstance(given, Tensor):
        return given
    found = _tensor(given, f"the {what}")
    return found.to(dtype) if found.is_floating_point() else found


def as_indices(given: object, what: str) -> Tensor:
    """Whole numbers as a tensor."""
    if given is None:
        raise InputError(
            f"the {what} are None; give one class index a sample, such as the model's own: model(x).argmax(1)"
        )
    return given if isinstance(given, Tensor) else _tensor(given, f"the {what}")


def _tensor(given: object, what: str) -> Tensor:
    if not isinstance(given, np.ndarray | np.generic | list | tuple | range):
        raise InputError(f"{what} are a {type(given).__name__}; give a tensor, an array or a list")
    try:
        return torch.as_tensor(np.asarray(given))
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} cannot be made a tensor ({error}); give numbers, samples of one shape") from None
