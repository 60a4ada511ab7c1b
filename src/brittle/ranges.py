"""Numbers that a user gives, refused where they mean nothing: counts, and seeds of random numbers."""

from __future__ import annotations

from numbers import Integral

from .errors import InputError

LARGEST = 2**63 - 1  # what files and random generators hold


def check_counts(least: int = 1, /, **counts: object) -> None:
    """InputError unless each is a whole number from `least` up, or None, where it was not given."""
    for name, value in counts.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise InputError(f"{name}={value!r} is no whole number; give {least} or more")
        if int(value) < least:
            raise InputError(f"{name}={value} is too few; give {least} or more")
        if int(value) > LARGEST:
            raise InputError(f"{name} has {len(str(value))} digits; give {least} to {LARGEST}")


def check_seed(seed: object) -> None:
    """InputError unless it is a whole number that every random generator takes."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise InputError(f"seed={seed!r} is no whole number; give 0 or more")
    if not 0 <= int(seed) <= LARGEST:
        raise InputError(f"seed={seed} is out of range; give 0 to {LARGEST}")
