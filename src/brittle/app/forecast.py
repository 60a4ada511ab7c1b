"""How long a run still takes, all radii and stages included.

Cells differ in cost by a factor of a thousand, and rows of a chain that are settled cost nothing, so that rows a second say nothing. A
cell is forecast from how long the same attack or stage took at the radius before; where there is none yet, from what it typically asks of
a sample (`efforts.PASSES`, or for an attack the cost that its list states) at the speed seen so far.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..attacks import ATTACKS
from ..errors import InputError
from ..runs.cells import Cell, cells, missing
from ..runs.plan import Plan
from ..runs.store import Store
from ..specs import parse_call, parse_number
from .efforts import PASSES

TELLING = (
    5.0  # passes a sample from which on a cell tells how long a pass takes: noise and FGSM spend their time on the rows
)
USUAL = 40.0  # passes a sample of an attack of which nothing is known


@dataclass
class Forecast:
    """Of cells in the order in which they run: (name, rows lacking, typical passes a row)."""

    ahead: Sequence[tuple[str, int, float]]
    took: dict[str, float] = field(default_factory=dict)  # seconds a row, of the last cell of each name
    _finished: list[tuple[int, float, float]] = field(default_factory=list)  # rows, typical passes a row, seconds
    _at: int = 0  # the cell that runs
    _begun: float = 0.0

    @classmethod
    def of(cls, plan: Plan, store: Store) -> Forecast:
        """Of what the plan lacks in the open store."""
        done = store.done()
        lacking = [(cell, len(missing(plan, cell, done))) for cell in cells(plan)]
        ordered = [*(one for one in lacking if not one[0].after), *(one for one in lacking if one[0].after)]
        return cls([(cell.name, rows, typical(cell)) for cell, rows in ordered if rows])

    def left(self, finished: int, now: float) -> float | None:
        """Seconds left when so many of the lacking rows are finished, `now` seconds after the begin; None before anything is known."""
        before = sum(rows for _, rows, _ in self.ahead[: self._at])
        while self._at < len(self.ahead) and finished >= before + self.ahead[self._at][1]:
            name, rows, passes = self.ahead[self._at]
            self.took[name] = (now - self._begun) / rows
            self._finished.append((rows, passes, now - self._begun))
            self._begun, before, self._at = now, before + rows, self._at + 1
        ahead = self.ahead[self._at :]
        row, one = self._speed()
        if not one and any(name not in self.took for name, _, _ in ahead):
            return None
        needed = [rows * self.took.get(name, row + one * passes) for name, rows, passes in ahead]
        return max(sum(needed) - min(now - self._begun, needed[0]), 0.0) if needed else 0.0

    def _speed(self) -> tuple[float, float]:
        """Seconds that a row takes whatever is asked, those of the quickest cell, and seconds a pass beyond these: 0 where not known."""
        row = min((seconds / rows for rows, _, seconds in self._finished), default=0.0)
        dear = [cell for cell in self._finished if cell[1] >= TELLING]
        passes = sum(rows * passes for rows, passes, _ in dear)
        beyond = sum(seconds - row * rows for rows, _, seconds in dear)
        return row, beyond / passes if passes else 0.0


def typical(cell: Cell) -> float:
    """Forwards and backwards a sample, in the mean over all samples of a run."""
    if cell.role in ("clean", "noise"):
        return 1.0
    return PASSES.get(cell.name) or declared(cell.name) or USUAL


def declared(text: str) -> float | None:
    """What the list states that an attack costs a sample at most, in forwards and backwards; None where the text names no attack."""
    try:
        call = parse_call(text.partition("+")[0])
        entry = ATTACKS[call.name]
        options = {name: one.default for name, one in inspect.signature(entry.recipe).parameters.items()}
        given = {name: parse_number(value) for name, value in call.named.items() if value[:1].isdigit()}
    except (InputError, KeyError):
        return None
    numbers = {name: value for name, value in (options | given).items() if isinstance(value, int | float)}
    known = {"max": max, "min": min, "classes": 10, "F": 1, "B": 1, **numbers}
    try:
        return float(eval(entry.cost.removeprefix("at most ").replace(" x ", " * "), {"__builtins__": {}}, known))
    except (NameError, TypeError):  # an option that is no number
        return None
