"""Remedies by name, and strings such as `straight-through:width=0.1`."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import unknown
from ...specs import parse_call
from ..registry import called
from .door import Remedy
from .layers import stand_in
from .neighbours import Smoothed
from .operations import StraightThrough
from .outputs import BeforeSoftmax, DoublePrecision, Logarithm, Rescale
from .rejection import Rejection

REMEDIES: dict[str, Callable[..., Remedy]] = {  # where each comes from is its `paper`
    "logarithm": Logarithm,
    "before-softmax": BeforeSoftmax,
    "rescale": Rescale,
    "double-precision": DoublePrecision,
    "straight-through": StraightThrough,
    "stand-in": stand_in,
    "smoothed": Smoothed,
    "rejection": Rejection,
}


def parse_remedy(text: str) -> Remedy:
    """`before-softmax`, `straight-through:width=0.1`, `stand-in:layer=0.quantise`, `smoothed:sigma=8/255,draws=20`."""
    call = parse_call(text)
    if call.name not in REMEDIES:
        raise unknown("remedy", call.name, REMEDIES)
    remedy: Remedy = called(call, REMEDIES[call.name], text)
    return remedy
