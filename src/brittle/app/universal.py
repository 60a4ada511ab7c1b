"""`brittle.universal`: one perturbation for all inputs, crafted once and replayed on others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attacks.combine.replay import Replay
from ..core.checks import check_inputs, check_labels, check_logits
from ..core.goal import Classify
from ..core.losses import find_slope
from ..core.problem import Threat
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..data.samples import Samples, as_data
from ..errors import InputError
from ..victims.preprocess import as_taken


def universal(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    threat: Threat,
    *,
    targets: int | None = None,
    samples: int | None = None,
    epochs: int = 10,
    step_size: float | None = None,
    momentum: float = 0.0,
    loss: str = "cross_entropy",
    batch_size: int = 128,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Replay:
    """The perturbation of the threat's size that fools the model on most of `data`; an attack to be tried on other data.

    Moosavi-Dezfooli et al., CVPR 2017, arXiv:1610.08401, pose the problem and solve it by DeepFool, image after image; this ascends the
    summed loss of batches instead (Shafahi et al., AAAI 2020, arXiv:1811.11304, algorithm 2), which needs fewer passes and takes targets.
    A sample that is fooled already adds nothing, in place of the paper's clipped loss. The step (default radius / 5) falls to zero.
    momentum: in [0, 1), by which a step follows the gradients before it too, each in units of its mean size; 0.9 where there are few steps.

    data: what `brittle.evaluate` takes; `samples`: the first so many. targets: the class that all should be taken for. threat: a norm ball;
    the perturbed input is clipped to the bounds. Cost: epochs x (1 forward + 1 backward) a sample.
    """
    victim = as_victim(model, bounds)
    source = as_taken(as_data(data), victim)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    count = min(len(source), samples or len(source))
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("samples", count)):
        if value < 1:
            raise InputError(f"{name}={value} leaves nothing to learn from; give 1 or more")
    clean = torch.zeros(1, *source.shape, dtype=victim.dtype, device=victim.device)
    wide = victim.upper - victim.lower
    region, slope = threat.around(clean, -wide, wide), find_slope(loss)
    if region.origin.shape != clean.shape:
        raise InputError(
            f"the threat {threat.name} is no norm ball; a universal perturbation needs one, such as linf:10/255"
        )
    if not 0 <= momentum < 1:
        raise InputError(f"momentum={momentum:g} is out of range; give 0 or more and less than 1")
    first = region.radius / 5 if step_size is None else torch.full_like(region.radius, step_size)
    order, delta, followed = torch.Generator().manual_seed(seed), clean.clone(), torch.zeros_like(clean)
    total, taken = epochs * -(-count // batch_size), 0
    with victim.undisturbed(seed):
        for _ in range(epochs):
            shuffled = torch.randperm(count, generator=order)
            for start in range(0, count, batch_size):
                ids = shuffled[start : start + batch_size].tolist()
                gradient = _gradient(victim, source, ids, delta, slope, targets)
                followed = momentum * followed + gradient / gradient.abs().mean().clamp_min(
                    torch.finfo(gradient.dtype).tiny
                )
                delta = region.project(region.ascend(delta, followed, first * (1 - taken / total)))
                taken += 1
                if progress is not None:
                    progress(taken, total, "universal perturbation")
    return Replay.of(delta[0])


def _gradient(
    victim: Victim, source: Samples, ids: list[int], delta: Tensor, slope: Callable[..., Tensor], targets: int | None
) -> Tensor:
    """Of the loss, summed over the samples that are not fooled yet, with respect to the perturbation (1, *S)."""
    x, labels = source.batch(ids)
    x, labels = x.to(victim.dtype), labels.long().to(victim.device)
    check_inputs(x, victim)
    asked = delta.clone().requires_grad_()
    with torch.enable_grad():
        outputs = check_logits(victim((x.to(victim.device) + asked).clamp(victim.lower, victim.upper)), len(x))
    check_labels(labels, len(x), outputs.shape[1])
    wanted = None if targets is None else torch.full_like(labels, targets)
    if wanted is not None:
        check_labels(wanted, len(x), outputs.shape[1], "targets")
    goal, seen = Classify(labels, wanted), outputs.detach()
    weight = slope(seen, goal) * (goal.margin(seen) <= 0)[:, None]
    (gradient,) = torch.autograd.grad(outputs, asked, weight)
    return torch.nan_to_num(gradient, nan=0.0)
