"""Directions: what papers on transfer change about the gradient, as values that the one loop takes in any number."""

from __future__ import annotations

from collections.abc import Callable

from .around import GradientRelevance, IntegratedGradients, MaximinFlatness, NormPenalty, PenalisedNorm, VarianceTuning
from .blocks import BlockShuffle, StructureInvariant
from .diversity import DiverseInputs
from .features import FeatureImportance, NeuronAttribution, PerturbationDecay
from .learnt import LearntTransformation
from .members import AdaptiveEnsemble, CommonWeakness, MeanLoss, VarianceReduced
from .momentum import EnhancedMomentum, PreGradient
from .objects import ObjectBased
from .pictures import Pictures
from .role import Direction
from .scales import Admix, ScaleInvariant, admix
from .spectrum import SpectrumSimulation
from .styles import StyleTransfer
from .surrogate import GhostNetworks, LinearBackward, SkipGradient
from .translation import TranslationInvariant
from .warp import ConstrainedWarping

DIRECTIONS: dict[str, Callable[..., Direction]] = {
    "pi": PreGradient,
    "emi": EnhancedMomentum,
    "vt": VarianceTuning,
    "pgn": PenalisedNorm,
    "mef": MaximinFlatness,
    "gra": GradientRelevance,
    "gnp": NormPenalty,
    "ig": IntegratedGradients,
    "losses": MeanLoss,
    "svre": VarianceReduced,
    "cwa": CommonWeakness,
    "adaea": AdaptiveEnsemble,
    "ti": TranslationInvariant,
    "si": ScaleInvariant,
    "admix": admix,
    "ssa": SpectrumSimulation,
    "bsr": BlockShuffle,
    "sia": StructureInvariant,
    "decowa": ConstrainedWarping,
    "stm": StyleTransfer,
    "l2t": LearntTransformation,
    "odi": ObjectBased,
    "di": DiverseInputs,
    "sgm": SkipGradient,
    "linbp": LinearBackward,
    "ghost": GhostNetworks,
    "ilpd": PerturbationDecay,
    "fia": FeatureImportance,
    "naa": NeuronAttribution,
}

__all__ = [
    "DIRECTIONS",
    "AdaptiveEnsemble",
    "Admix",
    "BlockShuffle",
    "CommonWeakness",
    "ConstrainedWarping",
    "Direction",
    "DiverseInputs",
    "EnhancedMomentum",
    "FeatureImportance",
    "GhostNetworks",
    "GradientRelevance",
    "IntegratedGradients",
    "LearntTransformation",
    "LinearBackward",
    "MaximinFlatness",
    "MeanLoss",
    "NeuronAttribution",
    "NormPenalty",
    "ObjectBased",
    "PenalisedNorm",
    "PerturbationDecay",
    "Pictures",
    "PreGradient",
    "ScaleInvariant",
    "SkipGradient",
    "SpectrumSimulation",
    "StructureInvariant",
    "StyleTransfer",
    "TranslationInvariant",
    "VarianceReduced",
    "VarianceTuning",
]
