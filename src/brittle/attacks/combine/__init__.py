"""Attacks made of attacks."""

from __future__ import annotations

from ...core.access import Access
from ..entry import Entry
from .bisect import bisect_pgd
from .patch import Patch
from .replay import Replay


def replay(path: str) -> Replay:
    """Add the perturbation saved in a file, such as one of `brittle universal`, to every input. Cost: nothing."""
    return Replay.read(path)


def stick(path: str) -> Patch:
    """Stick the patch saved in a file, such as one of `brittle patch`, onto every picture, each at a place of its own. Cost: nothing."""
    return Patch.read(path)


ATTACKS: dict[str, Entry] = {
    "replay": Entry(
        replay, "Moosavi-Dezfooli 2017, arXiv:1610.08401", "0", "linf l2 l1 l0 box", given_access=Access.LABELS
    ),
    "stick": Entry(stick, "Brown 2017, arXiv:1712.09665", "0", "linf l2 l1 l0 box", given_access=Access.LABELS),
    "bisect_pgd": Entry(
        bisect_pgd, "Madry 2018, arXiv:1706.06083", "at most rounds x (steps x (F + B) + (2 + shrink) x F) + F"
    ),
}
