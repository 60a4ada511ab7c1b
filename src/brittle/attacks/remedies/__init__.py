"""Remedies: values that give a victim an honest backward pass and leave its decisions as they are."""

from .door import Mend, MendedDoor, Remedy, mended
from .layers import StandIn, find_layer
from .neighbours import Smoothed
from .operations import StraightThrough
from .outputs import BeforeSoftmax, DoublePrecision, Logarithm, Rescale
from .rejection import Rejection

__all__ = [
    "BeforeSoftmax",
    "DoublePrecision",
    "Logarithm",
    "Mend",
    "MendedDoor",
    "Rejection",
    "Remedy",
    "Rescale",
    "Smoothed",
    "StandIn",
    "StraightThrough",
    "find_layer",
    "mended",
]
