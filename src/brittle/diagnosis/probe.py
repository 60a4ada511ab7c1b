"""A victim with a few samples, and what several checks want to know of it: measured once, when first asked for, and charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..attacks import ByNorm, GradientAscent
from ..attacks.fixed.apgd_l1 import SparseAPGD
from ..core.access import Access
from ..core.drawn import differ
from ..core.goal import Classify
from ..core.losses import find_slope
from ..core.problem import Attack, Region, Threat
from ..core.streams import Streams
from ..core.trial import attempt
from ..core.victim import Victim
from ..threats import Box
from .trace import Trace, trace

WATCHED = 8  # samples whose forward is traced operation by operation
NORMS = ("linf", "l2", "l1")  # in which PGD, Square and random corners are compared
STEPS = 40  # of the plain attack that gradients are judged by


@dataclass
class Spent:
    """Forwards and backwards charged so far, over all samples; changed in place."""

    forwards: int = 0
    backwards: int = 0


@dataclass(frozen=True, eq=False)
class Climb:
    """Every step of a plain ascent: success (K,) bool of the point that it returns, and the model's answers on the way, path (T, K, C)."""

    success: Tensor
    path: Tensor


@dataclass(frozen=True, eq=False)
class Slopes:
    """Gradients (K, *P) of two losses at the same points, from one forward."""

    margin: Tensor
    cross_entropy: Tensor


@dataclass(frozen=True, eq=False)
class Probe:
    """`victim` on x (B, *S) with labels (B,) under `threat`; ids (B,) int64 name the samples.

    All random numbers rest on ids and `seed`. x may leave the victim's bounds: what asks the model uses `inputs`. others: further
    samples (x, labels) of the same data, for what a few cannot show. training: names of the modules that were left in training mode, and
    as_given the victim as it was, of which `victim` is then a copy in evaluation mode. `spent` is what was charged.
    """

    victim: Victim
    x: Tensor
    labels: Tensor
    threat: Threat
    ids: Tensor
    seed: int = 0
    others: tuple[Tensor, Tensor] | None = None
    training: tuple[str, ...] = ()
    as_given: Victim | None = None
    spent: Spent = field(default_factory=Spent)

    @cached_property
    def inputs(self) -> Tensor:
        """x (B, *S) inside the bounds, in the victim's own type and place."""
        return self.victim.clamp(self.x.to(self.victim.device, self.victim.dtype))

    @cached_property
    def crowd(self) -> tuple[Tensor, Tensor]:
        """x (N, *S) and labels (N,) of these samples and the others."""
        x, labels = self.others or (self.x[:0], self.labels[:0])
        return torch.cat([self.inputs, x.to(self.inputs)]), torch.cat([self.labels, labels]).to(self.victim.device)

    @cached_property
    def outputs(self) -> Tensor:
        """(B, C) at the clean inputs."""
        return self.ask(self.inputs)

    @cached_property
    def again(self) -> Tensor:
        """(B, C) the same question asked a second time."""
        return self.ask(self.inputs)

    @cached_property
    def random(self) -> bool:
        """Whether the same question gets another answer."""
        return differ(self.outputs, self.again)

    @cached_property
    def rows(self) -> Tensor:
        """(K,) int64: samples that are classified as their label, which alone are attacked."""
        goal = Classify(self.labels.to(self.victim.device))
        correct = (goal.margin(self.outputs) < 0) & ((goal.margin(self.again) < 0) if self.random else True)
        return correct.nonzero().squeeze(1)

    @cached_property
    def goal(self) -> Classify:
        """Of the correct samples."""
        return Classify(self.labels.to(self.victim.device)[self.rows])

    @cached_property
    def region(self) -> Region:
        """Of the correct samples."""
        return self.threat.around(self.inputs[self.rows], self.victim.lower, self.victim.upper)

    @cached_property
    def streams(self) -> Streams:
        """Of the correct samples, apart from those of attacks."""
        return Streams.seeded(self.seed, self.ids.to(self.victim.device)[self.rows]).fork(0xD1A6)

    @cached_property
    def points(self) -> Tensor:
        """(K, *P) at random in the region."""
        return self.region.random(self.streams)

    @cached_property
    def trace(self) -> Trace:
        """Of the first few correct samples at random points of their region, with the slope of the margin."""
        few = slice(0, WATCHED)
        goal, slope = self.goal.select(few), find_slope("margin")
        self._charge(len(goal.labels), backwards=1)
        x = self.region.render(self.points)[few]
        return trace(self.victim, self.victim.module, x, lambda outputs: slope(outputs, goal))

    @cached_property
    def differentiable(self) -> bool:
        """Whether autograd comes back to the input at all."""
        return self.victim.access is Access.GRADIENT and len(self.rows) > 0 and self.trace.grad is not None

    @cached_property
    def comparable(self) -> bool:
        """Whether attacks on it can be compared one with another.

        It has gradients, gives the same answer to the same question, and the threat is a ball in which PGD is at home.
        """
        return self.threat.name in NORMS and self.differentiable and not self.random

    @cached_property
    def slopes(self) -> Slopes:
        """At `points`, with what is random in the model drawn once; 1 forward and 2 backwards."""
        self._charge(len(self.points), backwards=2)
        losses = ("margin", "cross_entropy")
        _, grads = input_gradients(self.victim, self.region, self.goal, self.points, losses)
        return Slopes(*grads)

    @cached_property
    def plain(self) -> Tensor:
        """(K,) bool: fooled by PGD with the cross-entropy (in L1 by its sparse variant), each sample until it is."""
        return self.fooled(plain_attack(STEPS))[0]

    @cached_property
    def left(self) -> Tensor:
        """(K',) int64 among the correct samples: those that `plain` did not fool."""
        return (~self.plain).nonzero().squeeze(1)

    @cached_property
    def free(self) -> Tensor:
        """(K,) bool: fooled by the same attack where the bounds of the input are the only limit."""
        return self.fooled(plain_attack(STEPS), threat=Box())[0]

    @cached_property
    def climb(self) -> Climb:
        """PGD as in `plain`, all steps of it whatever it finds."""
        path: list[Tensor] = []

        def heard(x: Tensor) -> Tensor:
            outputs = self.victim(x)
            path.append(outputs.detach())
            return outputs

        success, _ = self.fooled(plain_attack(STEPS, stop=False), victim=replace(self.victim, forward=heard))
        return Climb(success, _stacked(path[: STEPS + 1]))

    def under(self, threat: Threat) -> Probe:
        """The same samples under another threat; what was asked about them untouched is not asked again."""
        other = replace(self, threat=threat)
        other.__dict__.update({name: known for name, known in self.__dict__.items() if name in _UNTOUCHED})
        return other

    def ask(self, x: Tensor) -> Tensor:
        """The outputs (N, C) at inputs (N, *S), without gradients; 1 forward."""
        self._charge(len(x))
        with torch.no_grad():
            return self.victim(x)

    def gradient(self, point: Tensor, loss: str = "margin") -> tuple[Tensor, Tensor]:
        """Outputs (K, C) at points (K, *P) of the correct samples and the loss's gradient (K, *P); 1 forward and 1 backward.

        Zeros where autograd does not come back.
        """
        self._charge(len(point), backwards=1)
        outputs, (grad,) = input_gradients(self.victim, self.region, self.goal, point, (loss,))
        return outputs, grad

    def fooled(
        self, attack: Attack, rows: Tensor | None = None, threat: Threat | None = None, victim: Victim | None = None
    ) -> tuple[Tensor, Tensor]:
        """Success (N,) bool and points (N, *S) of an attack on the correct samples `rows` (None: all); charged."""
        rows = torch.arange(len(self.rows), device=self.rows.device) if rows is None else rows
        which, goal = self.rows[rows], self.goal.select(rows)
        if not len(rows):
            return torch.zeros(0, dtype=torch.bool), self.inputs[:0]
        ids = self.ids.to(self.victim.device)[which]
        trial = attempt(attack, victim or self.victim, threat or self.threat, self.inputs[which], goal, ids, self.seed)
        self.spent.forwards += int(trial.forwards.sum())
        self.spent.backwards += int(trial.backwards.sum())
        return trial.verdict.success.cpu(), trial.x_adv

    def _charge(self, count: int, backwards: int = 0) -> None:
        self.spent.forwards += count
        self.spent.backwards += backwards * count


