"""Classification: one label a sample, one goal a sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.checks import check_confidence, check_inputs, check_labels, check_outputs
from ..core.drawn import Draws, Opinion, Untouched, heard, mean_of, settled
from ..core.goal import Classify, without
from ..core.memory import in_parts
from ..core.problem import Attack, Threat
from ..core.streams import Streams
from ..core.trial import Trial, attempt, merged, untouched
from ..core.victim import Victim
from ..data.samples import Samples
from ..errors import InputError
from ..ranges import check_counts
from ..specs import parse_whole

Certifier = Callable[
    [Victim, Threat, Tensor, Tensor], Tensor
]  # (.., x (B, *S), labels (B,)) -> lower bounds of the margin (B,)
GOALS = ("untargeted", "least-likely", "second", "random", "class:N")
_TARGET_STREAM = 0x7A5  # keeps random targets apart from the attack's own random numbers


@dataclass(frozen=True, eq=False)
class Results:
    """Measured results of N samples, all (N,) on the CPU but x_adv (N, *S); see docs/architecture.md, Rows. Queries `aside` went to a
    surrogate."""

    label: Tensor
    target: Tensor
    clean_correct: Tensor
    success: Tensor
    feasible: Tensor
    size: Tensor
    margin: Tensor
    predicted: Tensor
    confidence: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    x_adv: Tensor
    aside_forwards: Tensor
    aside_backwards: Tensor


@dataclass(frozen=True, eq=False)
class Classification:
    """Attack `victim` on `data`. `goal` is one of GOALS, to be reached with at least the softmax probability `confidence`, if given;
    batch_size rows at a time; with at most `budget` forwards plus backwards a sample, if given. draws: more than 1 for a victim that
    answers at random, of which a point is judged by so many answers at most, see `core/chance.py`."""

    victim: Victim
    data: Samples
    goal: str = "untargeted"
    batch_size: int = 256
    confidence: float | None = None
    budget: int | None = None
    draws: int = 1
    _known: dict[tuple[int, int], _Known] = field(default_factory=dict, init=False, repr=False)  # by seed and id

    def __post_init__(self) -> None:
        parse_goal(self.goal)
        check_confidence(self.confidence)
        check_counts(budget=self.budget)

    def run(self, attack: Attack | None, threat: Threat, ids: Sequence[int], seed: int) -> Results:
        """Results of the samples `ids`, in order. Without an attack: the untouched inputs. A sample that the model gets wrong
        untouched is not attacked: its result is that of the untouched input."""
        parts = in_parts(lambda part: self._run_batch(attack, threat, ids[part], seed), len(ids), self.batch_size)
        return Results(**{name: torch.cat([getattr(p, name) for p in parts]) for name in Results.__dataclass_fields__})

    def prove(self, certifier: Certifier, threat: Threat, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """For each of the samples `ids`, in order: whether it is proved that nothing in the threat's region changes its class (N,) bool,
        and its share of the seconds (N,)."""
        proved, seconds = [], []
        for start in range(0, len(ids), self.batch_size):
            part, started = ids[start : start + self.batch_size], time.perf_counter()
            x, labels = self.data.batch(part)
            x, labels = x.to(self.victim.device, self.victim.dtype), labels.to(self.victim.device).long()
            x = self.victim.clamp(x)
            proved.append((certifier(self.victim, threat, x, labels) > 0).cpu())
            seconds.append(torch.full((len(part),), (time.perf_counter() - started) / len(part), dtype=torch.float64))
        return torch.cat(proved), torch.cat(seconds)

    def _run_batch(self, attack: Attack | None, threat: Threat, ids: Sequence[int], seed: int) -> Results:
        victim, started = self.victim, time.perf_counter()
        x, labels = self.data.batch(ids)
        x = x.to(victim.dtype)
        check_inputs(x, victim)
        x = victim.clamp(x.to(victim.device))
        rows = torch.as_tensor(list(ids), device=victim.device)
        labels = labels.to(victim.device)
        with victim.undisturbed(seed):
            begun = self._begun(x, labels, rows, seed)
            labels = labels.long()
            trial = self._attack(attack, threat, x, Classify(labels, begun.targets, self.confidence), rows, begun, seed)
        seconds = torch.full((len(x),), (time.perf_counter() - started) / max(len(x), 1), dtype=torch.float64)
        measured = {
            **trial.measured(),
            "label": labels,
            "target": begun.targets if begun.targets is not None else torch.full_like(labels, -1),
            "clean_correct": begun.correct,
            "seconds": seconds,
        }
        return Results(**{name: value.cpu() for name, value in measured.items()})

    def _begun(self, x: Tensor, labels: Tensor, ids: Tensor, seed: int) -> _Begun:
        """What is known of x (B, *S) before anything is attacked; what a victim that answers at random says of a sample is kept."""
        if self.draws == 1:
            with torch.no_grad():
                outputs = check_outputs(self.victim(x), len(x))
            check_labels(labels, len(x), outputs.shape[1])
            targets = choose_targets(self.goal, outputs, labels.long(), Streams.seeded(seed, ids).fork(_TARGET_STREAM))
            return _Begun(Classify(labels.long()).margin(outputs) < 0, targets)
        known = []
        for row in torch.split(torch.arange(len(x), device=x.device), 1):
            place = (seed, int(ids[row]))
            if place not in self._known:
                self._known[place] = self._heard(x[row], labels[row], ids[row], seed)
            known.append(self._known[place])
        correct = torch.tensor([one.untouched.right for one in known], dtype=torch.bool, device=x.device)
        bars = torch.tensor([one.untouched.bar for one in known], dtype=torch.float64, device=x.device)
        targets = torch.tensor([one.target for one in known], device=x.device)
        opinions = tuple(one.untouched.opinion for one in known)
        draws = Draws(self.draws, seed, ids, bars)
        return _Begun(correct, None if self.goal == "untargeted" else targets, opinions, draws)

    def _heard(self, x: Tensor, label: Tensor, index: Tensor, seed: int) -> _Known:
        """What is known of one sample, x (1, *S)."""
        answers = heard(self.victim, x, label, seed, int(index), self.draws)
        label, streams = label.long(), Streams.seeded(seed, index).fork(_TARGET_STREAM)
        target = choose_targets(self.goal, mean_of(answers), label, streams)
        untouched = settled(answers, label, Classify(label, target, self.confidence))
        return _Known(untouched, -1 if target is None else int(target))

    def _attack(
        self, attack: Attack | None, threat: Threat, x: Tensor, goal: Classify, ids: Tensor, begun: _Begun, seed: int
    ) -> Trial:
        """Attack the correct samples; leave the others as they are."""
        rows, others = begun.correct.nonzero().squeeze(1), (~begun.correct).nonzero().squeeze(1)
        if attack is None or not len(rows):
            return untouched(self.victim, threat, x, goal, begun.opinions)
        draws = None if begun.draws is None else begun.draws.select(rows)
        part = attempt(
            attack, self.victim, threat, x[rows], goal.select(rows), ids[rows], seed, self.budget, draws=draws
        )
        if not len(others):
            return part
        opinions = begun.opinions and [begun.opinions[row] for row in others.tolist()]
        return merged(rows, part, others, untouched(self.victim, threat, x[others], goal.select(others), opinions))


@dataclass(frozen=True, eq=False)
class _Begun:
    """Of a batch untouched: which samples are right (B,) bool, and their targets (B,). Of a victim that answers at random also what it
    says of each, and how it is judged."""

    correct: Tensor
    targets: Tensor | None
    opinions: tuple[Opinion, ...] | None = None
    draws: Draws | None = None


@dataclass(frozen=True)
class _Known:
    """What a victim that answers at random says of one sample untouched, and the sample's target; -1 where it has none."""

    untouched: Untouched
    target: int


