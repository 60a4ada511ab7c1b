"""What classes are called, short enough for a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def short_names(descriptions: Sequence[str]) -> tuple[str, ...]:
    """The first of several synonyms, as in `tench, Tinca tinca`; all of them where another class begins alike, with the class's
    number where they are the same."""
    firsts = [text.partition(",")[0] for text in descriptions]
    often, same = Counter(firsts), Counter(descriptions)
    return tuple(
        first if often[first] == 1 else text if same[text] == 1 else f"{text} ({index})"
        for index, (first, text) in enumerate(zip(firsts, descriptions, strict=True))
    )
