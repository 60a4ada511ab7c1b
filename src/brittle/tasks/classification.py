"""Classification: one label a sample, one goal a sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.checks import check_confidence, check_inputs, check_labels, check_outputs
from ..core.goal import Classify, without
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
    batch_size rows at a time; with at most `budget` forwards plus backwards a sample, if given. draws: of a victim that answers at
    random, how many answers are averaged to judge it, see `Victim.averaged`."""

    victim: Victim
    data: Samples
    goal: str = "untargeted"
    batch_size: int = 256
    confidence: float | None = None
    budget: int | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        parse_goal(self.goal)
        check_confidence(self.confidence)
        check_counts(budget=self.budget)

    def run(self, attack: Attack | None, threat: Threat, ids: Sequence[int], seed: int) -> Results:
        """Results of the samples `ids`, in order. Without an attack: the untouched inputs. A sample that the model gets wrong
        untouched is not attacked: its result is that of the untouched input."""
        parts = [
            self._run_batch(attack, threat, ids[start : start + self.batch_size], seed)
            for start in range(0, len(ids), self.batch_size)
        ]
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
        with victim.undisturbed(seed):
            with torch.no_grad():
                outputs = check_outputs(victim.averaged(self.draws)(x), len(x))
            check_labels(labels, len(x), outputs.shape[1])
            labels = labels.to(victim.device).long()
            correct = Classify(labels).margin(outputs) < 0
            targets = choose_targets(self.goal, outputs, labels, Streams.seeded(seed, rows).fork(_TARGET_STREAM))
            goal = Classify(labels, targets, self.confidence)
            trial = self._attack(attack, threat, x, goal, rows, correct, seed)
        seconds = torch.full((len(x),), (time.perf_counter() - started) / max(len(x), 1), dtype=torch.float64)
        measured = {
            **trial.measured(),
            "label": labels,
            "target": targets if targets is not None else torch.full_like(labels, -1),
            "clean_correct": correct,
            "seconds": seconds,
        }
        return Results(**{name: value.cpu() for name, value in measured.items()})

    def _attack(
        self, attack: Attack | None, threat: Threat, x: Tensor, goal: Classify, ids: Tensor, correct: Tensor, seed: int
    ) -> Trial:
        """Attack the correct samples; leave the others as they are."""
        rows, others = correct.nonzero().squeeze(1), (~correct).nonzero().squeeze(1)
        if attack is None or not len(rows):
            return untouched(self.victim, threat, x, goal, self.draws)
        part = attempt(
            attack, self.victim, threat, x[rows], goal.select(rows), ids[rows], seed, self.budget, draws=self.draws
        )
        if not len(others):
            return part
        return merged(rows, part, others, untouched(self.victim, threat, x[others], goal.select(others), self.draws))


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
