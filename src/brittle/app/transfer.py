"""`brittle.transfer`: what is crafted on some networks, tried on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..attacks import GradientAscent, parse_attack
from ..attacks.directions import Admix, Pictures
from ..attacks.directions.role import Place
from ..attacks.fixed.noise import Noise
from ..core.bounds import Bounds, Given, clamped
from ..core.goal import Classify
from ..core.judge import judge
from ..core.problem import Attack, Threat
from ..core.recording import recording
from ..core.streams import Streams
from ..core.victim import Victim, as_victim
from ..data.samples import Samples, as_data
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..report.shares import Share, share
from ..threats import as_threat
from ..victims.ensemble import ensemble
from ..victims.preprocess import as_taken
from .attack import attack as run_attack
from .progress import Progress, progress_bar
from .trying import try_out

Model = Victim | nn.Module | Callable[[Tensor], Tensor]
NOISE, SHUFFLED = "uniform noise", "shuffled"
POOL = 32  # pictures that admix chooses from


@dataclass(frozen=True)
class Row:
    """What one attack did on one or more surrogates: `wrong` by network, of the same images for all.

    Wrong is what the adversary wants: taken for any class but its own, or, targeted, for the class drawn for it.
    """

    surrogates: tuple[str, ...]  # several: crafted on their ensemble; none for noise
    attack: str
    wrong: dict[str, Share]
    forwards: float  # charged to the surrogates, a sample: each network's passes count
    backwards: float
    ensemble: str = ""  # how the outputs of several were put together: `logits` or `probabilities`


@dataclass(frozen=True)
class Matrix:
    """The rates of `brittle.transfer`, each a share of the images that every network gets right."""

    threat: str
    eps: float
    seen: int  # images looked at
    images: tuple[int, ...]  # ids of those that count
    networks: tuple[str, ...]
    rows: tuple[Row, ...]
    wanted: tuple[int, ...] = ()  # targeted: the class that each image should be taken for

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        rows = [
            {
                "surrogates": list(row.surrogates),
                "attack": row.attack,
                "wrong": {
                    name: {"count": one.count, "n": one.n, "rate": one.value, "low": one.low, "high": one.high}
                    for name, one in row.wrong.items()
                },
                "forwards": row.forwards,
                "backwards": row.backwards,
                "ensemble": row.ensemble,
            }
            for row in self.rows
        ]
        return {
            "threat": self.threat,
            "eps": self.eps,
            "seen": self.seen,
            "images": list(self.images),
            "wanted": list(self.wanted),
            "networks": list(self.networks),
            "rows": rows,
        }


@recording
def transfer(
    surrogates: Mapping[str, Model],
    targets: Mapping[str, Model],
    data: object,
    threat: str | Threat,
    *,
    attacks: Sequence[str] | Mapping[str, Attack] = ("mifgsm", "mifgsm+di+ti"),
    ensembles: Sequence[str] = ("logits",),
    targeted: bool = False,
    samples: int | None = None,
    bounds: Given | None = None,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> Matrix:
    """How often what fools a surrogate fools the targets, on images that all of them get right; mistakes are never a success.

    surrogates, targets: networks by name; several surrogates are attacked one by one and together, in each of the ways of `ensembles`
    (`logits`, `probabilities`: what is averaged). attacks: by their strings or values; see docs/transfer.md. One that puts gradients of
    several networks together (losses, svre, cwa, adaea) is crafted on the ensembles alone. targeted: each image should be taken for
    a class drawn for it, not its own, in place of any but its own. samples: how many images that all get right are wanted at most.
    Pictures of a folder are framed as the first surrogate takes them.
    Beside them stand the two baselines that an attack must beat: uniform noise of the threat's size, and for each surrogate the first
    attack's perturbation with its pixels shuffled. Raises InputError where no image is right for all.
    """
    check_counts(samples=samples, batch_size=batch_size)
    check_seed(seed)
    threat = as_threat(threat)
    if not surrogates or not targets:
        raise InputError("transfer needs a surrogate and a target; name at least one of each")
    source = as_data(data, bounds or (0.0, 1.0))
    edges = bounds or source.bounds
    victims = {name: as_victim(model, edges) for name, model in {**surrogates, **targets}.items()}
    named = attacks if isinstance(attacks, Mapping) else {text: parse_attack(text) for text in attacks}
    planned = _planned({name: victims[name] for name in surrogates}, ensembles, named)
    source = as_taken(source, victims[next(iter(surrogates))])
    for victim in victims.values():
        try_out(victim, source)
    ids, seen = _right(victims, source, samples, batch_size)
    x, labels = source.batch(ids)
    others = [one for one in range(len(source)) if one not in set(ids)][:POOL] or ids[:POOL]
    pool = Pictures.of(source.batch(others)[0])
    kept = torch.tensor(ids)
    wanted = drawn(labels.long(), kept, _classes(victims[next(iter(victims))], x), seed) if targeted else None
    run = _Run(victims, threat, x, labels.long(), wanted, kept, seed, batch_size)
    rows = [run.row((), NOISE, *run.crafted(Noise(), victims[next(iter(surrogates))]))]
    begun: set[_Bench] = set()
    with progress_bar(progress) as advance:
        for done, (bench, name, attack) in enumerate(planned, 1):
            made, forwards, backwards = run.crafted(_supplied(attack, pool), bench.victim)
            rows.append(run.row(bench.surrogates, name, made, forwards, backwards, bench.ensemble))
            if bench not in begun:
                moved = shuffled(x, made, run.ids, seed, bench.victim.bounds)
                rows.append(run.row(bench.surrogates, f"{name}, {SHUFFLED}", moved, 0.0, 0.0, bench.ensemble))
                begun.add(bench)
            if advance is not None:
                advance(done, len(planned), name)
    found = () if wanted is None else tuple(wanted.tolist())
    return Matrix(threat.name, float(threat.eps), seen, tuple(ids), tuple(victims), tuple(rows), found)


def shuffled(x: Tensor, x_adv: Tensor, ids: Tensor, seed: int, bounds: Bounds = (0.0, 1.0)) -> Tensor:
    """x (B, *S) with the same perturbation, its pixels in random places: as large in any norm, but for what the bounds cut off.

    A pixel's channels stay together. Text-book baseline: an attack that transfers does so by where it changes what.
    """
    delta = (x_adv - x).flatten(2) if x.ndim > 2 else (x_adv - x)[:, None]
    order = Streams.seeded(seed, ids).fork(_SHUFFLE).uniform((delta.shape[2],)).argsort(1)
    moved = delta.gather(2, order[:, None].expand_as(delta).to(delta.device)).view_as(x)
    return clamped(x + moved, *bounds)


def drawn(labels: Tensor, ids: Tensor, classes: int, seed: int) -> Tensor:
    """For each sample a class other than its own (B,) int64, all as likely, from its own stream."""
    number = Streams.seeded(seed, ids).fork(_TARGET).uniform((1,)).squeeze(1).double()
    return (labels + 1 + (number * (classes - 1)).long()) % classes


_SHUFFLE, _TARGET = 91, 92  # the tags of their streams


@dataclass(frozen=True, eq=False)
class _Bench:
    """What examples are crafted on."""

    surrogates: tuple[str, ...]
    victim: Victim
    ensemble: str = ""


def _planned(
    surrogates: Mapping[str, Victim], ensembles: Sequence[str], attacks: Mapping[str, Attack]
) -> list[tuple[_Bench, str, Attack]]:
    """What is crafted: every attack on each surrogate, and of several on their ensemble in each of the ways; some on these alone."""
    alone = [_Bench((name,), victim) for name, victim in surrogates.items()]
    together = [_Bench(tuple(surrogates), ensemble(list(surrogates.values()), by), by) for by in ensembles]
    several = {name for name, attack in attacks.items() if _of_several(attack)}
    if len(alone) == 1 and several:
        raise InputError(
            f"{min(several)} puts the gradients of several networks together and there is one surrogate, {alone[0].victim.name}; "
            "name two surrogates or more"
        )
    benches = [*alone, *together] if len(alone) > 1 else alone
    return [
        (bench, name, attack)
        for bench in benches
        for name, attack in attacks.items()
        if bench.ensemble or name not in several
    ]


def _of_several(attack: Attack) -> bool:
    """Whether it puts the gradients of several networks together."""
    return isinstance(attack, GradientAscent) and any(one.place is Place.NETWORKS for one in attack.directions)


@torch.no_grad()
def _classes(victim: Victim, x: Tensor) -> int:
    return victim(x[:1].to(victim.device, victim.dtype)).shape[1]


def _right(
    victims: Mapping[str, Victim], source: Samples, wanted: int | None, batch_size: int
) -> tuple[list[int], int]:
    """Ids that every network gets right, and how many images were looked at."""
    ids: list[int] = []
    seen, most = 0, len(source) if wanted is None else wanted
    while seen < len(source) and len(ids) < most:
        batch = list(range(seen, min(seen + batch_size, len(source))))
        x, labels = source.batch(batch)
        right = torch.ones(len(batch), dtype=torch.bool)
        with torch.no_grad():
            for victim in victims.values():
                right &= victim(x.to(victim.device, victim.dtype)).argmax(1).cpu() == labels
        ids += [one for one, good in zip(batch, right.tolist(), strict=True) if good]
        seen = batch[-1] + 1
    if not ids:
        raise InputError(
            f"none of {seen} images is right for all of {', '.join(victims)}; check labels, bounds and class order with `brittle diagnose`"
        )
    return ids[:most], seen


def _supplied(attack: Attack, pool: Pictures) -> Attack:
    """The attack, its admix with pictures of the data where it has none."""
    if not isinstance(attack, GradientAscent):
        return attack
    directions = tuple(
        replace(one, pictures=pool) if isinstance(one, Admix) and one.pictures is None else one
        for one in attack.directions
    )
    return replace(attack, directions=directions)


@dataclass(frozen=True, eq=False)
class _Run:
    """What is the same for all rows."""

    victims: Mapping[str, Victim]
    threat: Threat
    x: Tensor
    labels: Tensor
    wanted: Tensor | None
    ids: Tensor
    seed: int
    batch_size: int

    def crafted(self, attack: Attack, victim: Victim) -> tuple[Tensor, float, float]:
        """x_adv (B, *S), and the mean forwards and backwards charged."""
        x = self.x.to(victim.dtype)
        outcome = run_attack(
            attack,
            victim,
            x,
            self.labels,
            self.threat,
            targets=self.wanted,
            seed=self.seed,
            ids=self.ids,
            batch_size=self.batch_size,
        )
        forwards, backwards = (float(count.double().mean()) for count in (outcome.forwards, outcome.backwards))
        return outcome.x_adv.to(self.x.dtype), forwards, backwards

    def row(
        self,
        surrogates: tuple[str, ...],
        name: str,
        made: Tensor,
        forwards: float,
        backwards: float,
        ensemble: str = "",
    ) -> Row:
        wrong = {one: self.wrong(made, victim) for one, victim in self.victims.items()}
        return Row(surrogates, name, wrong, forwards, backwards, ensemble)

    def wrong(self, made: Tensor, victim: Victim) -> Share:
        """How many the network takes for what the adversary wants, and are feasible, by the judge."""
        won, goal = (
            0,
            Classify(self.labels.to(victim.device), None if self.wanted is None else self.wanted.to(victim.device)),
        )
        for start in range(0, len(made), self.batch_size):
            rows = slice(start, start + self.batch_size)
            x, point = (one[rows].to(victim.device, victim.dtype) for one in (self.x, made))
            region = self.threat.around(x, victim.lower, victim.upper)
            won += int(judge(victim, region, goal.select(rows), region.point(point)).success.sum())
        return share(won, len(made))
