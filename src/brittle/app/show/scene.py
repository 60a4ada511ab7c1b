"""What every experiment starts from: a network, a picture of its size, and the names of its classes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...core.checks import check_logits
from ...core.victim import Victim
from ...data.downloads import find
from ...data.images import decode
from ...errors import InputError, unknown
from ...files import regular_file
from ...outside import reading
from ...report.exhibit import Likely, Panel, Table
from ...report.gallery import amplification, difference_pixels, pixels
from ...report.words import confidence
from ...specs import parse_whole
from ...threats.mask import Mask
from ...victims.preprocess import framing_of

LIKELIEST = 5
PHOTOS = "photos"  # the data set of the pictures that the experiments are known for
WORDNET = re.compile(r"n\d{8}\s+")  # before ImageNet's names, in the lists that come with it


@dataclass(frozen=True, eq=False)
class Scene:
    """x (1, C, H, W) in the victim's bounds; `classes` names its outputs, synonyms apart by commas as ImageNet has them.

    Without names, classes are numbers. `mask`: where the picture may change, for an experiment that lets the user draw it.
    `others`: networks on which what was made here is tried too.
    """

    victim: Victim
    classes: tuple[str, ...]
    x: Tensor
    seed: int = 0
    mask: Mask | None = None
    others: tuple[Victim, ...] = ()

    @property
    def level(self) -> float:
        """One of the 255 steps of an 8-bit picture, in input units."""
        return self.victim.width / 255

    def index(self, name: str) -> int:
        """The class that has this name among its synonyms, or whose number it is. InputError with the nearest names."""
        number = parse_whole(name)
        if number is not None and (number < len(self.classes) or not self.classes):
            return number
        for place, names in enumerate(self.classes):
            if name.lower() in (word.strip().lower() for word in names.split(",")):
                return place
        if not self.classes:
            raise InputError(f"{name!r} is no number, and no names of the classes are known; give --classes FILE")
        raise unknown("class", name, [word.strip() for names in self.classes for word in names.split(",")])

    def name(self, index: int) -> str:
        """The first of the class's synonyms."""
        return self.classes[index].partition(",")[0] if index < len(self.classes) else f"class {index}"

    def probabilities(self, x: Tensor) -> Tensor:
        """Softmax of the outputs (B, classes) at x (B, C, H, W), float64 on the CPU."""
        with torch.no_grad(), self.victim.undisturbed(self.seed):
            outputs = self.victim(x.to(self.victim.device, self.victim.dtype))
        return outputs.double().softmax(1).cpu()

    def panel(self, title: str, x: Tensor, marked: Sequence[int] = (), note: str = "") -> Panel:
        """The picture x (1, C, H, W) with its likeliest classes, those of `marked` always among them."""
        probabilities = self.probabilities(x)[0]
        order = probabilities.argsort(descending=True).tolist()
        shown = order[:LIKELIEST]
        for index in marked:
            if index not in shown:
                shown = [*shown[: LIKELIEST - 1], index]
        likely = tuple(Likely(self.name(i), float(probabilities[i]), i in marked) for i in shown)
        return Panel(title, self._pixels(x), likely, note)

    def difference(self, x_adv: Tensor) -> Panel:
        """The perturbation around mid grey, amplified by a round factor that is stated."""
        delta, width = (x_adv - self.x)[0].cpu().numpy(), self.victim.width
        factor = amplification(float(np.abs(delta).max()), width)
        note = f"grey is no change; the largest is {self.levels(x_adv)} of 255 levels"
        return Panel(f"what was added, times {factor}", difference_pixels(delta, factor, width), note=note)

    def levels(self, x_adv: Tensor) -> str:
        """The largest change of a pixel, in levels of an 8-bit picture."""
        return f"{float((x_adv - self.x).abs().max()) / self.level:.3g}"

    def length(self, x_adv: Tensor) -> str:
        """The Euclidean length of the change, for pictures in [0, 1]."""
        return f"{float((x_adv - self.x).norm()) / self.victim.width:.3g}"

    def survival(self, x_adv: Tensor, won: Callable[[int], bool]) -> Table:
        """What is left of it after the picture was stored, as read back, and after a resize by 5 %."""
        picture = Image.fromarray(self._pixels(x_adv))
        small = (round(picture.width * 0.95), round(picture.height * 0.95))
        back = Image.Resampling.BILINEAR
        kept = {
            "as floats": None,
            "8-bit PNG": _stored(picture, "PNG"),
            "JPEG, quality 90": _stored(picture, "JPEG", quality=90),
            "JPEG, quality 75": _stored(picture, "JPEG", quality=75),
            "5 % smaller and back": picture.resize(small, back).resize(picture.size, back),
        }
        rows = []
        for name, image in kept.items():
            seen = self.probabilities(x_adv if image is None else self._read(image))[0]
            best = int(seen.argmax())
            rows.append((name, self.name(best), confidence(float(seen[best])), "yes" if won(best) else "no"))
        return Table(
            ("the picture", "is taken for", "confidence", "still fooled"), tuple(rows), "Does it survive being stored?"
        )

    def _pixels(self, x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return pixels(x[0].detach().cpu().float().numpy(), self.victim.range)

    def _read(self, image: Image.Image) -> Tensor:
        values = torch.from_numpy(np.array(image)).float() / 255
        values = values[None] if values.ndim == 2 else values.permute(2, 0, 1)
        return self.victim.between(values)[None]


def _stored(picture: Image.Image, kind: str, **options: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    stream.seek(0)
    with Image.open(stream) as read:
        read.load()
        return read.copy()


def scene(victim: Victim, classes: Sequence[str], x: Tensor, seed: int = 0) -> Scene:
    """Checked: one picture, that the victim takes, and a name for each of its classes or none at all. InputError otherwise."""
    if x.ndim != 4 or len(x) != 1 or x.shape[1] not in (1, 3):
        raise InputError(f"the picture has shape {tuple(x.shape)}; give one of shape (1, 3, H, W) or (1, 1, H, W)")
    found = Scene(victim, tuple(classes), x, seed)
    try:
        with torch.no_grad(), victim.undisturbed(seed):
            outputs = check_logits(victim(x.to(victim.device, victim.dtype)), 1).shape[1]
    except RuntimeError as error:  # of any layer that the picture does not fit
        raise InputError(
            f"{victim.name} takes no picture of shape {tuple(x.shape[1:])} ({str(error).splitlines()[0]}); give a model of pictures, "
            "and --picture of the size that it takes"
        ) from error
    if classes and outputs != len(found.classes):
        raise InputError(
            f"{victim.name} has {outputs} outputs and {len(found.classes)} class names; give --classes FILE with a name a line"
        )
    return found


def photograph(name: str) -> Path:
    """The photograph of that name among the data "photos". Raises InputError where it is not there."""
    found = find(PHOTOS, name)
    if not found:
        raise InputError(
            f"the photograph {name} is in no folder {PHOTOS} of $BRITTLE_DATA; give one of your own with --picture FILE"
        )
    return found[0]


def framed_picture(path: Path, victim: Victim) -> Tensor:
    """A picture file as the victim takes pictures: framed, grey or in colour, (1, C, H, W) in its bounds."""
    regular_file(path, "a picture")
    grey = len(victim.shape) == 3 and victim.shape[0] == 1
    pixels = torch.tensor(decode(path, grey, framing_of(victim)))[None].to(
        victim.dtype
    )  # what is decoded may be read-only
    return victim.between(pixels)


def blank(victim: Victim) -> Tensor:
    """A grey picture (1, C, H, W) of the victim's size, for an experiment that needs none. InputError where its size is unknown."""
    if len(victim.shape) != 3:
        raise InputError(
            f"what size of pictures {victim.name} takes is not known; give one that it takes with --picture"
        )
    return torch.full((1, *victim.shape), sum(victim.range) / 2, dtype=victim.dtype)


def read_classes(path: Path) -> tuple[str, ...]:
    """A name a line, in the order of the outputs; `n01440764 tench, Tinca tinca` as ImageNet's lists have them is one too."""
    regular_file(path, "a text file with a name a line")
    with reading(f"the class names cannot be read from {path}", "give a text file with a name a line"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = tuple(WORDNET.sub("", line.strip(), count=1) for line in lines if line.strip())
    if not names:
        raise InputError(f"{path} names no class; write a name a line, in the order of the outputs")
    return names
