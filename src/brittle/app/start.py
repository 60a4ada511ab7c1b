"""`brittle.transfer_start`: an attack on a model that only answers, begun at what fools a surrogate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attacks import TransferStart, parse_attack
from ..core.bounds import Given, as_bounds
from ..core.problem import Attack
from ..core.recording import recording
from ..core.victim import Victim, as_victim
from ..victims.named import NamedVictim


@recording
def transfer_start(
    surrogate: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    then: str | Attack,
    *,
    first: str | Attack = "mifgsm",
    reach: float = 1.0,
    bounds: Given = (0.0, 1.0),
    device: torch.device | str | None = None,
    trust: bool = False,
    output: str | int | None = None,
) -> TransferStart:
    """The attack `then`, begun where `first` ends on the surrogate, at `reach` times the radius; see `TransferStart`.

    surrogate: a VICTIM string, which a plan can hold, or any model with gradients. bounds: of its inputs; they must be the model's.
    output: of the surrogate, as in `brittle.attack`.
    """
    opened: Victim | NamedVictim = (
        NamedVictim.of(surrogate, device=device, trust=trust, bounds=as_bounds(bounds), output=output)
        if isinstance(surrogate, str)
        else as_victim(surrogate, bounds, device, output=output)
    )
    attacks = [parse_attack(one) if isinstance(one, str) else one for one in (first, then)]
    return TransferStart(surrogate=opened, first=attacks[0], then=attacks[1], reach=reach)
