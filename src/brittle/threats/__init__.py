"""What the adversary may do, as values: `linf(8/255)`, `l2(0.5)`, `l1(12)`, `l0(10)`, `box()`."""

from .ball import Ball, Box, box, l0, l1, l2, linf
from .mask import Mask
from .region import BallRegion
from .registry import THREATS, as_threat, parse_threat
from .semantic import Composite, Semantic, blur, brightness, composite, contrast, hue, saturation
from .spatial import Flow, Spatial, SpatialRegion, flow, spatial
from .union import Union, UnionRegion, union

__all__ = [
    "THREATS",
    "Ball",
    "BallRegion",
    "Box",
    "Composite",
    "Flow",
    "Mask",
    "Semantic",
    "Spatial",
    "SpatialRegion",
    "Union",
    "UnionRegion",
    "as_threat",
    "blur",
    "box",
    "brightness",
    "composite",
    "contrast",
    "flow",
    "hue",
    "l0",
    "l1",
    "l2",
    "linf",
    "parse_threat",
    "saturation",
    "spatial",
    "union",
]
