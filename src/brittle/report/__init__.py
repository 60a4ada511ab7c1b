"""From a run folder to numbers, figures, a table for the terminal and one HTML page. Imports no torch."""

from .numbers import Summary, summarise
from .page import write_report
from .read import Run, read_run
from .terminal import summary_table

__all__ = ["Run", "Summary", "read_run", "summarise", "summary_table", "write_report"]
