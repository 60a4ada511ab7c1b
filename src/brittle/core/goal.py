"""What the adversary wants, as a margin that is positive exactly when it has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InputError

Outputs = Float[Tensor, "b c"]
Labels = Int[Tensor, " b"]
PerSample = Float[Tensor, " b"]


@runtime_checkable
class Goal(Protocol):
    """What every goal can tell of outputs (B, C): whether it is reached, and which way it lies."""

    def margin(self, outputs: Outputs) -> PerSample:
        """> 0 exactly when won."""

    def steer(self, outputs: Outputs) -> PerSample:
        """What the loss `margin` ascends; it need not be the margin, but rises towards the goal as the margin does."""

    def slope(self, outputs: Outputs) -> Outputs:
        """d steer / d outputs (B, C)."""

    def select(self, rows: Tensor | slice) -> Goal:
        """The goal of some of the rows."""

    def harder(self, slack: float) -> Goal:
        """The same goal, with a margin that must exceed this share of the largest output."""


@dataclass(frozen=True, eq=False)
class Classify:
    """Any class but the label (`targets` None), or the target class.

    labels, targets: (B,) int64. confidence: if given, the winning class must also have at least this softmax probability, in (0, 1).
    towards: a class (B,) that losses steer to although any class but the label wins. slack: what the margin must exceed, as a share of the
    outputs' size; an attack is given a little, because the same point in another batch rounds otherwise, the judge none. A tie between
    logits is not won.
    """

    labels: Labels
    targets: Labels | None = None
    confidence: float | None = None
    towards: Labels | None = None
    slack: float = 0.0

    @property
    def aim(self) -> Labels | None:
        """(B,) the class that losses steer to; None: away from the label."""
        return self.targets if self.targets is not None else self.towards

    @cached_property
    def steered(self) -> Tensor:
        """(B, 1): the class whose logit the losses are about, the aim or else the label."""
        return (self.labels if self.aim is None else self.aim)[:, None]

    @cached_property
    def own(self) -> Tensor:
        """(B, 1): the class whose logit the goal is about, the target or else the label."""
        return (self.labels if self.targets is None else self.targets)[:, None]

    @property
    def targeted(self) -> bool:
        return self.targets is not None

    def margin(self, outputs: Outputs) -> PerSample:
        """> 0 exactly when won. In logits without `confidence`; with it, the log-odds above the wanted ones, or that if smaller."""
        plain = margin(outputs, self)
        if self.slack:
            plain = plain - self.slack * _rounded_at(outputs.detach())
        if self.confidence is None:
            return plain
        wanted = math.log(self.confidence / (1 - self.confidence))
        return torch.minimum(plain, self.log_odds(outputs) - wanted)

    def steer(self, outputs: Outputs) -> PerSample:
        """The margin in the outputs; steered towards a class t without being bound to it, z_t - z_y."""
        if self.targets is None and self.towards is not None:
            return pick(outputs, self.towards) - pick(outputs, self.labels)
        return margin(outputs, self)

    def slope(self, outputs: Outputs) -> Outputs:
        """One at the class that is ahead, minus one at the class it must beat; for a target the other way round."""
        if self.targets is None and self.towards is not None:
            towards, labels = self.towards[:, None], self.labels[:, None]
            return torch.zeros_like(outputs).scatter_(1, towards, 1).scatter_(1, labels, -1)
        other = outputs.scatter(1, self.own, -torch.inf).argmax(1, keepdim=True)
        slope = torch.zeros_like(outputs).scatter_(1, other, 1).scatter_(1, self.own, -1)
        return slope if self.targets is None else slope.neg_()

    def log_odds(self, outputs: Outputs) -> PerSample:
        """log p/(1-p) of the target, or of the likeliest class other than the label."""
        winners = without(outputs, self.labels).argmax(1) if self.targets is None else self.targets
        return pick(outputs, winners) - without(outputs, winners).logsumexp(1)

    def select(self, rows: Tensor | slice) -> Classify:
        """The goal of some of the rows."""
        targets, towards = (None if classes is None else classes[rows] for classes in (self.targets, self.towards))
        return Classify(self.labels[rows], targets, self.confidence, towards, self.slack)

    def harder(self, slack: float) -> Classify:
        return replace(self, slack=slack)


@dataclass(frozen=True, eq=False)
class Match:
    """Outputs like those of another input, the guide. Sabour et al., ICLR 2016, arXiv:1511.05122, equation 1.

    features: the guide's outputs (B, N). within: the Euclidean distance (B,) to them that is near enough; at zero none is, and an attack
    comes as near as it can. slack: as that of `Classify`.
    """

    features: Outputs
    within: PerSample
    slack: float = 0.0

    def margin(self, outputs: Outputs) -> PerSample:
        """> 0 exactly when won: how much nearer than `within` the outputs are, as Euclidean distances."""
        needed = self.within - self.slack * outputs.detach().abs().amax(1) if self.slack else self.within
        distance: Tensor = torch.linalg.vector_norm(outputs - self.features, dim=1)
        return needed - distance

    def steer(self, outputs: Outputs) -> PerSample:
        """Minus the squared distance, which unlike the distance is smooth where it ends."""
        return -(outputs - self.features).square().sum(1)

    def slope(self, outputs: Outputs) -> Outputs:
        return 2 * (self.features - outputs)

    def select(self, rows: Tensor | slice) -> Match:
        return Match(self.features[rows], self.within[rows], self.slack)

    def harder(self, slack: float) -> Match:
        return replace(self, slack=slack)


def _rounded_at(outputs: Outputs) -> PerSample:
    """The size at which outputs (B, C) round: that of the largest, but no more than 16 times the highest, which is one of those that are
    compared (others may be set to -1e9), nor, but for a sixteenth of it, than 64 times their spread (all may share a large constant)."""
    low, high = outputs.amin(1), outputs.amax(1)  # faster than aminmax along rows
    size = torch.minimum(torch.maximum(-low, high), 16 * high.abs())
    return torch.maximum(torch.minimum(size, 64 * (high - low)), size / 16)


def about_classes(goal: Goal, who: str) -> Classify:
    """The goal as one about classes; InputError, naming who needs that, where it is another kind."""
    if not isinstance(goal, Classify):
        raise InputError(
            f"{who} is about classes, the goal is a {type(goal).__name__}; use gradient ascent of the goal's own margin, "
            "such as brittle.apgd(loss='margin')"
        )
    return goal


def margin(outputs: Outputs, goal: Classify) -> PerSample:
    """Untargeted: max_{j != y} z_j - z_y. Targeted: z_t - max_{j != t} z_j."""
    ahead = outputs.scatter(1, goal.own, -math.inf).amax(1) - outputs.gather(1, goal.own).squeeze(1)
    return ahead if goal.targets is None else -ahead


def pick(outputs: Outputs, classes: Labels) -> PerSample:
    """The output of one class a row."""
    return outputs.gather(1, classes[:, None]).squeeze(1)


def without(outputs: Outputs, classes: Labels) -> Outputs:
    """The outputs with one class a row set to minus infinity."""
    return outputs.scatter(1, classes[:, None], -math.inf)
