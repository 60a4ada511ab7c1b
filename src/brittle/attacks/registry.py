"""Attacks by name, and the strings of the command line such as `pgd:steps=100,loss=dlr`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from ..core.problem import Attack
from ..errors import InputError, unknown
from ..specs import parse_call, parse_number
from . import combine, decision, fixed, minimum, score
from .entry import Entry
from .minimal import minimal

FAMILIES: dict[str, dict[str, Entry]] = {
    "Fixed budget, with gradients": fixed.ATTACKS,
    "Minimum norm, with gradients": {
        "minimal": Entry(minimal, "brittle", "at most budget x (F + B)", "linf l2 l1 l0 box"),
        **minimum.ATTACKS,
    },
    "Score-based: outputs, no gradients": score.ATTACKS,
    "Decision-based: labels alone": decision.ATTACKS,
    "Made of attacks": combine.ATTACKS,
}
ATTACKS: dict[str, Entry] = {name: entry for family in FAMILIES.values() for name, entry in family.items()}


def parse_attack(text: str) -> Attack:
    """`fgsm`, `pgd:steps=100,loss=dlr`; a name with a colon inside a module, `mypackage:MyAttack`, is not looked up here."""
    call = parse_call(text)
    if call.name not in ATTACKS:
        raise unknown("attack", call.name, ATTACKS)
    recipe = ATTACKS[call.name].recipe
    if call.positional:
        raise InputError(f"{call.positional[0]!r} in {text!r} has no name; write {call.name}:{_example(recipe)}")
    signature, hints = inspect.signature(recipe), typing.get_type_hints(recipe)
    values = {}
    for key, value in call.named.items():
        if key not in signature.parameters:
            raise unknown(f"option of {call.name}", key, signature.parameters)
        values[key] = _convert(value, hints[key], f"{key} of {call.name}")
    return recipe(**values)


def _convert(text: str, kind: Any, where: str) -> Any:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if text.lower() == "none" and type(None) in kinds:
        return None
    if bool in kinds:
        if text.lower() not in ("true", "false", "1", "0"):
            raise InputError(f"{where} is {text!r}; write true or false")
        return text.lower() in ("true", "1")
    if int in kinds:
        try:
            return int(text)
        except ValueError:
            raise InputError(f"{where} is {text!r}; write a whole number") from None
    return parse_number(text) if float in kinds else text


def _example(recipe: Callable[..., Attack]) -> str:
    return ",".join(f"{p.name}={p.default}" for p in list(inspect.signature(recipe).parameters.values())[:2])
