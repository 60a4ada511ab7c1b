"""`brittle.fool`: inputs made from noise that a model takes for a class of your choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..attacks.fixed.recipes import repeated_fgsm
from ..core.bounds import Given
from ..core.problem import Attack, Threat
from ..core.recording import recording
from ..core.streams import Streams
from ..core.victim import Victim, as_victim
from ..errors import InputError
from ..threats import box
from .attack import Outcome
from .attack import attack as run_attack


@recording
def fool(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    targets: Sequence[int],
    shape: Sequence[int],
    *,
    confidence: float | None = 0.99,
    attack: Attack | None = None,
    threat: str | Threat | None = None,
    bounds: Given = (0.0, 1.0),
    seed: int = 0,
    output: str | int | None = None,
) -> Outcome:
    """Inputs (len(targets), *shape) from uniform noise that the model takes for `targets`, with at least `confidence`.

    Nguyen et al., CVPR 2015, arXiv:1412.1897 ("fooling images", by gradient ascent, section 3.4); with `attack=input_optimisation(...)`
    and confidence=None the class's output is maximised instead (Simonyan et al. 2014, arXiv:1312.6034). attack: by default signed steps
    of 1/255 of the input range until reached, at most 500. threat: how far from the noise one may go, by default anywhere in the bounds.
    output: as in `brittle.attack`.
    """
    victim = as_victim(model, bounds, output=output)
    if not len(targets):
        raise InputError("targets are empty; name one class or more, as in targets=[3, 5]")
    wide = victim.width
    attack = repeated_fgsm(steps=500, step_size=wide / 255) if attack is None else attack
    ids = torch.arange(len(targets))
    x, wanted = random_inputs(victim, len(ids), shape, seed), torch.as_tensor(targets)
    with torch.no_grad():
        outputs = victim(x.to(victim.device)).cpu()
    if outputs.ndim != 2 or not (int(wanted.min()) >= 0 and int(wanted.max()) < outputs.shape[1]):
        raise InputError(f"targets={list(targets)} are not all among the model's classes, 0 to {outputs.shape[-1] - 1}")
    labels = outputs.scatter(1, wanted[:, None], -torch.inf).argmax(1)  # noise has no true class: what it is taken for
    return run_attack(
        attack, victim, x, labels, threat or box(), targets=wanted, confidence=confidence, seed=seed, ids=ids
    )


def random_inputs(victim: Victim, count: int, shape: Sequence[int], seed: int) -> Tensor:
    """(count, *shape), uniform in the victim's bounds: what `fool` begins from."""
    streams = Streams.seeded(seed, torch.arange(count)).fork(_NOISE)
    return victim.between(streams.uniform(tuple(shape), victim.dtype))


_NOISE = 77  # the tag of the streams that make the noise, so that the attack's own are others
