"""Several networks as one victim: what transfer attacks craft on when they have more than one surrogate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core.access import Access
from ..core.victim import Victim
from ..errors import InputError


def ensemble(victims: Sequence[Victim]) -> Victim:
    """The mean of the victims' outputs, with equal weights. Dong et al., CVPR 2018, arXiv:1710.06081, section 3.3, "ensemble in logits".

    They must agree about bounds, device and type. Other ways to put surrogates together by their outputs are such victims too.
    """
    if not victims:
        raise InputError("an ensemble of no networks answers nothing; give one or more")
    first = victims[0]
    for one in victims[1:]:
        for fact in ("lower", "upper", "device", "dtype"):
            if getattr(one, fact) != getattr(first, fact):
                raise InputError(
                    f"{first.name} has {fact} {getattr(first, fact)} and {one.name} {getattr(one, fact)}; "
                    "an ensemble needs networks that agree in that"
                )

    def forward(x: Tensor) -> Tensor:
        outputs = [victim(x) for victim in victims]
        counts = {answer.shape[1] for answer in outputs}
        if len(counts) > 1:
            raise InputError(
                f"the networks have {' and '.join(map(str, sorted(counts)))} classes; an ensemble needs the same"
            )
        return torch.stack(outputs).mean(0)

    modules = [victim.module for victim in victims if victim.module is not None]
    return Victim(
        forward,
        first.lower,
        first.upper,
        "+".join(victim.name for victim in victims),
        hashlib.sha256(" ".join(victim.digest for victim in victims).encode()).hexdigest()[:32],
        nn.ModuleList(modules).eval() if modules else None,
        first.device,
        max((victim.access for victim in victims), key=list(Access).index),  # no more than the least of them gives
        first.shape,
        first.classes,
    )
