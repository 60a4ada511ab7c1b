"""Threats by name, and the strings of the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..core.bounds import read_table
from ..core.problem import Threat
from ..errors import InputError, unknown
from ..specs import Call, parse_call, parse_number
from .ball import box, l0, l1, l2, linf
from .mask import Mask
from .semantic import blur, brightness, composite, contrast, hue, saturation
from .spatial import flow, spatial
from .union import union

THREATS: dict[str, Callable[..., Threat]] = {
    "linf": linf,
    "l2": l2,
    "l1": l1,
    "l0": l0,
    "box": box,
    "spatial": spatial,
    "flow": flow,
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
    "blur": blur,
    "composite": composite,
    "union": union,
}
_BALLS = ("linf", "l2", "l1", "l0", "box")
_PARTS: dict[str, tuple[str, ...]] = {  # what threats are made of that are made of threats
    "composite": tuple(name for name in THREATS if name not in ("box", "composite", "union")),
    "union": ("linf", "l2", "l1", "l0"),
}


def as_threat(given: str | Threat) -> Threat:
    """A threat value, or the one that a string names. InputError for what is none, such as a bare number."""
    if isinstance(given, str):
        return parse_threat(given)
    if isinstance(given, int | float):
        raise InputError(
            f"the threat is the number {given:g}, which says how far but not in which norm; "
            f"give brittle.linf({given:g}) or brittle.l2({given:g})"
        )
    if isinstance(given, type) or not isinstance(given, Threat):
        name = getattr(given, "__name__", "")
        mend = (
            f"did you forget its size, as in brittle.{name}(8 / 255)?"
            if name
            else "give brittle.linf(8 / 255) or 'linf:8/255'"
        )
        raise InputError(f"{name or type(given).__name__!r} is not a threat; {mend}")
    return given


def parse_threat(text: str) -> Threat:
    """`linf:8/255`, `l0:10,mask=allowed.png`, `box`, `spatial:angle_deg=20,shift=0.1`, `hue:0.5`, `composite:hue=0.5,linf=8/255`,
    `union:linf=8/255,l2=0.5,l1=12`; `linf:file=eps.npy` has an eps for each feature, `linf:0.5,file=eps.npy` half of these."""
    call = parse_call(text)
    if call.name not in THREATS:
        raise unknown("threat", call.name, THREATS)
    if call.name in _PARTS:
        return _composed(text, call)
    if call.name not in _BALLS:
        return _turning(text, call)
    known = ["mask", "eps"] if call.name in ("box", "l0") else ["mask", "eps", "file"]
    extra = set(call.named) - set(known)
    if extra:
        raise unknown("threat option", extra.pop(), known)
    mask = Mask.read(call.named["mask"]) if "mask" in call.named else None
    sizes = [*call.positional, *([call.named["eps"]] if "eps" in call.named else [])]
    if call.name == "box":
        if sizes:
            raise InputError(f"{text!r}: box has no eps; write just 'box'")
        return box(mask)
    if "file" in call.named and len(sizes) < 2:
        threat = THREATS[call.name](read_table(call.named["file"], "eps"), mask)
        return threat.with_eps(parse_number(sizes[0])) if sizes else threat
    if len(sizes) != 1:
        raise InputError(
            f"{text!r} needs one size; write for example '{call.name}:{'10' if call.name == 'l0' else '8/255'}'"
        )
    return THREATS[call.name](parse_number(sizes[0]), mask)


def _turning(text: str, call: Call) -> Threat:
    """A threat whose options are all numbers, by name or in order."""
    names = list(inspect.signature(THREATS[call.name]).parameters)
    if len(call.positional) > len(names):
        raise InputError(f"{text!r} has too many numbers; {call.name} takes {', '.join(names)}")
    given = {**dict(zip(names, call.positional, strict=False)), **call.named}
    for name in given:
        if name not in names:
            raise unknown("threat option", name, names)
    if call.name != "spatial" and "eps" not in given:
        unit = ", in pixels" if call.name == "flow" else ""
        raise InputError(f"{text!r} needs one size{unit}; write for example '{call.name}:{1 if unit else 0.3}'")
    return THREATS[call.name](**{name: parse_number(value) for name, value in given.items()})


def _composed(text: str, call: Call) -> Threat:
    """A composite or a union: its threats, in order, each by its name and eps."""
    if call.positional or not call.named:
        example = "hue=0.5,linf=8/255" if call.name == "composite" else "linf=8/255,l2=0.5"
        raise InputError(f"{text!r} needs threats and their sizes; write for example '{call.name}:{example}'")
    parts = [(name, value) for name, value in call.named.items() if name != "eps"]
    for name, _ in parts:
        if name not in _PARTS[call.name]:
            raise unknown(f"part of {call.name}", name, _PARTS[call.name])
    threats: list[Any] = [THREATS[name](eps=parse_number(value)) for name, value in parts]
    return THREATS[call.name](*threats, eps=parse_number(call.named.get("eps", "1")))
