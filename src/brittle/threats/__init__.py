"""What the adversary may do, as values: `linf(8/255)`, `l2(0.5)`, `l1(12)`, `l0(10)`, `box()`."""

from .ball import Ball, BallRegion, Box, box, l0, l1, l2, linf
from .mask import Mask
from .registry import THREATS, parse_threat
from .spatial import Flow, Spatial, SpatialRegion, flow, spatial

__all__ = [
    "THREATS",
    "Ball",
    "BallRegion",
    "Box",
    "Flow",
    "Mask",
    "Spatial",
    "SpatialRegion",
    "box",
    "flow",
    "l0",
    "l1",
    "l2",
    "linf",
    "parse_threat",
    "spatial",
]
