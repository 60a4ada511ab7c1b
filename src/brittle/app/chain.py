"""From an effort to the chain of a plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..attacks import parse_attack
from ..attacks.combine.each_member import each_member
from ..core.access import Access
from ..core.problem import Attack, Threat
from ..errors import InputError, unknown
from ..runs.plan import AttackEntry
from ..runs.values import encode
from ..threats import Union
from .efforts import ANYWHERE, BALLS, BLACK_BOX, EFFORTS, Stage


def stages_of(effort: str, threat: Threat, access: Access = Access.GRADIENT) -> tuple[AttackEntry, ...]:
    """The stages of an effort as entries of a plan: its own for Linf, L2 and L1 balls, plain gradient ascent for other threats.

    Under a union every stage that is meant for one of its balls, in the effort's order, under each ball that it is meant for. A model
    that gives no gradient gets the black-box stages for what it gives.
    InputError for an unknown effort, and where no stage is known for the threat.
    """
    if effort not in EFFORTS:
        raise unknown("effort", effort, EFFORTS)
    names = names_in(threat)
    chain = EFFORTS[effort] if access is Access.GRADIENT else BLACK_BOX[access][effort]
    stages = [stage for stage in chain if set(stage.norms) & set(names)]
    others = tuple(name for name in names if name not in BALLS)
    if others and access is Access.GRADIENT:
        stages += [replace(stage, norms=others) for stage in ANYWHERE]
    if not stages:
        raise InputError(
            f"no chain is known for {' and '.join(names)} where the model gives {access.value} alone; name attacks with --attack"
        )
    return tuple(_entry(stage, threat) for stage in stages)


def names_in(threat: Threat) -> tuple[str, ...]:
    """The norms of a union's balls, each once; of another threat its name."""
    return tuple(dict.fromkeys(ball.name for ball in threat.balls)) if isinstance(threat, Union) else (threat.name,)


def fitted(attack: Attack, threat: Threat, norms: Collection[str], name: str) -> Attack:
    """Under a union the attack under each of its balls of these norms; under another threat the attack. InputError where it has none."""
    if not isinstance(threat, Union):
        return attack
    meant = tuple(norm for norm in names_in(threat) if norm in norms)
    if not meant:
        raise InputError(f"{name} works under {' and '.join(norms)}, the union has {' and '.join(names_in(threat))}")
    return each_member(attack, meant)


def _entry(stage: Stage, threat: Threat) -> AttackEntry:
    """Named after its norms too, where these are not all of the union's."""
    name, names = stage.name, names_in(threat)
    if not set(names) <= set(stage.norms) and isinstance(threat, Union):
        name = f"{name}, {' and '.join(norm for norm in names if norm in stage.norms)}"
    value = encode(fitted(parse_attack(stage.attack), threat, stage.norms, name), name)
    return AttackEntry(name=name, role="stage", value=value, reach=stage.reach, about=stage.about)
