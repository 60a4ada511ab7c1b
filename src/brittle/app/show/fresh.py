"""How often something is seen in fresh views: what a physical attack must be judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...report.exhibit import Panel
from ...report.shares import Share, share
from ...report.words import interval, percent
from ...victims.views import Views, classes_seen, view
from .scene import Scene

NAMES = {"jpeg": "JPEG"}
FRESH = 7919  # added to the scene's seed, so that no view is one that the attack has seen


def rates(scene: Scene, views: Views, x: Tensor, classes: Sequence[int], draws: int = 1000) -> tuple[Share, ...]:
    """In how many of `draws` fresh views the picture x (1, C, H, W) is taken for each of the classes."""
    seen = classes_seen(scene.victim, views, x, draws, scene.seed + FRESH)
    return tuple(share(int((seen == wanted).sum()), draws) for wanted in classes)


def rate(scene: Scene, views: Views, x: Tensor, wanted: int, draws: int = 1000) -> Share:
    """In how many of `draws` fresh views the picture x (1, C, H, W) is taken for the class `wanted`."""
    return rates(scene, views, x, (wanted,), draws)[0]


def said(measured: Share) -> str:
    """`97 % [96 %, 98 %]`."""
    return f"{percent(measured)} {interval(measured)}"


def sights(scene: Scene, views: Views, x: Tensor, wanted: int, count: int = 3) -> tuple[Panel, ...]:
    """The picture in `count` random views, with what the network says of each."""
    victim = scene.victim
    with victim.undisturbed(scene.seed + FRESH):
        seen = view(x.expand(count, *x.shape[1:]), views, *victim.range)
    return tuple(scene.panel(f"view {i + 1}", seen[i : i + 1], (wanted,)) for i in range(count))


def kinds(views: Views) -> dict[str, Views]:
    """Each way of seeing alone, by name, and the rest as the picture is: those that the views have."""
    return {NAMES.get(field, field): replace(Views(), **{field: value}) for field, value in _given(views).items()}


def in_words(views: Views) -> str:
    """`rotation 22.5, scale 0.9 to 1.4, JPEG 60 to 95`: what a user must know to see it likewise."""

    def words(value: Any) -> str:
        return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return ", ".join(f"{NAMES.get(field, field)} {words(value)}" for field, value in _given(views).items())


def _given(views: Views) -> dict[str, Any]:
    return {field: value for field, value in vars(views).items() if value != getattr(Views(), field)}
