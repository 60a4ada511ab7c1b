"""Attacks: values that turn a problem into proposed inputs."""

from .gradient_ascent import GradientAscent
from .noise import Noise
from .recipes import fgsm, gaussian_noise, ifgsm, mifgsm, nifgsm, pgd, repeated_fgsm, uniform_noise
from .registry import ATTACKS, Entry, parse_attack
from .restarts import Restarts

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
