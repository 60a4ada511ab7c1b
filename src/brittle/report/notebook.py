"""A summary as HTML for a cell of a notebook."""

from __future__ import annotations

import io
from html import escape

from rich.console import Console

from .numbers import Summary
from .terminal import footnote, summary_table

WIDTH = 100


def summary_html(summary: Summary) -> str:
    """The table of the terminal, its footnote and the warnings, in a fixed-width font; no script."""
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_jupyter=False)
    console.print(summary_table(summary))
    console.print(footnote(summary), style="dim", highlight=False)
    table = console.export_html(inline_styles=True, code_format="<pre style='line-height: 1.3'>{code}</pre>")
    warnings = "".join(
        f"<li>{escape(' '.join((doubt.measured, doubt.why, doubt.mend)))}</li>" for doubt in summary.doubts
    )
    return table + (f"<p><b>Warnings</b></p><ul>{warnings}</ul>" if warnings else "")
