"""A summary as plain values for JSON, which other programs may rely on: docs/cli.md has the fields."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .numbers import Cost, Summary
from .shares import Share


def plain(summary: Summary) -> dict[str, Any]:
    """Robust accuracy first, then the radii, the attacks, the stages and the warnings. What was not measured is NaN."""
    named = {name: getattr(summary, name) for name in ("victim", "data", "threat", "eps", "goal")}
    return {
        **named,
        "samples": summary.clean.n,
        "robust_accuracy": plain_share(summary.headline.robust),
        "clean_accuracy": plain_share(summary.clean),
        "proved": plain_share(summary.proved),
        "complete": summary.complete,
        "errors": summary.headline.errors,
        "radii": [
            {
                "eps": worst.eps,
                "robust_accuracy": plain_share(worst.accuracy.robust),
                "proved": plain_share(worst.proved),
                "errors": worst.accuracy.errors,
            }
            for worst in summary.worst
        ],
        "attacks": [
            {
                "name": attack.name,
                "role": attack.role,
                "eps": cell.eps,
                "robust_accuracy": plain_share(cell.accuracy.robust),
                "fooled": cell.fooled,
                "median_size": cell.sizes.median,
                **_cost(cell.cost),
            }
            for attack in summary.attacks
            for cell in attack.cells
        ],
        "stages": [
            {
                "name": stage.name,
                "role": stage.role,
                "eps": cell.eps,
                "asked": cell.asked,
                "settled": cell.settled,
                "robust_accuracy": plain_share(cell.left.robust),
                **_cost(cell.cost),
            }
            for stage in summary.chain
            for cell in stage.cells
        ],
        "warnings": [asdict(doubt) for doubt in summary.doubts],
    }


def plain_share(share: Share | None) -> dict[str, float | int] | None:
    """`value` of `n` samples with its 95 % interval [low, high]."""
    if share is None:
        return None
    return {"value": share.value, "low": share.low, "high": share.high, "count": share.count, "n": share.n}


def _cost(cost: Cost) -> dict[str, float | int]:
    return {"forwards": cost.forwards, "backwards": cost.backwards, "seconds": cost.seconds}
