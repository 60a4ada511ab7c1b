"""How easily a model is fooled, in words: the sentence that a report begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .numbers import Summary
from .words import counted, radius

# By the share, of the samples that are right untouched, that something fooled. Below each limit the words before it hold.
SCALE = (
    (0.05, "hardly ever fooled"),
    (0.25, "fooled now and then"),
    (0.5, "often fooled"),
    (0.9, "easily fooled"),
    (1.01, "almost always fooled"),
)
NEVER = "not fooled by anything tried"


@dataclass(frozen=True)
class Verdict:
    """`words` complete "The model is ..."; `sentence` says on what they rest, and `more` compares with noise and with other sizes."""

    words: str
    sentence: str
    more: tuple[str, ...]


def verdict(summary: Summary, bounds: Sequence[float]) -> Verdict | None:
    """None where nothing was measured, or no sample is right untouched."""
    fooled = summary.fooled
    if not fooled.n:
        return None
    words = NEVER if not fooled.count else next(words for limit, words in SCALE if fooled.value < limit)
    becomes = "is brought to its target class" if summary.targeted else "is taken for something else"
    become = "are brought to their target classes" if summary.targeted else "are taken for something else"
    right = (
        f"Of the {counted(fooled.n, 'sample')} that it gets right"
        if fooled.n > 1
        else "Of the one sample that it gets right"
    )
    count = "none" if not fooled.count else "all" if fooled.count == fooled.n and fooled.n > 1 else f"{fooled.count:,}"
    sentence = f"{right}, {count} {becomes if fooled.count == 1 else become} {allowed(summary, bounds)}."
    return Verdict(words, sentence, tuple(filter(None, (_noise(summary), _half(summary, bounds)))))


def allowed(summary: Summary, bounds: Sequence[float]) -> str:
    """What the adversary may do, in words: `when each value may change by up to 8/255`."""
    size = radius(summary.eps, summary.threat, bounds)
    return {
        "linf": f"when each value may change by up to {size}",
        "l2": f"when the change may be up to {size} long (Euclidean length)",
        "l1": f"when all changes may add up to {size}",
        "l0": f"when up to {size} values may change",
    }.get(
        summary.threat,
        f"under {summary.threat}" if size == "any size" else f"under {summary.threat} of size up to {size}",
    )


def _noise(summary: Summary) -> str:
    cells = [cell for noise in summary.noise if (cell := noise.at(summary.eps))]
    if not cells:
        return ""
    most = max(cell.fooled for cell in cells)
    return (
        f"Random noise of the same size does that to {most:,}."
        if most
        else "Random noise of the same size does that to none."
    )


def _half(summary: Summary, bounds: Sequence[float]) -> str:
    """At which other radius half of what was right is lost first; empty where it is the one in question, or where no other was tried."""
    if len(summary.grid) < 2:
        return ""
    half = next((case.eps for case in summary.worst if 2 * case.accuracy.robust.count <= summary.fooled.n), None)
    if half is None:
        return f"At no size tried, up to {radius(summary.grid[-1], summary.threat, bounds)}, half of them are lost."
    if half == summary.eps:
        return ""
    return f"At {radius(half, summary.threat, bounds)}{' already' if half < summary.eps else ''}, half of them or more are lost."
