"""Certificates: what no perturbation of a region can do to a network, proved."""
