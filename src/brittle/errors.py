"""The one error a user is meant to read: a sentence with the value, what is accepted, and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Raised for every mistake in what the user gave. The command line prints it and exits with 2."""


class Unreachable(InputError):
    """What a run needs has stopped answering, or fails alike for every sample: the run ends here, not with an error for each of its
    samples, and can be gone on with."""


class MissingPackage(InputError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f'{purpose} needs the package {package}, which is not installed: pip install "brittle[{extra}]"'
        )


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a registry, with the nearest names."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}."
    return InputError(f"unknown {kind} {name!r}; {hint}")
