"""Several networks as one victim: what transfer attacks craft on when they have more than one surrogate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor, nn

from ..core.access import Access
from ..core.ensemble import Ensemble, Together
from ..core.victim import Victim
from ..errors import InputError


def logits(answers: Tensor, shares: Tensor) -> Tensor:
    """The mean of the outputs (K, B, C), in shares (B, K)."""
    return (answers * shares.T[:, :, None]).sum(0)


def probabilities(answers: Tensor, shares: Tensor) -> Tensor:
    """The logarithm of the mean of the probabilities of outputs (K, B, C), in shares (B, K)."""
    return (answers.log_softmax(2) + shares.log().T[:, :, None]).logsumexp(0)


WAYS: dict[str, Together] = {"logits": logits, "probabilities": probabilities}


def ensemble(victims: Sequence[Victim], by: str = "logits") -> Victim:
    """The victims as one, with equal shares. Dong et al., CVPR 2018, arXiv:1710.06081, section 3.3.

    by: `logits`, the mean of their outputs, or `probabilities`, the logarithm of the mean of their probabilities. The paper's third
    way, the mean of their losses, is no answer to an input: an attack makes it of the members, with the direction `losses`.
    Cost: one forward of an ensemble of K networks is charged as K, for K passes are made; so is a backward.
    They must agree about bounds, device and type.
    """
    if not victims:
        raise InputError("an ensemble of no networks answers nothing; give one or more")
    if by not in WAYS:
        raise InputError(
            f"{by!r} is no way to put networks together: give {' or '.join(WAYS)}; the mean of losses is a direction, as in "
            "mifgsm+losses"
        )
    first = victims[0]
    for one in victims[1:]:
        for fact in ("lower", "upper", "device", "dtype"):
            if getattr(one, fact) != getattr(first, fact):
                raise InputError(
                    f"{first.name} has {fact} {getattr(first, fact)} and {one.name} {getattr(one, fact)}; "
                    "an ensemble needs networks that agree in that"
                )
    modules = [victim.module for victim in victims if victim.module is not None]
    return Victim(
        Ensemble(tuple(victims), WAYS[by]),
        first.lower,
        first.upper,
        "+".join(victim.name for victim in victims),
        hashlib.sha256(" ".join([by, *(victim.digest for victim in victims)]).encode()).hexdigest()[:32],
        nn.ModuleList(modules).eval() if modules else None,
        first.device,
        max((victim.access for victim in victims), key=list(Access).index),  # no more than the least of them gives
        first.shape,
        first.classes,
        ", ".join(dict.fromkeys(victim.hidden for victim in victims if victim.hidden)),
        "; ".join(f"{victim.name}: {victim.because}" for victim in victims if victim.because),
    )
