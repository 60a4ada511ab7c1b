"""Slow references for the kernels: one sample at a time, numpy float64, by bisection, enumeration or a general solver.

Each says what a kernel must compute, not how. delta, point, grad, low and high have shape (N,).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize

from ..errors import unknown

Vector = np.ndarray[Any, np.dtype[np.float64]]


def size(delta: Vector, norm: str) -> float:
    """The norm of delta: linf, l2, l1 or l0."""
    if norm == "linf":
        return float(max(np.abs(delta), default=0.0))
    if norm == "l2":
        return math.sqrt(math.fsum(delta**2))
    if norm == "l1":
        return math.fsum(np.abs(delta))
    if norm == "l0":
        return float(np.count_nonzero(delta))
    raise unknown("norm", norm, ["linf", "l2", "l1", "l0"])


def nearest(delta: Vector, low: Vector, high: Vector, radius: float, norm: str) -> Vector:
    """The point nearest to delta, in L2, of {low <= d <= high, size(d) <= radius}, where low <= 0 <= high."""
    if norm == "linf":
        return np.clip(delta, np.maximum(low, -radius), np.minimum(high, radius))
    if norm == "l2":  # Lagrange: minimise |d - delta|^2 / 2 + m |d|^2 / 2 over the box
        return _smallest_multiplier(lambda m: np.clip(delta / (1 + m), low, high), radius, norm)
    if norm == "l1":
        return _smallest_multiplier(
            lambda m: np.clip(np.sign(delta) * np.maximum(np.abs(delta) - m, 0), low, high), radius, norm
        )
    if norm != "l0":
        raise unknown("norm", norm, ["linf", "l2", "l1", "l0"])
    kept = (np.isin(range(len(delta)), rows) for rows in _subsets(len(delta), math.floor(radius)))
    candidates = [np.where(rows, np.clip(delta, low, high), 0.0) for rows in kept]
    return min(candidates, key=lambda d: math.fsum((d - delta) ** 2))


def steepest(point: Vector, grad: Vector, step: float, low: Vector, high: Vector, norm: str) -> float:
    """The most that <grad, v> can be with size(v) <= step, and low <= point + v <= high for the norms l1 and l0."""
    if norm == "linf":
        return step * size(grad, "l1")
    if norm == "l2":
        return step * size(grad, "l2")
    if norm == "l1":  # a linear program in the positive and the negative part of v
        bounds = [*((0, room) for room in high - point), *((0, room) for room in point - low)]
        both = np.concatenate([-grad, grad])
        return -float(optimize.linprog(both, A_ub=np.ones((1, len(both))), b_ub=[step], bounds=bounds).fun)
    if norm != "l0":
        raise unknown("norm", norm, ["linf", "l2", "l1", "l0"])
    gain = np.maximum(grad * (high - point), grad * (low - point))
    return max(math.fsum(gain[list(rows)]) for rows in _subsets(len(point), math.ceil(step)))


def reach(slope: Vector, gap: float, low: Vector, high: Vector, norm: str) -> float:
    """The least size of d with <slope, d> >= gap and low <= d <= high, where low <= 0 <= high; infinite where the box does not hold one.

    By bisection of the one number that says how far each feature goes: t in Linf, t * |slope| in L2; in L1 the steepest feature first.
    """
    steep, room = np.abs(slope), np.where(slope > 0, high, -low)
    if math.fsum(steep * room) < gap:
        return math.inf
    if norm == "l1":
        order = np.argsort(-steep, kind="stable")
        before = np.concatenate([[0.0], np.cumsum((steep * room)[order])])[:-1]
        return math.fsum(np.clip((gap - before) / np.maximum(steep[order], 1e-300), 0, room[order]))
    rate = {"linf": np.ones_like(steep), "l2": steep}.get(norm)
    if rate is None:
        raise unknown("norm", norm, ["linf", "l2", "l1"])

    def missing(t: float) -> float:
        return math.fsum(steep * np.minimum(t * rate, room)) - gap

    above = 1.0
    while missing(above) < 0 and above < 1e300:
        above *= 2
    t = float(optimize.bisect(missing, 0.0, above, xtol=1e-300, rtol=1e-15, maxiter=2000))
    return size(np.minimum(t * rate, room), norm)


def uniform(seed: int, sample: int, draw: int, count: int) -> list[float]:
    """The numbers of one sample in (0, 1), by Python's whole numbers: the reference for `kernels.sampling`."""
    golden = 0x9E3779B97F4A7C15
    key = _splitmix(_splitmix(sample + golden) ^ _splitmix(seed))
    z = _splitmix(key + draw * golden)
    return [((_triple32(j * 0x9E3779B9, z) >> 9) + 0.5) * 2.0**-23 for j in range(count)]


def _smallest_multiplier(at: Callable[[float], Vector], radius: float, norm: str) -> Vector:
    """at(m) for the smallest m >= 0 with size <= radius, by bisection; the size falls with m."""
    if size(at(0.0), norm) <= radius:
        return at(0.0)
    if radius == 0:
        return np.zeros_like(at(0.0))
    above = 1.0
    while size(at(above), norm) > radius:
        above *= 2
    return at(
        float(optimize.bisect(lambda m: size(at(m), norm) - radius, 0.0, above, xtol=1e-300, rtol=1e-15, maxiter=2000))
    )


def _subsets(count: int, most: int) -> itertools.chain[tuple[int, ...]]:
    return itertools.chain.from_iterable(
        itertools.combinations(range(count), k) for k in range(min(max(most, 0), count) + 1)
    )


def _splitmix(z: int) -> int:
    z %= 1 << 64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % (1 << 64)
    return z ^ (z >> 31)


def _triple32(x: int, z: int) -> int:
    """The hash triple32, its rounds keyed with the two halves of z."""
    x, high = (x ^ z) % (1 << 32), z >> 32
    for shift, factor in ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB)):
        x = ((x ^ (x >> shift)) + high) * factor % (1 << 32)
    return x ^ (x >> 14)