def parse_goal(goal: str) -> int | None:
    """The class of `class:3`, None for the other goals; refuses what is no goal."""
    name, _, number = goal.partition(":")
    if name == "class" and (target := parse_whole(number)) is not None:
        return target
    if goal not in GOALS:
        raise InputError(f"the goal {goal!r} is not one of {', '.join(GOALS)}")
    return None


def choose_targets(goal: str, outputs: Tensor, labels: Tensor, streams: Streams) -> Tensor | None:
    """Target classes (B,) from the clean outputs (B, C); never the true label. None for untargeted.

    least-likely and second go by the model's own outputs; random is uniform; class:N is N, or for a sample of class N itself the second.
    """
    if goal == "untargeted":
        return None
    others = without(outputs, labels)
    if goal == "least-likely":
        return outputs.scatter(1, labels[:, None], torch.inf).argmin(1)
    if goal == "random":
        count = outputs.shape[1]
        return (labels + 1 + (streams.uniform(()) * (count - 1)).long().clamp_max(count - 2)) % count
    wanted = parse_goal(goal)
    if wanted is None:
        return others.argmax(1)
    if wanted >= outputs.shape[1]:
        raise InputError(f"target class {wanted} is out of range: the model has {outputs.shape[1]} classes")
    return torch.where(labels == wanted, others.argmax(1), wanted)
