"""One self-contained HTML page for a run: no network, no script, readable on a phone, in the dark and on paper."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..errors import InputError
from ..files import write_whole
from . import figures, words
from .gallery import gallery
from .numbers import Summary
from .read import Run, read_kept, read_run
from .template import filled

Floats = NDArray[np.float64]


def write_report(run_folder: Path | str, out: Path | str | None = None) -> Path:
    """Write the page of a run, finished or not, and return its path (default: `report.html` in the run's folder)."""
    run = read_run(run_folder)
    path = Path(out) if out is not None else run.folder / "report.html"
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"the report cannot be written to {str(path)!r}; give a file in a folder that exists")
    write_whole(path, render(run).encode())
    return path


def render(run: Run) -> str:
    """The page's HTML."""
    summary = run.summary
    resolved: Mapping[str, Any] = run.plan.get("resolved") or {}
    bounds = [float(bound) for bound in resolved.get("bounds") or (0.0, 1.0)]
    classes = [str(name) for name in resolved.get("classes") or ()]
    eps = words.radius(summary.eps, summary.threat, bounds)
    won, margins = _values(run, summary)
    pictures = gallery(run.rows, read_kept(run), summary, bounds, classes)
    return filled(
        "page.html",
        _filters(),
        s=summary,
        run=run,
        resolved=resolved,
        at=f"{summary.threat} eps\u00a0=\u00a0{eps}" if math.isfinite(summary.eps) else summary.threat,
        eps=eps,
        radii=[(eps, words.radius(eps, summary.threat, bounds)) for eps in summary.grid],
        worst={case.eps: case.accuracy.robust for case in summary.worst},
        legend=figures.legend(summary),
        curves=Markup(figures.curves(summary, bounds)) if figures.has_curves(summary) else "",
        margins=Markup(figures.margins(summary, margins)) if any(v.size for v in margins.values()) else "",
        sizes=Markup(figures.sizes(summary, won, bounds)),
        full=[name for name, values in won.items() if figures.whole_radius(values, summary.eps)],
        doubts=[doubt for doubt in summary.doubts if doubt.kind != "incomplete"],
        gallery=pictures,
        settings={str(a.get("name")): words.setting(a.get("value", "")) for a in run.plan.get("attacks", [])},
        tested=[part.name for part in summary.parts if part.role not in ("noise", "proof") and part.cells],
    )


def _values(run: Run, summary: Summary) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """At the radius in question, by attack: sizes of what fooled a sample that was right, margins of all samples."""
    table = run.rows
    names, radii = table["attack"].to_numpy(), table["eps"].to_numpy()
    roles = table["role"].to_numpy()
    ok = table["error"].to_numpy() == ""
    won = table["success"].to_numpy() & table["clean_correct"].to_numpy()
    here = ok & np.isclose(radii, summary.eps, rtol=1e-9, atol=0.0)
    size, margin = table["size"].to_numpy(), table["margin"].to_numpy()
    sizes: dict[str, Floats] = {}
    margins: dict[str, Floats] = {"clean": margin[ok & (roles == "clean") & np.isfinite(margin)]}
    for attack in summary.attacks:
        chosen = here & (names == attack.name)
        sizes[attack.name] = size[chosen & won & np.isfinite(size)]
        margins[attack.name] = margin[chosen & np.isfinite(margin)]
    return sizes, margins


def _filters() -> dict[str, Callable[..., Any]]:
    plain = {name: getattr(words, name) for name in ("amount", "between", "confidence", "duration", "several", "span")}
    unbroken = {name: _unbroken(getattr(words, name)) for name in ("percent", "interval", "counted")}
    return plain | unbroken | {"command": _command, "source": words.source_name}


def _command(value: Any) -> str:
    """A command as it was typed, from text or from a list of words."""
    return value if isinstance(value, str) else shlex.join(map(str, value))


def _unbroken(write: Any) -> Any:
    """The same words with a no-break space before each unit and inside an interval."""

    def written(*values: Any) -> str:
        return str(write(*values)).replace(" ", "\u00a0")

    return written
