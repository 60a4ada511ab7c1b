"""`brittle.transfer`: what is crafted on some networks, tried on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..attacks import GradientAscent, parse_attack
from ..attacks.directions import Admix, Pictures
from ..attacks.fixed.noise import Noise
from ..core.goal import Classify
from ..core.judge import judge
from ..core.problem import Attack, Threat
from ..core.streams import Streams
from ..core.victim import Victim, as_victim
from ..data.samples import Samples, as_data
from ..errors import InputError
from ..report.shares import Share, share
from ..threats import parse_threat
from ..victims.ensemble import ensemble
from ..victims.preprocess import as_taken
from .attack import attack as run_attack
from .progress import Progress, progress_bar

Model = Victim | nn.Module | Callable[[Tensor], Tensor]
NOISE, SHUFFLED = "uniform noise", "shuffled"
POOL = 32  # pictures that admix chooses from


@dataclass(frozen=True)
class Row:
    """What one attack did on one or more surrogates: `wrong` by network, of the same images for all."""

    surrogates: tuple[str, ...]  # several: crafted on their mean; none for noise
    attack: str
    wrong: dict[str, Share]
    forwards: float  # charged to the surrogate, a sample
    backwards: float


@dataclass(frozen=True)
class Matrix:
    """The rates of `brittle.transfer`, each a share of the images that every network gets right."""

    threat: str
    eps: float
    seen: int  # images looked at
    images: tuple[int, ...]  # ids of those that count
    networks: tuple[str, ...]
    rows: tuple[Row, ...]

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
            }
            for row in self.rows
        ]
        return {
            "threat": self.threat,
            "eps": self.eps,
            "seen": self.seen,
            "images": list(self.images),
            "networks": list(self.networks),
            "rows": rows,
        }


def transfer(
    surrogates: Mapping[str, Model],
    targets: Mapping[str, Model],
    data: object,
    threat: str | Threat,
    *,
    attacks: Sequence[str] | Mapping[str, Attack] = ("mifgsm", "mifgsm+di+ti"),
    samples: int | None = None,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> Matrix:
    """How often what fools a surrogate fools the targets, on images that all of them get right; mistakes are never a success.

    surrogates, targets: networks by name; of several surrogates there is a row for each and one for the mean of their outputs. attacks:
    untargeted, by their strings or values; see docs/transfer.md. samples: how many images that all get right are wanted at most. Pictures
    of a folder are framed as the first surrogate takes them.
    Beside them stand the two baselines that an attack must beat: uniform noise of the threat's size, and for each surrogate the first
    attack's perturbation with its pixels shuffled. Raises InputError where no image is right for all.
    """
    threat = parse_threat(threat) if isinstance(threat, str) else threat
    if not surrogates or not targets:
        raise InputError("transfer needs a surrogate and a target; name at least one of each")
    source = as_data(data, bounds or (0.0, 1.0))
    edges = bounds or source.bounds
    victims = {name: as_victim(model, edges) for name, model in {**surrogates, **targets}.items()}
    source = as_taken(source, victims[next(iter(surrogates))])
    ids, seen = _right(victims, source, samples, batch_size)
    x, labels = source.batch(ids)
    named = attacks if isinstance(attacks, Mapping) else {text: parse_attack(text) for text in attacks}
    others = [one for one in range(len(source)) if one not in set(ids)][:POOL] or ids[:POOL]
    pool = Pictures.of(source.batch(others)[0])
    crafting: dict[tuple[str, ...], Victim] = {(name,): victims[name] for name in surrogates}
    if len(surrogates) > 1:
        crafting[tuple(surrogates)] = ensemble(list(crafting.values()))
    run = _Run(victims, threat, x, labels.long(), torch.tensor(ids), seed, batch_size)
    first = next(iter(crafting.values()))
    rows = [run.row((), NOISE, *run.crafted(Noise(), first))]
    total, done = len(crafting) * len(named), 0
    with progress_bar(progress) as advance:
        for craftsmen, victim in crafting.items():
            for place, (name, attack) in enumerate(named.items()):
                made, forwards, backwards = run.crafted(_supplied(attack, pool), victim)
                rows.append(run.row(craftsmen, name, made, forwards, backwards))
                if place == 0:
                    moved = shuffled(x, made, run.ids, seed, (victim.lower, victim.upper))
                    rows.append(run.row(craftsmen, f"{name}, {SHUFFLED}", moved, 0.0, 0.0))
                done += 1
                if advance is not None:
                    advance(done, total, name)
    return Matrix(threat.name, float(threat.eps), seen, tuple(ids), tuple(victims), tuple(rows))


def shuffled(x: Tensor, x_adv: Tensor, ids: Tensor, seed: int, bounds: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """x (B, *S) with the same perturbation, its pixels in random places: as large in any norm, but for what the bounds cut off.

    A pixel's channels stay together. Text-book baseline: an attack that transfers does so by where it changes what.
    """
    delta = (x_adv - x).flatten(2) if x.ndim > 2 else (x_adv - x)[:, None]
    order = Streams.seeded(seed, ids).fork(_SHUFFLE).uniform((delta.shape[2],)).argsort(1)
    moved = delta.gather(2, order[:, None].expand_as(delta).to(delta.device)).view_as(x)
    return (x + moved).clamp(*bounds)


_SHUFFLE = 91  # the tag of its streams


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
    ids: Tensor
    seed: int
    batch_size: int

    def crafted(self, attack: Attack, victim: Victim) -> tuple[Tensor, float, float]:
        """x_adv (B, *S), and the mean forwards and backwards charged."""
        x = self.x.to(victim.dtype)
        outcome = run_attack(
            attack, victim, x, self.labels, self.threat, seed=self.seed, ids=self.ids, batch_size=self.batch_size
        )
        forwards, backwards = (float(count.double().mean()) for count in (outcome.forwards, outcome.backwards))
        return outcome.x_adv.to(self.x.dtype), forwards, backwards

    def row(self, surrogates: tuple[str, ...], name: str, made: Tensor, forwards: float, backwards: float) -> Row:
        return Row(
            surrogates,
            name,
            {one: self.wrong(made, victim) for one, victim in self.victims.items()},
            forwards,
            backwards,
        )

    def wrong(self, made: Tensor, victim: Victim) -> Share:
        """How many the network gets wrong and are feasible, by the judge."""
        won = 0
        for start in range(0, len(made), self.batch_size):
            rows = slice(start, start + self.batch_size)
            x, point = (one[rows].to(victim.device, victim.dtype) for one in (self.x, made))
            region = self.threat.around(x, victim.lower, victim.upper)
            won += int(judge(victim, region, Classify(self.labels[rows].to(victim.device)), point).success.sum())
        return share(won, len(made))
