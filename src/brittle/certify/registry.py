"""Certificates by name, and the strings of a plan such as `alpha_crown:steps=50`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError, unknown
from ..specs import parse_call, parse_whole
from .methods import Certifier, Crown, Interval, InTurn


@dataclass(frozen=True)
class Entry:
    """A recipe, whose call gives a certifier, and the paper that it follows."""

    recipe: Callable[..., Certifier]
    paper: str


def crown_ibp() -> Crown:
    """CROWN on interval limits: a few times the cost of intervals."""
    return Crown(refined=0)


def crown() -> Crown:
    """CROWN: every limit that a ReLU or a pool stands on is found by lines too."""
    return Crown()


def alpha_crown(steps: int = 20) -> Crown:
    """CROWN, then `steps` steps that raise the lower slopes, for the classes that are not excluded yet."""
    return Crown(steps=steps)


def standard(refined: int = 512, steps: int = 20) -> InTurn:
    """From cheap to dear, for what is left open: CROWN on intervals, on `refined` better limits a layer, on all; slopes raised."""
    return InTurn((Crown(refined=0), Crown(refined=refined), Crown(steps=steps)))


CERTIFIERS: dict[str, Entry] = {
    "interval": Entry(Interval, "Gowal et al. 2018, arXiv:1810.12715"),
    "crown_ibp": Entry(crown_ibp, "Zhang et al., ICLR 2020, arXiv:1906.06316"),
    "crown": Entry(crown, "Zhang et al., NeurIPS 2018, arXiv:1811.00866"),
    "alpha_crown": Entry(alpha_crown, "Xu et al., ICLR 2021, arXiv:2011.13824"),
    "standard": Entry(standard, "brittle"),
}


def parse_certifier(text: str) -> Certifier:
    """`crown`, `alpha_crown:steps=50`; every option is a whole number."""
    call = parse_call(text)
    if call.name not in CERTIFIERS:
        raise unknown("certificate", call.name, CERTIFIERS)
    recipe = CERTIFIERS[call.name].recipe
    known = inspect.signature(recipe).parameters
    if call.positional:
        raise InputError(f"{call.positional[0]!r} in {text!r} has no name; write for example alpha_crown:steps=20")
    for key, value in call.named.items():
        if key not in known:
            raise (
                unknown(f"option of {call.name}", key, known)
                if known
                else InputError(f"{call.name} has no options; drop {key!r}")
            )
        if parse_whole(value) is None:
            raise InputError(f"{key} of {call.name} is {value!r}; write a whole number")
    return recipe(**{key: parse_whole(value) for key, value in call.named.items()})
