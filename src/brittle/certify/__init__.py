"""Certificates: what no perturbation of a region can do to a network, proved."""

from .methods import Certifier, Crown, Interval, InTurn, prove
from .registry import CERTIFIERS, parse_certifier

__all__ = ["CERTIFIERS", "Certifier", "Crown", "InTurn", "Interval", "parse_certifier", "prove"]
