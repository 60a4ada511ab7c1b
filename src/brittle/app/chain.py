"""From an effort to the chain of a plan."""

from __future__ import annotations

from ..attacks import parse_attack
from ..core.problem import Threat
from ..errors import unknown
from ..runs.plan import AttackEntry
from ..runs.values import encode
from .efforts import ANYWHERE, BALLS, EFFORTS, Stage


def stages_of(effort: str, threat: Threat) -> tuple[AttackEntry, ...]:
    """The stages of an effort as entries of a plan: its own for Linf, L2 and L1 balls, plain gradient ascent for other threats.

    InputError for an unknown effort.
    """
    if effort not in EFFORTS:
        raise unknown("effort", effort, EFFORTS)
    stages = [stage for stage in EFFORTS[effort] if threat.name in stage.norms] if threat.name in BALLS else ANYWHERE
    return tuple(_entry(stage) for stage in stages)


def _entry(stage: Stage) -> AttackEntry:
    value = encode(parse_attack(stage.attack), stage.name)
    return AttackEntry(name=stage.name, role="stage", value=value, reach=stage.reach)
