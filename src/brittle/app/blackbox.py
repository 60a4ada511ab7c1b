"""`brittle.blackbox`: what an attack loses when the target's gradients are taken from it and another network's are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..attacks.fixed.noise import Noise
from ..attacks.fixed.recipes import ifgsm
from ..core.bounds import Given, plain
from ..core.goal import Classify
from ..core.judge import judge
from ..core.problem import Attack, Threat
from ..core.recording import recording
from ..core.victim import Victim, as_victim
from ..data.samples import as_data
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..report.blackbox import BLACK, NOISE, WHITE, Curve, Study
from ..threats import as_threat
from ..victims.preprocess import as_taken
from .attack import attack as run_attack
from .evaluate import FRACTIONS
from .progress import Progress, progress_bar
from .trying import try_out

Model = Victim | nn.Module | Callable[[Tensor], Tensor]


@recording
def blackbox(
    target: Model,
    surrogate: Model,
    data: object,
    threat: str | Threat,
    *,
    steps: Sequence[int] = (1, 5, 10, 20),
    grid: Sequence[float] | None = None,
    samples: int | None = None,
    bounds: Given | None = None,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> Study:
    """FGSM and I-FGSM with so many steps on the target and on a surrogate, and noise of the same size: how often the target stays right.

    threat: linf, l2 or l1; its eps is where the facts are read. grid: the sizes tried (default: from a quarter of eps to 1.5 times it).
    samples: so many, spread evenly over the data; all where it is None. A sample that the target gets wrong untouched stays wrong.
    Raises InputError for data, networks or sizes that do not fit.
    """
    check_counts(samples=samples, batch_size=batch_size)
    check_seed(seed)
    threat = as_threat(threat)
    source = as_data(data, bounds or (0.0, 1.0))
    aimed, other = (as_victim(model, bounds or source.bounds) for model in (target, surrogate))
    source = as_taken(source, aimed)
    for victim in (aimed, other):
        try_out(victim, source)
    counted = _steps(steps)
    ids = _spread(len(source), samples)
    x, labels = source.batch(ids)
    radii = _grid(threat, grid, x[:1], aimed)
    run = _Run(aimed, x, labels.long(), torch.tensor(ids), seed, batch_size)
    plan: list[tuple[str, int, Victim, Attack]] = [
        *((WHITE, count, aimed, ifgsm(count)) for count in counted),
        *((BLACK, count, other, ifgsm(count)) for count in counted),
        (NOISE, 0, aimed, Noise(kind="gaussian", fill=True)),
    ]
    curves, done, total = [], 0, len(plan) * len(radii)
    with progress_bar(progress) as advance:
        clean, surrogate_clean = run.right(x, threat, aimed), run.right(x, threat, other)
        for box, count, victim, attack in plan:
            rows = []
            for eps in radii:
                sized = threat.with_eps(eps)
                held = run.right(run.crafted(attack, victim, sized), sized, aimed)
                rows.append(tuple(a and b for a, b in zip(clean, held, strict=True)))
                done += 1
                if advance is not None:
                    advance(done, total, f"{box} {count}" if count else box)
            curves.append(Curve(box, count, tuple(rows)))
    return Study(
        target=aimed.name,
        surrogate=other.name,
        data=f"{source.name}, {len(x)} of {len(source)} samples",
        threat=threat.name,
        bounds=plain(aimed.bounds),
        eps=float(threat.eps),
        grid=radii,
        steps=counted,
        right=clean,
        surrogate_right=surrogate_clean,
        curves=tuple(curves),
    )


class _Run:
    """The samples, crafted on a network and judged on another."""

    def __init__(self, target: Victim, x: Tensor, labels: Tensor, ids: Tensor, seed: int, batch_size: int) -> None:
        self.target, self.x, self.labels, self.ids, self.seed, self.batch_size = (
            target,
            x,
            labels,
            ids,
            seed,
            batch_size,
        )

    def crafted(self, attack: Attack, victim: Victim, threat: Threat) -> Tensor:
        x, size = self.x.to(victim.dtype), self.batch_size
        return run_attack(attack, victim, x, self.labels, threat, seed=self.seed, ids=self.ids, batch_size=size).x_adv

    def right(self, made: Tensor, threat: Threat, victim: Victim) -> tuple[bool, ...]:
        """Not won by the judge, each: right still, or outside the threat."""
        won = []
        for start in range(0, len(made), self.batch_size):
            rows = slice(start, start + self.batch_size)
            x, point = (one[rows].to(victim.device, victim.dtype) for one in (self.x, made))
            region = threat.around(x, victim.lower, victim.upper)
            won.append(
                judge(victim, region, Classify(self.labels[rows].to(victim.device)), region.point(point)).success.cpu()
            )
        return tuple((~torch.cat(won)).tolist())


def _steps(steps: Sequence[int]) -> tuple[int, ...]:
    counted = tuple(sorted(set(steps)))
    if len(counted) < 2 or counted[0] < 1:
        raise InputError(
            f"steps={list(steps)} compare nothing; give two numbers or more from 1 on, such as 1, 5, 10, 20"
        )
    return counted


def _spread(total: int, wanted: int | None) -> list[int]:
    """Ids spread evenly over the data, whose classes may come one after another."""
    count = min(wanted or total, total)
    return [place * total // count for place in range(count)]


def _grid(threat: Threat, grid: Sequence[float] | None, x: Tensor, victim: Victim) -> tuple[float, ...]:
    """Ascending, with the threat's own eps; each is tried on an input."""
    if threat.with_eps(0.0) == threat:
        raise InputError(f"threat {threat.name} has no size to go through; give linf:8/255, l2:0.5 or l1:12")
    chosen = sorted({*(grid or (threat.eps * part for part in FRACTIONS)), threat.eps})
    for eps in chosen:
        threat.with_eps(eps).around(x, victim.lower, victim.upper)
    return tuple(map(float, chosen))
