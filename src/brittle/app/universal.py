"""`brittle.universal`: one perturbation for all inputs, crafted once and replayed on others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attacks.combine.replay import Replay
from ..core.bounds import Given
from ..core.checks import check_inputs, check_labels, check_logits
from ..core.goal import Classify
from ..core.losses import find_loss
from ..core.problem import Threat
from ..core.recording import recording
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..data.samples import Samples, as_data
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..threats import as_threat
from ..victims.preprocess import as_taken
from .trying import answers_to

Rise = Callable[[Tensor, Tensor, Tensor], Tensor]  # (outputs (B, C), labels (B,), ids) -> (B,), to be ascended


@recording
def universal(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    threat: str | Threat,
    *,
    targets: int | None = None,
    samples: int | None = None,
    epochs: int = 10,
    step_size: float | None = None,
    momentum: float = 0.9,
    loss: str | None = None,
    batch_size: int = 32,
    bounds: Given = (0.0, 1.0),
    seed: int = 0,
    output: str | int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Replay:
    """The perturbation of the threat's size that fools the model on most of `data`; an attack to be tried on other data.

    Moosavi-Dezfooli et al., CVPR 2017, arXiv:1610.08401, pose the problem and solve it by DeepFool, image after image; this ascends the
    summed loss of batches instead (Shafahi et al., AAAI 2020, arXiv:1811.11304, algorithm 2), which needs fewer passes and takes targets.
    The step (default radius / 5) falls to zero. momentum: in [0, 1), by which a step follows the gradients before it too, each in units
    of its mean size.

    loss: a registered one; by default cross_entropy towards a target, and without one `turned`, which rises on inputs that are fooled
    already too. What stops at the boundary of each (a margin, a clipped loss) learns the samples by heart and fools few others.

    data: what `brittle.evaluate` takes; `samples`: the first so many. targets: the class that all should be taken for. threat: a norm ball;
    the perturbed input is clipped to the bounds. output: as in `brittle.attack`. Cost: epochs x (1 forward + 1 backward) a
    sample, and 1 forward for `turned`.
    """
    check_counts(epochs=epochs, batch_size=batch_size, samples=samples)
    check_seed(seed)
    threat = as_threat(threat)
    victim = as_victim(model, bounds, output=output)
    source = as_taken(as_data(data, bounds), victim)
    answers_to(victim, source)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    count = len(source) if samples is None else min(len(source), samples)
    clean = torch.zeros(1, *source.shape, dtype=victim.dtype, device=victim.device)
    wide = victim.width
    region = threat.around(clean, -wide, wide)
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
        rise = _rise(victim, source, count, targets, loss, batch_size)
        for _ in range(epochs):
            for ids in torch.split(torch.randperm(count, generator=order), batch_size):
                gradient = _gradient(victim, source, ids, delta, rise)
                followed = momentum * followed + gradient / gradient.abs().mean().clamp_min(
                    torch.finfo(gradient.dtype).tiny
                )
                delta = region.project(region.ascend(delta, followed, first * (1 - taken / total)))
                taken += 1
                if progress is not None:
                    progress(taken, total, "universal perturbation")
    return Replay.of(delta[0])


def turned(outputs: Tensor, clean: Tensor) -> Tensor:  # (B, C), (B, C) -> (B,)
    """Minus the cosine between outputs and those for the clean inputs. Zhang et al., Data-free Universal Adversarial
    Perturbation and Black-box Attack, ICCV 2021.

    Two outputs of which one is minus the other know no angles between 0 and 180 degrees: of two, minus their inner product.
    """
    if outputs.shape[1] == 2:
        return -(outputs * F.normalize(clean)).sum(1)
    return -F.cosine_similarity(outputs, clean)


def _rise(victim: Victim, source: Samples, count: int, targets: int | None, loss: str | None, batch_size: int) -> Rise:
    if loss is None and targets is None:
        batches = torch.split(torch.arange(count), batch_size)
        with torch.no_grad():
            own = torch.cat([_outputs(victim, _inputs(victim, source, ids)[0]) for ids in batches])
        return lambda outputs, labels, ids: turned(outputs, own[ids])
    ascended = find_loss(loss or "cross_entropy")

    def rise(outputs: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        wanted = None if targets is None else torch.full_like(labels, targets)
        if wanted is not None:
            check_labels(wanted, len(labels), outputs.shape[1], "targets")
        return ascended(outputs, Classify(labels, wanted))

    return rise


def _gradient(victim: Victim, source: Samples, ids: Tensor, delta: Tensor, rise: Rise) -> Tensor:
    """Of what rises, summed over the samples, with respect to the perturbation (1, *S)."""
    x, labels = _inputs(victim, source, ids)
    asked = delta.clone().requires_grad_()
    with torch.enable_grad():
        outputs = _outputs(victim, victim.clamp(x + asked))
        check_labels(labels, len(x), outputs.shape[1])
        total = rise(outputs, labels, ids).sum()
    (gradient,) = torch.autograd.grad(total, asked)
    return torch.nan_to_num(gradient, nan=0.0)


def _inputs(victim: Victim, source: Samples, ids: Tensor) -> tuple[Tensor, Tensor]:
    x, labels = source.batch(ids.tolist())
    check_inputs(x.to(victim.dtype), victim)
    return x.to(victim.device, victim.dtype), labels.long().to(victim.device)


def _outputs(victim: Victim, x: Tensor) -> Tensor:
    return check_logits(victim(x), len(x))
