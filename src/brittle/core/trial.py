"""One batch: pose the problem, let the attack propose, let the judge decide."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .goal import Classify
from .judge import Verdict, judge
from .oracle import Ledger, Oracle
from .problem import Attack, Problem, Threat
from .streams import Streams
from .victim import Victim


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of it: x_adv (B, *S), the verdict, and the queries charged (B,)."""

    x_adv: Tensor
    verdict: Verdict
    forwards: Tensor
    backwards: Tensor

    def measured(self) -> dict[str, Tensor]:
        """Everything by name: x_adv, forwards, backwards and the fields of the verdict."""
        verdict = {f.name: getattr(self.verdict, f.name) for f in dataclasses.fields(self.verdict)}
        return {"x_adv": self.x_adv, "forwards": self.forwards, "backwards": self.backwards, **verdict}


def attempt(attack: Attack, victim: Victim, threat: Threat, x: Tensor, goal: Classify, ids: Tensor, seed: int) -> Trial:
    """Attack x (B, *S), whose samples are known as ids (B,) int64. x must lie in the victim's bounds and on its device.

    The result of a sample depends on its id and the seed, not on the batch around it.
    """
    if not dataclasses.is_dataclass(attack) or not callable(attack):
        name = getattr(attack, "__name__", type(attack).__name__)
        raise InputError(f"{name!r} is not an attack value; did you forget to call it, as in brittle.{name}()?")
    ledger = Ledger.empty(len(x), x.device)
    region = threat.around(
        x.clone(), victim.lower, victim.upper
    )  # the attack's own: writing into it moves no yardstick
    problem = Problem(region, goal, Oracle(victim, ledger, attack.access), Streams.seeded(seed, ids))
    with torch.no_grad():
        proposed = attack(problem) if len(x) else x
    if not isinstance(proposed, Tensor) or proposed.shape != x.shape:
        got = tuple(proposed.shape) if isinstance(proposed, Tensor) else type(proposed).__name__
        raise InputError(f"{type(attack).__name__} returned {got}; an attack returns inputs of shape {tuple(x.shape)}")
    proposed = proposed.detach()
    region = threat.around(x, victim.lower, victim.upper)
    return Trial(proposed, judge(victim, region, goal, proposed), ledger.forwards, ledger.backwards)
