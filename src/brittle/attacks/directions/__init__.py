"""Directions: what papers on transfer change about the gradient, as values that the one loop takes in any number."""

from __future__ import annotations

from collections.abc import Callable

from .around import GradientRelevance, IntegratedGradients, NormPenalty, PenalisedNorm, VarianceTuning
from .blocks import BlockShuffle, StructureInvariant
from .diversity import DiverseInputs
from .momentum import EnhancedMomentum, PreGradient
from .pictures import Pictures
from .role import Direction
from .scales import Admix, ScaleInvariant, admix
from .spectrum import SpectrumSimulation
from .translation import TranslationInvariant
from .warp import ConstrainedWarping

DIRECTIONS: dict[str, Callable[..., Direction]] = {
    "pi": PreGradient,
    "emi": EnhancedMomentum,
    "vt": VarianceTuning,
    "pgn": PenalisedNorm,
    "gra": GradientRelevance,
    "gnp": NormPenalty,
    "ig": IntegratedGradients,
    "ti": TranslationInvariant,
    "si": ScaleInvariant,
    "admix": admix,
    "ssa": SpectrumSimulation,
    "bsr": BlockShuffle,
    "sia": StructureInvariant,
    "decowa": ConstrainedWarping,
    "di": DiverseInputs,
}

__all__ = [
    "DIRECTIONS",
    "Admix",
    "BlockShuffle",
    "ConstrainedWarping",
    "Direction",
    "DiverseInputs",
    "EnhancedMomentum",
    "GradientRelevance",
    "IntegratedGradients",
    "NormPenalty",
    "PenalisedNorm",
    "Pictures",
    "PreGradient",
    "ScaleInvariant",
    "SpectrumSimulation",
    "StructureInvariant",
    "TranslationInvariant",
    "VarianceTuning",
]
