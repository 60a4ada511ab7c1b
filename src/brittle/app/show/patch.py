"""A patch that is a toaster to the network wherever it lies, on any picture. Brown et al. 2017, arXiv:1712.09665."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...attacks.combine.patch import Patch
from ...report.exhibit import Exhibit, Panel, Part, Table
from ...report.shares import Share, share
from ...report.words import percent
from ...threats import box
from ..attack import Outcome, attack
from ..patch import patch
from .fresh import FRESH, said
from .photographs import Photographs, classes_of, photographs
from .scene import Scene

SHOWN = 3
TOGETHER = 20


def universal_patch(
    scene: Scene,
    target: str = "toaster",
    *,
    made_on: int = 60,
    judged_on: int = 100,
    steps: int = 300,
    batch_size: int = 8,
    step_size: float = 0.1,
    side: tuple[float, float] = (0.4, 0.5),
) -> Exhibit:
    """A patch made on some photographs, at random places, and its rate on others, at fresh places, beside two that nobody made."""
    victim, wanted, pictures = scene.victim, scene.index(target), photographs(scene.victim)
    train, judge = pictures.apart(scene.seed, made_on, judged_on)
    made = patch(
        victim, pictures.batch(train), wanted, side=side, steps=steps, batch_size=batch_size, step_size=step_size,
        bounds=victim.range, seed=scene.seed,
    )  # fmt: skip
    patches = {"made for it": made, "random pixels": _noise(scene, made)}
    photo = _photographed(pictures, wanted, made)
    if photo is not None:
        patches[f"a photograph of “{target}”"] = photo
    x, labels = _others(scene, pictures, judge, wanted)
    outcomes = {
        name: attack(
            one, victim, x, labels, box(), targets=wanted, bounds=victim.range,
            seed=scene.seed + FRESH, batch_size=TOGETHER,
        )
        for name, one in patches.items()
    }  # fmt: skip
    rates = {name: share(int(outcome.success.sum()), len(x)) for name, outcome in outcomes.items()}
    rate, others = rates["made for it"], [one for name, one in rates.items() if name != "made for it"]
    found = (
        f"One patch is “{target}” on {percent(rate)} of {len(x)} photographs that it was not made on, wherever it lies; "
        + ", ".join(f"{name} of that size on {percent(one)}" for name, one in rates.items() if name != "made for it")
        + "."
    )
    facts = (
        ("network", victim.name),
        (
            "patch",
            f"a disc {side[0]:g} to {side[1]:g} of the picture's side across, turned by up to {made.angle:g} degrees",
        ),
        (
            "made by",
            f"{steps} steps of Adam on {batch_size} of {made_on} photographs at random places, sizes and angles",
        ),
        ("to try it on others", "--attack stick:path=patch.safetensors --threat box"),
        ("judged on", f"{len(x)} others, each at one fresh place; none is “{target}” or taken for it without a patch"),
        ("paper", "Brown, Mané, Roy, Abadi and Gilmer 2017, arXiv:1712.09665"),
    )
    question = "Can something that lies beside a thing make a network see nothing else?"
    held = rate.low > max(one.high for one in others)
    parts = _parts(scene, patches, outcomes, rates, x, wanted)
    return Exhibit(
        "patch", "The toaster patch", question, found, held, parts, facts, (("patch.safetensors", made.saved()),)
    )


def _parts(
    scene: Scene,
    patches: dict[str, Patch],
    outcomes: dict[str, Outcome],
    rates: dict[str, Share],
    x: Tensor,
    wanted: int,
) -> tuple[Part, ...]:
    made = outcomes["made for it"]
    order = (made.success * made.confidence).argsort(descending=True, stable=True)
    shown = [int(i) for i in (*order[: SHOWN - 1], order[-1])]
    views = tuple(scene.panel("on another photograph", made.x_adv[i : i + 1], (wanted,)) for i in shown)
    control = [name for name in patches if name != "made for it"]
    beside = tuple(scene.panel(name, outcomes[name].x_adv[shown[0] : shown[0] + 1], (wanted,)) for name in control)
    rows = tuple((name, said(rate)) for name, rate in rates.items())
    return (
        Part(
            "One patch for all",
            "Made on photographs that are not shown here. The last picture is one where it fails, if there is any.",
            (_shown(scene, patches["made for it"]), *views),
        ),
        Part(
            "Is it only that something lies there?",
            "The same photograph with what nobody made for the purpose, at the same place and of the same size.",
            (scene.panel("the photograph", x[shown[0] : shown[0] + 1], (wanted,)), *beside),
            (Table(("the patch", f"is “{scene.name(wanted)}” on"), rows, "In brackets the 95 % interval."),),
        ),
    )


def _shown(scene: Scene, one: Patch) -> Panel:
    """The patch alone, on a picture of mid grey."""
    middle = torch.full((1, *one.shape), sum(scene.victim.range) / 2)
    centred = torch.tensor([[0.5, 0.5, 1.0, 0.5]])
    alone = Patch.of(one.picture, round=one.round, side=(1.0, 1.0), angle=0.0).stuck(middle, centred)
    return Panel("the patch", scene._pixels(alone))


def _noise(scene: Scene, like: Patch) -> Patch:
    random = torch.Generator().manual_seed(scene.seed)
    values = scene.victim.between(torch.rand(like.shape, generator=random))
    return Patch.of(values, round=like.round, side=like.side, angle=like.angle)


def _photographed(pictures: Photographs, wanted: int, like: Patch) -> Patch | None:
    """The first photograph of the class, as a patch like the other; None where there is none."""
    labels = getattr(pictures.source, "labels", [])
    found = [i for i, label in enumerate(labels) if int(label) == wanted]
    if not found:
        return None
    x = F.interpolate(pictures.batch(found[:1])[0], like.shape[1:], mode="bilinear", antialias=True)
    return Patch.of(x[0], round=like.round, side=like.side, angle=like.angle)


def _others(scene: Scene, pictures: Photographs, ids: list[int], wanted: int) -> tuple[Tensor, Tensor]:
    """The pictures that are not of the class and not taken for it."""
    x, labels = pictures.batch(ids)
    rows = ((classes_of(scene.victim, x) != wanted) & (labels != wanted)).nonzero().squeeze(1)
    return x[rows], labels[rows]
