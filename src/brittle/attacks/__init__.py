"""Attacks: values that turn a problem into proposed inputs."""

from .combine.restarts import Restarts
from .entry import Entry
from .fixed.gradient_ascent import GradientAscent
from .fixed.noise import Noise
from .fixed.recipes import fgsm, gaussian_noise, ifgsm, mifgsm, nifgsm, pgd, repeated_fgsm, uniform_noise
from .registry import ATTACKS, parse_attack

__all__ = [
    "ATTACKS",
    "Entry",
    "GradientAscent",
    "Noise",
    "Restarts",
    "fgsm",
    "gaussian_noise",
    "ifgsm",
    "mifgsm",
    "nifgsm",
    "parse_attack",
    "pgd",
    "repeated_fgsm",
    "uniform_noise",
]
