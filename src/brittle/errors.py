"""The one error a user is meant to read: a sentence with the value, what is accepted, and the mend."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Raised for every mistake in what the user gave. The command line prints it and exits with 2.

    Its sentence may quote a file, a server or a name: it is made `printable`, so that it can be shown and stored wherever it goes.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(printable(sentence))


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


def printable(text: str) -> str:
    """The text with every character that a terminal would obey, or not show, written as its escape: ESC becomes `\\x1b`.

    Line breaks, tabs and all kinds of space stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
