"""Attacks by name, and the strings of the command line such as `pgd:steps=100,loss=dlr`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.problem import Attack
from ..errors import InputError, unknown
from ..specs import parse_call, parse_number
from . import recipes


@dataclass(frozen=True)
class Entry:
    """A recipe and what a list says of it. `role` is noise for baselines that look at no gradient and no score."""

    recipe: Callable[..., Attack]
    paper: str
    cost: str
    norms: str = "linf l2 l1 l0 box"
    role: str = "attack"


ATTACKS: dict[str, Entry] = {
    "fgsm": Entry(recipes.fgsm, "Goodfellow 2015, arXiv:1412.6572", "1F + 1B"),
    "ifgsm": Entry(recipes.ifgsm, "Kurakin 2017, arXiv:1607.02533", "steps x (1F + 1B)"),
    "repeated_fgsm": Entry(recipes.repeated_fgsm, "Kurakin 2017, arXiv:1611.01236", "up to steps x (1F + 1B)"),
    "pgd": Entry(recipes.pgd, "Madry 2018, arXiv:1706.06083", "up to steps x (1F + 1B) + 1F"),
    "mifgsm": Entry(recipes.mifgsm, "Dong 2018, arXiv:1710.06081", "steps x (1F + 1B)"),
    "nifgsm": Entry(recipes.nifgsm, "Lin 2020, arXiv:1908.06281", "steps x (1F + 1B)"),
    "uniform_noise": Entry(recipes.uniform_noise, "baseline", "0, or draws x 1F", role="noise"),
    "gaussian_noise": Entry(recipes.gaussian_noise, "baseline", "0, or draws x 1F", role="noise"),
}


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
