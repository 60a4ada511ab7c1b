"""A chain of stages: each runs on what those before it have left open, and its rows say how every sample stands after it.

A sample is settled, and costs nothing more, when the model gets it wrong untouched, when a stage has fooled it, when it is proved, or when
it is out of a stage's reach: when the largest goal margin that was found so far lies further below zero than `reach` times its margin
untouched. Whether a sample is settled depends on its own rows alone, so that batches, processes and interruptions change nothing. Needs no
torch.
"""

from __future__ import annotations

from dataclasses import replace

from .cells import Cell
from .rows import CELL, COST, Row


def settled(before: Row, clean: Row, reach: float | None) -> bool:
    """Whether the next stage leaves this sample alone, from its row of the stage before and its untouched row."""
    if clean.error or not clean.clean_correct or before.success or before.proved:
        return True
    return reach is not None and before.margin < -reach * abs(clean.margin)


def carried(before: Row, cell: Cell) -> Row:
    """The row of a settled sample: as before, at no cost."""
    return replace(before, **cell.columns, forwards=0, backwards=0, aside_forwards=0, aside_backwards=0, seconds=0.0)


def joined(before: Row, row: Row) -> Row:
    """The row after a stage: what it found if that is better, what was known if not; at the stage's cost. An error stays to be seen."""
    if row.error:
        return row
    if row.success or before.error or row.margin > before.margin:
        return replace(row, proved=before.proved or row.proved)
    own = {name: getattr(row, name) for name in (*CELL, *COST)}
    return replace(before, **own, proved=before.proved or row.proved)
