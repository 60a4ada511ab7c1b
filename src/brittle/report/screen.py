"""The terminal: what names, files and servers bring along is shown there, and nothing of it obeyed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..errors import printable


class Screen(Console):
    """A console that shows text as it is: no markup and no emoji where none is asked for (`print(..., markup=True)`), and what a terminal
    would obey as its escape."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The parts of what is shown; Rich's own control codes come as parts of their own kind."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)