_UNTOUCHED = ("inputs", "crowd", "outputs", "again", "random", "rows", "goal")  # of a Probe, whatever the threat


def input_gradients(
    victim: Victim, region: Region, goal: Classify, point: Tensor, losses: Sequence[str]
) -> tuple[Tensor, list[Tensor]]:
    """Outputs (K, C) at points (K, *P) of the region, and each loss's gradient (K, *P); zeros where autograd does not come back."""
    with torch.enable_grad():
        asked = point.detach().clone().requires_grad_()
        outputs = victim(region.render(asked))
        answer = outputs.detach()
        if not outputs.requires_grad:
            return answer, [torch.zeros_like(point) for _ in losses]
        grads = []
        for place, loss in enumerate(losses, 1):
            slope = find_slope(loss)(answer, goal)
            more = place < len(losses)
            (grad,) = torch.autograd.grad(outputs, asked, slope, allow_unused=True, retain_graph=more)
            grads.append(torch.zeros_like(point) if grad is None else grad)
    return answer, grads


def plain_attack(steps: int, stop: bool = True, **options: Any) -> Attack:
    """PGD as everybody runs it: the cross-entropy, a random start, steps of 2.5 radii / steps; in L1 the variant that is made for it."""
    settings: dict[str, Any] = {"reach": 2.5, "start": "random", "keep": "best", "stop": stop, **options}
    return ByNorm(GradientAscent(steps=steps, **settings), l1=SparseAPGD(steps=steps))


def _stacked(path: list[Tensor]) -> Tensor:
    """(T, K, C); nothing where samples came and went."""
    return torch.stack(path) if path and len({len(outputs) for outputs in path}) == 1 else torch.zeros(0, 0, 0)
