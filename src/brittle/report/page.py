"""One self-contained HTML page for a run: no network, readable on a phone, in the dark, on paper and without its script."""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..errors import InputError
from ..files import write_whole
from . import figures, words
from .gallery import class_name, gallery
from .glance import glance
from .numbers import Summary
from .read import Run, read_kept, read_run
from .settings import settings
from .template import filled, source
from .verdict import verdict

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
    low, high = resolved.get("bounds") or (0.0, 1.0)
    bounds = [float(np.min(low)), float(np.max(high))]  # of all features, where each has its own
    classes = [str(name) for name in resolved.get("classes") or ()]
    eps = words.radius(summary.eps, summary.threat, bounds)
    won, margins = _values(run, summary)
    pictures = gallery(run.rows, read_kept(run), summary, bounds, classes)
    doubts = [doubt for doubt in summary.doubts if doubt.kind != "incomplete"]
    script = source("page.js")
    return filled(
        "page.html",
        _filters(classes),
        s=summary,
        verdict=verdict(summary, bounds),
        glance=Markup(glance(summary, bounds)) if figures.has_curves(summary) and summary.headline.robust.n else "",
        script=Markup(script),
        scripts=Markup(f"'sha256-{_digest(script)}'"),
        deciding=figures.deciding(summary),
        run=run,
        bounds=bounds,
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
        doubts=doubts,
        gallery=pictures,
        entries=[
            {"name": entry["name"], "role": entry["role"], "about": entry.get("about", ""), "reach": entry.get("reach")}
            | {"settings": settings(entry["value"])}
            for entry in run.plan["attacks"]
        ],
        tested=[part.name for part in summary.parts if part.role not in ("noise", "proof") and part.cells],
    )


def _values(run: Run, summary: Summary) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """At the radius in question, by attack: sizes of what fooled a sample that was right, margins of all samples.

    Of a stage, whose rows say how samples stand after it, those that it was asked about. `figures.TOGETHER`: the best of everything.
    """
    table = run.rows
    names, radii = table["attack"].to_numpy(), table["eps"].to_numpy()
    roles = table["role"].to_numpy()
    ok = table["error"].to_numpy() == ""
    won = table["success"].to_numpy() & table["clean_correct"].to_numpy()
    here = ok & np.isclose(radii, summary.eps, rtol=1e-9, atol=0.0)
    size, margin = table["size"].to_numpy(), table["margin"].to_numpy()
    sizes: dict[str, Floats] = {}
    margins: dict[str, Floats] = {"clean": margin[ok & (roles == "clean") & np.isfinite(margin)]}
    asked = (roles == "attack") | (roles == "noise") | (table["forwards"].to_numpy() > 0)
    for name in (*(attack.name for attack in summary.attacks), *figures.deciding(summary)):
        chosen = here & (names == name) & asked
        sizes[name] = size[chosen & won & np.isfinite(size)]
        margins[name] = margin[chosen & np.isfinite(margin)]
    tried = here & (roles != "clean") & np.isfinite(margin)
    if tried.any():
        _, place = np.unique(table["id"].to_numpy()[tried], return_inverse=True)
        best = np.full(int(place.max()) + 1, -math.inf)
        np.maximum.at(best, place, margin[tried])
        margins[figures.TOGETHER] = best
    return sizes, margins


def _filters(classes: Sequence[str]) -> dict[str, Callable[..., Any]]:
    plain = {name: getattr(words, name) for name in ("amount", "between", "confidence", "duration", "several", "span")}
    unbroken = {name: _unbroken(getattr(words, name)) for name in ("percent", "interval", "counted")}
    own = {"command": _command, "source": words.source_name, "moment": _moment}
    return plain | unbroken | own | {"class": lambda label: class_name(label, classes)}


def _moment(value: Any) -> Markup:
    """A time that the page's script writes in the reader's own way; without it, as the run noted it."""
    text = str(value)
    return Markup('<time datetime="{}">{}</time>').format(text, words.moment(text))


def _digest(script: str) -> str:
    """By which the page's policy knows its one script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _command(value: Any) -> str:
    """A command as it was typed, from text or from a list of words."""
    return value if isinstance(value, str) else shlex.join(map(str, value))


def _unbroken(write: Any) -> Any:
    """The same words with a no-break space before each unit and inside an interval."""

    def written(*values: Any) -> str:
        return str(write(*values)).replace(" ", "\u00a0")

    return written
