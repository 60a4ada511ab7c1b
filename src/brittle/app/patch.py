"""`brittle.patch`: one patch that is taken for a class wherever it lies, on whatever picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attacks.combine.patch import Patch, paste
from ..core.bounds import Given
from ..core.checks import check_inputs, check_labels, check_logits
from ..core.goal import Classify
from ..core.losses import find_slope
from ..core.recording import recording
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..data.samples import as_data
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..victims.preprocess import as_taken
from .trying import answers_to


@recording
def patch(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    target: int,
    *,
    round: bool = True,
    side: tuple[float, float] = (0.4, 0.5),
    angle: float = 20.0,
    samples: int | None = None,
    steps: int = 100,
    step_size: float = 0.05,
    loss: str = "cross_entropy",
    batch_size: int = 16,
    bounds: Given = (0.0, 1.0),
    seed: int = 0,
    output: str | int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Patch:
    """A patch that makes pictures `target`, made on `data`; an attack to be tried on other pictures, under the threat `box()`.

    Brown et al. 2017, arXiv:1712.09665: the expected log probability of the target, over pictures, places, sizes and angles, is ascended
    from mid grey by Adam, whose step (`step_size`, a share of the input range) falls to zero. round, side, angle: see `Patch`.

    data: what `brittle.evaluate` takes, pictures (C, H, W); `samples`: the first so many. Their labels are not looked at. output: as in
    `brittle.attack`. Cost: steps x batch_size x (1 forward + 1 backward). Raises InputError, with one sentence, for what is out of range.
    """
    check_counts(steps=steps, batch_size=batch_size, samples=samples)
    check_seed(seed)
    victim = as_victim(model, bounds, output=output)
    source = as_taken(as_data(data, bounds), victim)
    answers_to(victim, source)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    if len(source.shape) != 3:
        raise InputError(f"the samples have shape {source.shape}; a patch needs pictures (C, H, W)")
    count = len(source) if samples is None else min(len(source), samples)
    if not step_size > 0:
        raise InputError(f"step_size={step_size:g} is no step; give a share of the input range above 0")
    span, slope = victim.width, find_slope(loss)
    width = max(1, int(side[1] * min(source.shape[1:]) + 0.5))
    grey = torch.full((source.shape[0], width, width), sum(victim.range) / 2, dtype=victim.dtype)
    Patch.of(grey, round=round, side=side, angle=angle)  # says what is out of range
    learnt = grey.to(victim.device).requires_grad_()
    optimiser = torch.optim.Adam([learnt], lr=step_size * span, maximize=True)
    random = torch.Generator().manual_seed(seed)
    with victim.undisturbed(seed), torch.enable_grad():
        for taken in range(steps):
            ids = torch.randperm(count, generator=random)[:batch_size].tolist()
            x = source.batch(ids)[0].to(victim.dtype)
            check_inputs(x, victim)
            where = torch.rand(len(x), 4, generator=random).to(victim.device, victim.dtype)
            stuck = paste(x.to(victim.device), learnt, where, round=round, side=side, angle=angle)
            outputs = check_logits(victim(stuck), len(x))
            wanted = torch.full((len(x),), target, device=outputs.device)
            check_labels(wanted, len(x), outputs.shape[1], "target")
            weight = slope(outputs.detach(), Classify(wanted, wanted)) / len(x)
            (gradient,) = torch.autograd.grad(outputs, learnt, weight)
            learnt.grad = torch.nan_to_num(gradient, nan=0.0)
            optimiser.param_groups[0]["lr"] = step_size * span * (1 - taken / steps)
            optimiser.step()
            learnt.data.clamp_(*victim.range)
            if progress is not None:
                progress(taken + 1, steps, "patch")
    return Patch.of(learnt, round=round, side=side, angle=angle)
