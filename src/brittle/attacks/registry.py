"""Attacks by name, and the strings of the command line such as `pgd:steps=100,loss=dlr`."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any

from ..core.problem import Attack
from ..errors import InputError, unknown
from ..keywords import unknown_option
from ..outside import reading
from ..specs import Call, parse_call, parse_number, parse_whole
from . import combine, decision, fixed, minimum, score
from .autoattack import autoattack
from .directions import DIRECTIONS, Direction
from .entry import Entry
from .far_walks import far_walks, relaxation_if_near, square_if_near, targets_if_near, walk_if_stuck
from .fixed.recipes import compose
from .minimal import minimal

FAMILIES: dict[str, dict[str, Entry]] = {
    "Fixed budget, with gradients": fixed.ATTACKS,
    "Minimum norm, with gradients": {
        "minimal": Entry(minimal, "brittle", "at most budget x (F + B)", "linf l2 l1 l0 box"),
        **minimum.ATTACKS,
    },
    "Score-based: outputs, no gradients": score.ATTACKS,
    "Decision-based: labels alone": decision.ATTACKS,
    "Made of attacks": {
        "autoattack": Entry(
            autoattack,
            "Croce and Hein 2020, arXiv:2003.01690",
            "at most 19 x steps x (F + B) + queries x F + 53 x F",
            "linf l2 l1",
        ),
        "far_walks": Entry(
            far_walks,
            "brittle",
            "at most (1 + starts) x ((steps + climb + 10) x (F + B) + 27 x F)",
            "linf l2 l1 l0",
        ),
        "relaxation_if_near": Entry(
            relaxation_if_near,
            "Constraint Relaxation, AAAI 2025",
            "at most (45 x cycles + 2 x climb + 5) x (F + B) + (18 x cycles + 2 x queries + 12) x F",
        ),
        "square_if_near": Entry(
            square_if_near,
            "Andriushchenko 2020, arXiv:1912.00049",
            "at most 2 x climb x (F + B) + (queries + 9 x probe + 10) x F",
            "linf l2 l1",
        ),
        "targets_if_near": Entry(
            targets_if_near,
            "Croce and Hein 2020, arXiv:2003.01690",
            "at most (targets x steps + more) x (F + B) + (2 x targets + 6) x F",
        ),
        "walk_if_stuck": Entry(
            walk_if_stuck,
            "Xie 2025, arXiv:2411.15210",
            "at most (steps + 2 x walk + 10) x (F + B) + 32 x F",
            "linf l2 l1 l0",
        ),
        **combine.ATTACKS,
    },
}
ATTACKS: dict[str, Entry] = {name: entry for family in FAMILIES.values() for name, entry in family.items()}


def parse_attack(text: str) -> Attack:
    """`fgsm`, `pgd:steps=100,loss=dlr`, and with directions `mifgsm:steps=20+di:prob=0.7+ti`.

    A name with a colon inside a module, `mypackage:MyAttack`, is not looked up here.
    """
    base, *added = _PLUS.split(text)
    call = parse_call(base)
    attack: Attack = called(call, entry_of(text).recipe, base)
    return compose(attack, *map(parse_direction, added)) if added else attack


def parse_direction(text: str) -> Direction:
    """`di`, `di:prob=0.7`: see DIRECTIONS."""
    call = parse_call(text)
    if call.name not in DIRECTIONS:
        raise unknown("direction", call.name, DIRECTIONS)
    direction: Direction = called(call, DIRECTIONS[call.name], text)
    return direction


def entry_of(text: str) -> Entry:
    """What the list says of the attack that a string names, whatever is added to it."""
    name = parse_call(_PLUS.split(text)[0]).name
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    return ATTACKS[name]


_PLUS = re.compile(r"\+(?=\s*[A-Za-z_])")  # the + of 1e+3 is none


def called(call: Call, recipe: Callable[..., Any], text: str) -> Any:
    """What the recipe gives for the options of the call, each converted to the type that the recipe declares."""
    if call.positional:
        raise InputError(f"{call.positional[0]!r} in {text!r} has no name; write {call.name}:{_example(recipe)}")
    signature, hints = inspect.signature(recipe), typing.get_type_hints(recipe)
    values = {}
    for key, value in call.named.items():
        if key not in signature.parameters:
            raise unknown_option(call.name, key, signature.parameters)
        values[key] = _convert(value, hints[key], f"{key} of {call.name}")
    lacking = [p.name for p in signature.parameters.values() if p.default is p.empty and p.name not in values]
    if lacking:
        raise InputError(f"{text!r} lacks {' and '.join(lacking)}; write {call.name}:{lacking[0]}=...")
    with reading(f"{text!r} cannot be made", "give options in their ranges"):
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
        number = parse_whole(text.removeprefix("-"))
        if number is None:
            raise InputError(f"{where} is {text!r}; write a whole number")
        return -number if text.startswith("-") else number
    return parse_number(text) if float in kinds else text


def _example(recipe: Callable[..., Any]) -> str:
    first = list(inspect.signature(recipe).parameters.values())[:2]
    return ",".join(f"{p.name}={'...' if p.default is p.empty else p.default}" for p in first)
