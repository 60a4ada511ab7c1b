"""Glasses that hide who one is, or make one somebody else. Sharif et al., CCS 2016, doi:10.1145/2976749.2978392."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ...attacks.fixed.input_optimisation import InputOptimisation
from ...core.victim import Victim
from ...data.samples import Samples
from ...errors import InputError, unknown
from ...report.exhibit import Exhibit, Panel, Part, Table
from ...report.gallery import pixels
from ...report.shares import Share, share
from ...report.words import percent
from ...threats import box
from ..attack import attack
from .faces import EYES, Eyes, faces
from .fresh import said
from .scene import Scene

FALSE_ACCEPTS = 0.001
NOBODY = 0
SHOWN = 3
TOGETHER = 30


@dataclass(frozen=True, eq=False)
class Gate:
    """A recogniser that knows people by `templates` (P, D) of length 1, and lets in whose cosine to one of them exceeds `threshold`.

    `probes` (N, C, H, W) are pictures of people (N,) that no template was made of. `measured` is the share of strangers let in, as
    somebody whom they are not, `known` that of people let in as themselves.
    """

    victim: Victim
    templates: Tensor
    names: tuple[str, ...]
    threshold: float
    probes: Tensor
    people: Tensor
    measured: Share
    known: Share

    def as_classifier(self, stricter: float = 0.0) -> Victim:
        """Outputs (B, 1 + P): what a face must exceed, as class 0, which is nobody; and its cosine to each template."""
        victim, bar = self.victim, self.threshold + stricter

        def forward(x: Tensor) -> Tensor:
            cosines = F.normalize(victim(x)) @ self.templates.to(victim.device).T
            return torch.cat([cosines.new_full((len(x), 1), bar), cosines], 1)

        return replace(victim, forward=forward, name=f"{victim.name} at the gate", classes=("nobody", *self.names))

    def cosines(self, x: Tensor) -> Tensor:
        """Of pictures x (B, C, H, W) to the templates: (B, P) on the CPU."""
        return _outputs(self.as_classifier(), x)[:, 1:]


def glasses(
    scene: Scene,
    target: str = "",
    *,
    attempts: int = 30,
    steps: int = 200,
    people: int | None = None,
    spare: float = 0.03,
    smooth: float = 0.003,
) -> Exhibit:
    """Frames of any colours by which people are taken for nobody, and for somebody else; and black frames, for which nobody tried.

    scene.victim: pictures of aligned faces -> embeddings, compared by their cosine. The faces are those of the data set "faces", a folder
    for each person. target: the folder of whom everyone should be taken for; empty: of another person at random. people: the first so
    many. The attack aims `spare` beyond the threshold, because pictures are judged as stored in 8 bits.
    smooth: the price of roughness, for inputs in [0, 1]: of neighbours that differ, a camera sees the mean (Sharif et al., section 4.2).
    """
    gate = opened(scene.victim, faces(scene.victim), people)
    mask = frames(*gate.probes.shape[2:])
    labels = gate.people + 1
    right = (_outputs(gate.as_classifier(), gate.probes).argmax(1) == labels).nonzero().squeeze(1)
    random = torch.Generator().manual_seed(scene.seed)
    if target:
        wanted = _person(gate, target)
        right = right[labels[right] != wanted]
    chosen = right[torch.randperm(len(right), generator=random)[:attempts]]
    x, own = gate.probes[chosen], labels[chosen]
    shift = torch.randint(1, len(gate.names), (len(x),), generator=random)
    others = (own - 1 + shift) % len(gate.names) + 1
    others = torch.full_like(own, wanted) if target else others
    black = torch.where(mask, torch.full_like(x, scene.victim.range[0]), x)
    worn = {
        "black": black,
        "hide": _coloured(scene, gate, black, own, torch.full_like(own, NOBODY), mask, steps, smooth, -spare),
        "become": _coloured(scene, gate, black, own, others, mask, steps, smooth, spare),
    }
    seen = {name: _outputs(gate.as_classifier(), pictures).argmax(1) for name, pictures in worn.items()}
    return _exhibit(scene, gate, mask, steps, x, own, others, worn, seen)


def frames(height: int, width: int, eyes: Eyes = EYES) -> Tensor:
    """Where glasses are (1, height, width) bool: two rounded rims about the eyes, a bridge and the temples.

    eyes: across and down, as shares of width and height. All sizes are shares of the distance between the eyes.
    """
    (x1, y1), (x2, y2) = ((across * width, down * height) for across, down in eyes)
    apart = math.hypot(x2 - x1, y2 - y1)
    if apart < 8:
        raise InputError(f"the eyes are {apart:.1f} pixels apart, too few for a frame; give larger pictures of faces")
    cos, sin = (x2 - x1) / apart, (y2 - y1) / apart
    down, across = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    right, below = across - (x1 + x2) / 2, down - (y1 + y2) / 2
    u, v = (right * cos + below * sin) / apart, (below * cos - right * sin) / apart
    side = u.abs()  # the frame is the same on both sides of the nose
    outer = ((side - 0.5) / 0.46).pow(4) + ((v - 0.03) / 0.36).pow(4) <= 1
    inner = ((side - 0.5) / 0.32).pow(4) + ((v - 0.03) / 0.22).pow(4) <= 1
    bridge = (side < 0.18) & ((v + 0.06).abs() < 0.08)
    temples = (side > 0.9) & ((v + 0.1).abs() < 0.07)
    return ((outer & ~inner) | bridge | temples)[None]


def opened(victim: Victim, samples: Samples, people: int | None = None) -> Gate:
    """Half of each person's pictures become a template, the mean of their embeddings; the threshold is set on the other half.

    It is the least that lets in a stranger as somebody in at most 0.1 % of all pairs of a picture and another person's template.
    """
    count = min(people or len(samples.classes), len(samples.classes))
    rows = [_rows(samples, person) for person in range(count)]
    if count < 2 or min(len(own) for own in rows) < 2:
        raise InputError(f"{samples.name} has too few faces; give 2 people or more, each with 2 pictures or more")
    enrolled = [own[: (len(own) + 1) // 2] for own in rows]
    rest = [own[(len(own) + 1) // 2 :] for own in rows]
    templates = F.normalize(
        torch.stack([F.normalize(_outputs(victim, _pixels(victim, samples, own))).mean(0) for own in enrolled])
    )
    probes = _pixels(victim, samples, [row for own in rest for row in own])
    people_of = torch.tensor([person for person, own in enumerate(rest) for _ in own])
    cosines = F.normalize(_outputs(victim, probes)) @ templates.T
    same = people_of[:, None] == torch.arange(count)
    strange = cosines[~same].sort(descending=True).values
    threshold = float(strange[int(FALSE_ACCEPTS * len(strange))])
    accepted = cosines > threshold
    return Gate(
        victim, templates, tuple(samples.classes[:count]), threshold, probes, people_of,
        share(int((accepted & ~same).sum()), len(strange)), share(int((accepted & same).sum()), len(probes)),
    )  # fmt: skip


def _rows(samples: Samples, person: int) -> list[int]:
    labels = getattr(samples, "labels", None)
    if labels is None:
        labels = samples.batch(range(len(samples)))[1]
    return [row for row in range(len(samples)) if int(labels[row]) == person]


def _pixels(victim: Victim, samples: Samples, rows: list[int]) -> Tensor:
    x = samples.batch(rows)[0]
    return victim.between(x).to(victim.dtype)


def _outputs(victim: Victim, x: Tensor) -> Tensor:
    with torch.no_grad(), victim.undisturbed(0):
        return torch.cat([victim(part.to(victim.device)).float().cpu() for part in torch.split(x, TOGETHER)])


def _person(gate: Gate, name: str) -> int:
    if name not in gate.names:
        raise unknown("person", name, gate.names)
    return gate.names.index(name) + 1


def _coloured(
    scene: Scene, gate: Gate, black: Tensor, own: Tensor, wanted: Tensor, mask: Tensor, steps: int, smooth: float,
    stricter: float,
) -> Tensor:  # fmt: skip
    """Black glasses in colours that make the people `wanted`, as read back from 8 bits."""
    span = scene.victim.width
    method = InputOptimisation(
        steps=steps, step_size=8 / 255 * span, loss="margin", total_variation=smooth / span**2, stop=True
    )
    judged = gate.as_classifier(stricter)
    found = attack(method, judged, black, own, box(mask), targets=wanted, seed=scene.seed, batch_size=TOGETHER)
    lower = scene.victim.range[0]
    levels = ((found.x_adv - lower) / scene.level).round()
    return torch.where(mask, lower + levels * scene.level, black)


def _exhibit(
    scene: Scene, gate: Gate, mask: Tensor, steps: int, x: Tensor, own: Tensor, others: Tensor,
    worn: dict[str, Tensor], seen: dict[str, Tensor],
) -> Exhibit:  # fmt: skip
    count = len(x)
    rates = {
        name: (share(int((classes != own).sum()), count), share(int((classes == others).sum()), count))
        for name, classes in seen.items()
    }
    hidden, become = share(int((seen["hide"] == NOBODY).sum()), count), rates["become"][1]
    black = rates["black"]
    order = ((seen["hide"] == NOBODY) & (seen["become"] == others)).float().argsort(descending=True, stable=True)
    parts = tuple(_person_part(gate, x, own, others, worn, int(row)) for row in order[:SHOWN])
    named = {"black": "black", "hide": "made to hide", "become": "made to be somebody else"}
    rows = tuple((named[name], said(away), said(other)) for name, (away, other) in rates.items())
    columns = ("glasses", "not recognised as oneself", "taken for the person chosen")
    table = Table(columns, rows, f"Of {count} attempts, judged in 8 bits; in brackets the 95 % interval.")
    parts = (
        *parts,
        Part("How often?", "Who is recognised beforehand tries once with each pair of glasses.", tables=(table,)),
    )
    found = (
        f"With glasses of the right colours {percent(hidden)} of {count} attempts end as nobody to the recogniser and {percent(become)} as "
        f"the person chosen; with black ones {percent(black[0])} and {percent(black[1])}."
    )
    facts = (
        ("network", scene.victim.name),
        ("people", f"{len(gate.names)}, {len(gate.people)} pictures of them beside those by which they are known"),
        (
            "who is let in",
            f"cosine above {gate.threshold:.2f}: {said(gate.measured)} of strangers, {said(gate.known)} of those who are known",
        ),
        ("threat", f"any colours where the glasses are, {float(mask.float().mean()):.0%} of the picture"),
        ("attack", f"up to {steps} steps of Adam from black glasses on the cosines, with a price on roughness"),
        ("paper", "Sharif, Bhagavatula, Bauer and Reiter, CCS 2016, doi:10.1145/2976749.2978392"),
    )
    question = "Can a pair of glasses make a face recogniser see nobody, or somebody else?"
    held = hidden.low > black[0].high and become.low > black[1].high
    return Exhibit("glasses", "The eyeglasses", question, found, held, parts, facts)


def _person_part(gate: Gate, x: Tensor, own: Tensor, others: Tensor, worn: dict[str, Tensor], row: int) -> Part:
    """One person before and with each pair of glasses, and whom the last pair is to be taken for."""
    victim, other = gate.victim, int(others[row]) - 1
    model = gate.probes[(gate.people == other).nonzero()[0, 0]]
    pictures = {
        "without glasses": x[row],
        "black glasses": worn["black"][row],
        "to be nobody": worn["hide"][row],
        "to be the last one": worn["become"][row],
        f"{gate.names[other]}, another picture": model,
    }
    panels = tuple(_panel(gate, title, picture, int(own[row]) - 1, other) for title, picture in pictures.items())
    text = f"Whoever has a cosine above {gate.threshold:.2f} to a template is let in as that person."
    return Part(f"{gate.names[int(own[row]) - 1]} before {victim.name}", text, panels)


def _panel(gate: Gate, title: str, picture: Tensor, own: int, other: int) -> Panel:
    cosines = gate.cosines(picture[None])[0]
    best = int(cosines.argmax())
    seen = gate.names[best] if float(cosines[best]) > gate.threshold else "nobody"
    note = f"seen as {seen}; cosine to {gate.names[own]} {float(cosines[own]):.2f}, to {gate.names[other]} {float(cosines[other]):.2f}"
    bounds = gate.victim.range
    return Panel(title, pixels(picture.cpu().float().numpy(), bounds), note=note)
