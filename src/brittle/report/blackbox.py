"""What the same steps do with a network's own gradients, with those of another, and what noise does: numbers, claims, page and picture.

Starts without torch: it is given which samples stayed right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..files import make_folder, write_whole
from . import words
from .blackbox_figure import Line, Plot, picture, svg
from .compare import Paired, paired
from .shares import Share, share
from .template import filled

WHITE, BLACK, NOISE = "white box", "black box", "noise"


@dataclass(frozen=True)
class Curve:
    """`right[i]` says of each sample whether the target is right before and stays right at the i-th radius."""

    box: str  # WHITE, BLACK or NOISE
    steps: int  # 0 for noise
    right: tuple[tuple[bool, ...], ...]

    @property
    def name(self) -> str:
        return (
            NOISE
            if self.box == NOISE
            else f"FGSM, {self.box}"
            if self.steps == 1
            else f"I-FGSM {self.steps}, {self.box}"
        )

    @property
    def shares(self) -> tuple[Share, ...]:
        return tuple(share(sum(row), len(row)) for row in self.right)


@dataclass(frozen=True)
class Study:
    """A target under its own gradients, a surrogate's and noise, on the same samples at every radius of `grid`."""

    target: str
    surrogate: str
    data: str
    threat: str
    bounds: list[Any]  # lowest and highest value: numbers, or nested lists of one for each feature
    eps: float  # where the claims are read; one of the grid
    grid: tuple[float, ...]
    steps: tuple[int, ...]  # ascending, two or more
    right: tuple[bool, ...]  # the target on the untouched samples
    surrogate_right: tuple[bool, ...]
    curves: tuple[Curve, ...]

    def curve(self, box: str, steps: int = 0) -> Curve:
        return next(curve for curve in self.curves if (curve.box, curve.steps) == (box, steps))

    def at(self, box: str, steps: int = 0) -> tuple[bool, ...]:
        """Which samples stay right at `eps`."""
        return self.curve(box, steps).right[self.grid.index(self.eps)]


@dataclass(frozen=True)
class Claim:
    """A published fact, what was found of it here, and whether that bears it out; None where these samples do not tell."""

    fact: str
    found: str
    held: bool | None
    gap: Paired

    @property
    def verdict(self) -> str:
        return {True: "seen here", False: "not so here", None: "not told apart by these samples"}[self.held]


def claims(study: Study) -> tuple[Claim, ...]:
    """The facts that the experiment is known for, read at the radius in question, by the paired difference and its 95 % interval.

    Kurakin et al. 2017, arXiv:1611.01236, section 4: iterated perturbations transfer less than those of one step.
    """
    one, most = study.steps[0], study.steps[-1]
    few, many = _named(one), _named(most)
    noise = paired(study.at(NOISE), study.at(BLACK, one))
    white = paired(study.at(WHITE, one), study.at(WHITE, most))
    black = paired(study.at(BLACK, one), study.at(BLACK, most))
    return (
        Claim(
            "What is crafted on another network hurts more than noise of the same size.",
            f"black-box {few} {costs(noise, NOISE)}",
            _sign(noise),
            noise,
        ),
        Claim(
            "With the target's own gradients more steps help.",
            f"white-box {many} {costs(white, few)}",
            _sign(white),
            white,
        ),
        Claim(
            "With the surrogate's gradients more steps fit the surrogate: the black box gets weaker.",
            f"black-box {many} {costs(black, few)}",
            _sign(paired(study.at(BLACK, most), study.at(BLACK, one))),
            black,
        ),
    )


def costs(gap: Paired, than: str) -> str:
    """`costs the target 12 points [4, 21] more than noise`: the difference and its interval."""
    sign = -1 if gap.difference < 0 else 1
    low, high = sorted((100 * sign * gap.low, 100 * sign * gap.high))
    size = f"{_number(100 * abs(gap.difference))} points [{_number(low)}, {_number(high)}]"
    return f"costs the target {size} {'less' if sign < 0 else 'more'} than {than}"


def plain(study: Study) -> str:
    """As JSON."""
    rows = [
        {
            "box": curve.box,
            "steps": curve.steps,
            "right": [
                {"eps": e, "count": s.count, "n": s.n, "low": s.low, "high": s.high} for e, s in _points(study, curve)
            ],
        }
        for curve in study.curves
    ]
    said = [
        {"fact": c.fact, "held": c.held, "difference": c.gap.difference, "low": c.gap.low, "high": c.gap.high}
        for c in claims(study)
    ]
    about = {name: getattr(study, name) for name in ("target", "surrogate", "data", "threat", "eps", "grid", "steps")}
    clean = {"clean": _clean(study.right), "surrogate_clean": _clean(study.surrogate_right)}
    return json.dumps({**about, **clean, "curves": rows, "claims": said}, indent=1) + "\n"


def write_study(study: Study, folder: Path) -> tuple[Path, Path, Path]:
    """Write blackbox.html, blackbox.png and blackbox.json into the folder, which is made. InputError where that cannot be."""
    make_folder(folder)
    page, drawn, numbers = (folder / f"blackbox.{end}" for end in ("html", "png", "json"))
    write_whole(page, render(study).encode())
    write_whole(drawn, picture(_plot(study)))
    write_whole(numbers, plain(study).encode())
    return page, drawn, numbers


def render(study: Study) -> str:
    """The page's HTML: one file, no script, no network."""
    return filled(
        "blackbox.html",
        {"percent": words.percent, "span": words.span},
        s=study,
        claims=claims(study),
        radii=[words.radius(eps, study.threat, study.bounds) for eps in study.grid],
        asked=study.grid.index(study.eps),
        figure=Markup(svg(_plot(study))),
        clean=share(sum(study.right), len(study.right)),
        surrogate_clean=share(sum(study.surrogate_right), len(study.surrogate_right)),
        at=f"{study.threat} {words.radius(study.eps, study.threat, study.bounds)}",
    )


def _plot(study: Study) -> Plot:
    """A panel for each box, with the same noise in both."""
    clean = (0.0, share(sum(study.right), len(study.right)))
    noise = Line("noise", (clean, *_points(study, study.curve(NOISE))), None)
    panels = {
        title: [
            *(
                Line("FGSM" if steps == 1 else f"T = {steps}", (clean, *_points(study, study.curve(box, steps))), place)
                for place, steps in enumerate(study.steps)
            ),
            noise,
        ]
        for box, title in (
            (WHITE, "white box: the target's own gradients"),
            (BLACK, "black box: the surrogate's gradients"),
        )
    }
    radii = tuple(words.radius(eps, study.threat, study.bounds) for eps in study.grid)
    title = f"Target: {_short(study.target)}. Surrogate: {_short(study.surrogate)}."
    return Plot(panels, radii, study.eps, f"{study.threat} radius", title)


def _points(study: Study, curve: Curve) -> list[tuple[float, Share]]:
    return list(zip(study.grid, curve.shares, strict=True))


def _short(name: str, most: int = 36) -> str:
    """A network's name, its end alone where it is long."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _named(steps: int) -> str:
    return "FGSM" if steps == 1 else f"I-FGSM {steps}"


def _sign(gap: Paired) -> bool | None:
    return True if gap.low > 0 else False if gap.high < 0 else None


def _number(value: float) -> str:
    return str(round(value)).replace("-", "−")


def _clean(right: tuple[bool, ...]) -> dict[str, int]:
    return {"count": sum(right), "n": len(right)}
