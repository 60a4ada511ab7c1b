"""One batch: pose the problem, let the attack propose, let the judge decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..kernels.shapes import wide
from .access import Access
from .context import Context
from .drawn import Draws, Opinion
from .goal import Goal
from .judge import Verdict, judge, said
from .oracle import BudgetSpent, Ledger, Oracle
from .problem import Attack, Problem, Threat
from .record import Record
from .streams import Streams
from .victim import Victim

ROUNDING = (
    64  # units in the last place of the largest output: by so much do a network's outputs differ from batch to batch
)

_NEEDS = {Access.GRADIENT: "gradients", Access.SCORES: "scores", Access.LABELS: "labels"}


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of it: x_adv (B, *S), the verdict, and the queries charged (B,); those `aside` went to a surrogate, not to the victim."""

    x_adv: Tensor
    verdict: Verdict
    forwards: Tensor
    backwards: Tensor
    aside_forwards: Tensor
    aside_backwards: Tensor

    def measured(self) -> dict[str, Tensor]:
        """Everything by name: x_adv, the queries and the fields of the verdict."""
        verdict = {f.name: getattr(self.verdict, f.name) for f in dataclasses.fields(self.verdict)}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "verdict"} | verdict


def attempt(
    attack: Attack,
    victim: Victim,
    threat: Threat,
    x: Tensor,
    goal: Goal,
    ids: Tensor,
    seed: int,
    budget: int | None = None,
    starts: Tensor | None = None,
    draws: Draws | None = None,
    context: Context | None = None,
) -> Trial:
    """Attack x (B, *S), whose samples are known as ids (B,) int64. x must lie in the victim's bounds and on its device.

    budget: the most forwards plus backwards a sample may be charged; the attack is cut off there, and the best point that it asked about
    counts. starts: points to begin from, in place of the attack's own. draws: how a victim that answers at random is judged. float16
    and bfloat16 are attacked in float32 and judged as they are. context: what the model takes beside x.
    The result of a sample depends on its id and the seed, not on the batch around it.
    """
    if not dataclasses.is_dataclass(attack) or not callable(attack):
        name = getattr(attack, "__name__", type(attack).__name__)
        raise InputError(f"{name!r} is not an attack value; did you forget to call it, as in brittle.{name}()?")
    check_access(attack, victim)
    narrow = x.dtype if x.dtype in (torch.float16, torch.bfloat16) else None
    wide = x.clone() if narrow is None else x.float()  # the attack's own: writing into it moves no yardstick
    threat.around(x[:0], victim.lower, victim.upper)  # what is refused is refused before anything is asked
    theirs = threat.around(wide, victim.lower, victim.upper).searched()
    starts = None if starts is None else theirs.point(starts)
    ledger = Ledger.empty(len(x), x.device)
    assert ledger.aside is not None
    record = None if budget is None else Record.at(theirs.origin, attack.minimises)
    door = Oracle(victim, ledger, attack.access, budget=budget, narrow=narrow, context=context)
    harder = goal.harder(ROUNDING * torch.finfo(wide.dtype).eps)
    problem = Problem(theirs, harder, door, Streams.seeded(seed, ids), starts, record)
    with torch.no_grad():
        try:
            proposed = attack(problem) if len(x) else theirs.origin
        except BudgetSpent:
            assert record is not None
            proposed = record.best.point
    region = threat.around(x, victim.lower, victim.upper)  # afresh: the attack may have written into its own
    if not isinstance(proposed, Tensor) or proposed.shape != region.origin.shape:
        got = tuple(proposed.shape) if isinstance(proposed, Tensor) else type(proposed).__name__
        wanted = tuple(region.origin.shape)
        raise InputError(f"{type(attack).__name__} returned {got}; an attack returns points of shape {wanted}")
    proposed = proposed.detach()
    if record is not None:
        proposed = _rows_where(record.refused, record.best.point, proposed)
    proposed = proposed.to(region.origin.dtype)
    if attack.minimises:  # what lies beyond the radius is pulled back to it
        proposed = _rows_where(region.contains(proposed), proposed, region.project(proposed))
    return Trial(
        region.render(proposed),
        judge(victim, region, goal, proposed, draws, context),
        ledger.forwards,
        ledger.backwards,
        ledger.aside.forwards,
        ledger.aside.backwards,
    )


def check_access(attack: Attack, victim: Victim) -> None:
    """InputError where the attack needs more than the victim gives."""
    if not victim.access.gives(attack.access):
        because = f", because {victim.because}" if victim.because else ""
        raise InputError(
            f"{type(attack).__name__} needs {_NEEDS[attack.access]} and {victim.name} gives {_NEEDS[victim.access]} alone{because}; "
            f"choose an attack that asks for no more (`brittle list attacks` has a column for it)"
        )


def untouched(
    victim: Victim, threat: Threat, x: Tensor, goal: Goal, opinions: Sequence[Opinion] | None = None
) -> Trial:
    """The verdict on x (B, *S) as it is; nothing is charged. opinions: of a victim that answers at random, what it says of each."""
    region = threat.around(x, victim.lower, victim.upper)
    origin = region.origin
    nothing = [torch.zeros(len(x), dtype=torch.int64, device=x.device) for _ in range(4)]
    verdict = judge(victim, region, goal, origin) if opinions is None else said(region, origin, opinions)
    return Trial(x.clone(), verdict, *nothing)


def merged(rows: Tensor, trial: Trial, others: Tensor, rest: Trial) -> Trial:
    """One trial of the batch whose `rows` had one trial and whose `others` had the rest; together they are all rows."""
    place = torch.cat([rows, others]).argsort()

    def joined(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one, other])[place]

    one, other = trial.measured(), rest.measured()
    verdict = [f.name for f in dataclasses.fields(Verdict)]
    both = {name: joined(one[name], other[name]) for name in one}
    return Trial(
        verdict=Verdict(*(both[name] for name in verdict)),
        **{name: value for name, value in both.items() if name not in verdict},
    )


def _rows_where(chosen: Tensor, these: Tensor, others: Tensor) -> Tensor:
    """These rows where chosen (B,) bool, the others elsewhere."""
    return torch.where(wide(chosen, these), these, others)
