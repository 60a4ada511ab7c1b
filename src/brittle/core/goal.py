"""What the adversary wants, as a margin that is positive exactly when it has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

Outputs = Float[Tensor, "b c"]
Labels = Int[Tensor, " b"]
PerSample = Float[Tensor, " b"]


@dataclass(frozen=True, eq=False)
class Classify:
    """Any class but the label (`targets` None), or the target class.

    labels, targets: (B,) int64. confidence: if given, the winning class must also have at least this softmax probability, in (0, 1).
    towards: a class (B,) that losses steer to although any class but the label wins. slack: what the margin must exceed, as a share of the
    largest output; an attack is given a little, because the same point in another batch rounds otherwise, the judge none. A tie between
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
            plain = plain - self.slack * outputs.detach().abs().amax(1)
        if self.confidence is None:
            return plain
        wanted = math.log(self.confidence / (1 - self.confidence))
        return torch.minimum(plain, self.log_odds(outputs) - wanted)

    def log_odds(self, outputs: Outputs) -> PerSample:
        """log p/(1-p) of the target, or of the likeliest class other than the label."""
        winners = without(outputs, self.labels).argmax(1) if self.targets is None else self.targets
        return pick(outputs, winners) - without(outputs, winners).logsumexp(1)

    def select(self, rows: Tensor | slice) -> Classify:
        """The goal of some of the rows."""
        targets, towards = (None if classes is None else classes[rows] for classes in (self.targets, self.towards))
        return Classify(self.labels[rows], targets, self.confidence, towards, self.slack)


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
