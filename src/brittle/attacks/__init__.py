"""Attacks: values that turn a problem into proposed points. `ATTACKS` has those with a name; the others are made of attacks."""

from .combine.bisect import Bisect
from .combine.by_norm import ByNorm
from .combine.cascade import Cascade
from .combine.each_member import EachMember
from .combine.each_target import EachTarget
from .combine.far_starts import FarStarts
from .combine.far_walks import FarWalks
from .combine.few_features import FewFeatures
from .combine.if_near import IfNear
from .combine.if_stuck import IfStuck
from .combine.output_diversified import OutputDiversified
from .combine.replay import Replay
from .combine.restarts import Restarts
from .combine.start_from import StartFrom
from .combine.through import Through
from .combine.transfer_start import TransferStart
from .combine.widening import Widening
from .combine.within_radius import WithinRadius
from .entry import Entry
from .fixed.gradient_ascent import GradientAscent
from .fixed.noise import Noise
from .registry import ATTACKS, parse_attack

__all__ = [
    "ATTACKS",
    "Bisect",
    "ByNorm",
    "Cascade",
    "EachMember",
    "EachTarget",
    "Entry",
    "FarStarts",
    "FarWalks",
    "FewFeatures",
    "GradientAscent",
    "IfNear",
    "IfStuck",
    "Noise",
    "OutputDiversified",
    "Replay",
    "Restarts",
    "StartFrom",
    "Through",
    "TransferStart",
    "Widening",
    "WithinRadius",
    "parse_attack",
]
