"""Model extraction: surrogates that learn from nothing but a target's answers."""

from .learners import FromNothing, Learner, OnBackbone
from .lessons import Lessons, Pool, Teacher
from .methods import METHODS, AdaptiveKnockoff, JacobianAugmentation, Knockoff, Method, parse_method

__all__ = [
    "METHODS",
    "AdaptiveKnockoff",
    "FromNothing",
    "JacobianAugmentation",
    "Knockoff",
    "Learner",
    "Lessons",
    "Method",
    "OnBackbone",
    "Pool",
    "Teacher",
    "parse_method",
]
