"""`brittle.diagnose`: reasons not to believe what attacks say of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..core.bounds import Given, as_bounds, limits
from ..core.problem import Threat
from ..core.recording import recording
from ..core.victim import Victim, as_victim
from ..data.samples import as_data
from ..diagnosis.diagnose import MOST, Diagnosis, diagnose_victim
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..threats import as_threat
from ..victims.open import open_victim
from ..victims.preprocess import as_taken
from .asking import crowd
from .trying import explained

CROWD = 2000  # further samples, for what a few cannot show


@recording
def diagnose(
    model: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    threat: str | Threat,
    *,
    samples: int = 32,
    dear: bool = False,
    seed: int = 0,
    bounds: Given | None = None,
    device: str | None = None,
    trust: bool = False,
    output: str | int | None = None,
) -> Diagnosis:
    """Find out whether attacks by gradient can be believed on `model` under `threat`, and if not, why and what to do.

    model: a module (in training mode too), callable, Victim or VICTIM string. data: a pair (x, labels), Dataset, DataLoader or DATA string;
    its first `samples`, at most 64, are looked at, and more of it where a few cannot show something. dear: checks too that cost
    minutes. bounds: the model's input range (default: the data's). output: as in `brittle.attack`.
    """
    check_counts(samples=samples)
    check_seed(seed)
    if samples > MOST:
        raise InputError(f"samples={samples} is out of range; a diagnosis looks at 1 to {MOST}")
    threat = as_threat(threat)
    given = as_data(data, widened(data, bounds or (0.0, 1.0)))
    victim = open_as_it_is(
        model, bounds or ((0.0, 1.0) if isinstance(data, tuple | list) else given.bounds), device, trust, output
    )
    given = as_taken(given, victim)
    few = min(samples, len(given))
    x, labels = given.batch(range(few))
    threat.around(x[:1], victim.lower, victim.upper)
    with explained(victim, x):
        return diagnose_victim(victim, x, labels, threat, others=crowd(given, few, CROWD), dear=dear, seed=seed)


def open_as_it_is(
    model: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    bounds: Given,
    device: str | None = None,
    trust: bool = False,
    output: str | int | None = None,
) -> Victim:
    """The victim, also where the module is in training mode, which is then kept in a copy of it."""
    if isinstance(model, str):
        return open_victim(model, device=device, trust=trust, bounds=bounds, output=output)
    if not isinstance(model, nn.Module) or not any(module.training for module in model.modules()):
        return as_victim(model, bounds, device, output=output)
    victim = as_victim(copy.deepcopy(model).eval(), bounds, device)
    module = copy.deepcopy(model).to(victim.device)
    victim = replace(victim, forward=module, module=module)
    return victim if output is None else victim.reading(output)


def widened(data: object, bounds: Given) -> Given:
    """The bounds, or what the values of a pair (x, labels) span where that is more: a finding, here, and no reason to refuse."""
    if not (
        isinstance(data, tuple | list)
        and len(data) == 2
        and isinstance(data[0], Tensor)
        and data[0].is_floating_point()
    ):
        return bounds
    if not len(data[0]) or not bool(data[0].isfinite().all()):
        return bounds
    x, (lower, upper) = data[0], as_bounds(bounds)
    if isinstance(lower, float) and isinstance(upper, float):
        return min(lower, float(x.min())), max(upper, float(x.max()))
    low, high = limits(x, lower, upper)
    return torch.minimum(low[0], x.amin(0)), torch.maximum(high[0], x.amax(0))
