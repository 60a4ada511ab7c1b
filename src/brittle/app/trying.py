"""Whether a model takes the data at all, asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..core.checks import check_inputs, check_outputs
from ..core.drawn import differ
from ..core.victim import Victim
from ..data.samples import Samples
from ..errors import InputError
from .mistakes import failed


def try_out(victim: Victim, data: Samples, twice: bool = False) -> bool:
    """Ask the victim about the first few samples, so that what is wrong as a whole is said before a run begins: with what they get, and
    whether it has as many classes as the data. Whether, asked `twice`, it answers at random."""
    outputs, *again = _answers(victim, data, 2 if twice else 1)
    if outputs.shape[1] < len(data.classes):
        raise InputError(
            f"label {len(data.classes) - 1} of {data.name} is out of range: the model has {outputs.shape[1]} classes, "
            f"0 to {outputs.shape[1] - 1}"
        )
    return any(outputs.shape == other.shape and differ(outputs, other) for other in again)


def answers_to(victim: Victim, data: Samples) -> Tensor:
    """What the victim says to the first few samples, or to the first of them that it answers to. InputError where it answers to none."""
    return _answers(victim, data, 1)[0]


def _answers(victim: Victim, data: Samples, times: int) -> list[Tensor]:
    x, _ = data.batch(range(min(len(data), 8)))
    x = x.to(victim.dtype)
    check_inputs(x, victim)
    with torch.no_grad(), victim.undisturbed(0):
        return [_any_answer(victim, x, f"the samples of {data.name}") for _ in range(times)]


def _any_answer(victim: Victim, x: Tensor, what: str) -> Tensor:
    """The outputs for the batch, or for the first sample that has any; InputError where none has."""
    try:
        return check_outputs(victim(x.to(victim.device)), len(x))
    except InputError:
        raise
    except Exception as error:
        first = error
    for i in range(len(x)):
        try:
            return check_outputs(victim(x[i : i + 1].to(victim.device)), 1)
        except Exception:  # perhaps one bad sample: the run will find out which, and go on without it
            continue
    raise _refusal(first, victim, x, what) from first


@contextmanager
def explained(victim: Victim, x: Tensor) -> Iterator[None]:
    """What the model raises about inputs x (B, *S) becomes a sentence, with the form of inputs that it takes where a usual one is."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _refusal(error, victim, x, "the inputs") from error


def _refusal(error: Exception, victim: Victim, x: Tensor, what: str) -> InputError:
    told = failed(error, victim, x, 0)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    takes = f", it takes {victim.shape}" if victim.shape and victim.shape != tuple(x.shape[1:]) else ""
    mend = told.mend[:1].lower() + told.mend[1:].rstrip(".")
    return InputError(
        f"{victim.name} does not answer to {what}, of shape {tuple(x.shape[1:])} each{takes} ({reason}); {mend}"
    )
