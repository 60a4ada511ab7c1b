"""Adversarial examples on disk: exact floats, 8-bit pictures, and whether these still fool the model."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as to_safetensors
from torch import Tensor

from ..core.bounds import limits, widest
from ..core.goal import Classify
from ..core.judge import Verdict, judge
from ..core.problem import Attack, Threat
from ..core.victim import Victim
from ..files import make_folder, write_whole
from ..report.export import as_text
from ..report.gallery import class_name
from ..tasks.classification import Classification, Results
from ..threats import box


@dataclass(frozen=True)
class Example:
    """One adversarial example. The 8-bit facts are measured on the PNG as read back, against that of the original: fooled, and inside the
    threat. None where samples are no images."""

    id: int
    label: str
    before: str  # predicted class of the untouched input
    after: str  # predicted class of the adversarial one
    confidence: float
    size: float
    clean_correct: bool
    success: bool
    success_8bit: bool | None
    size_8bit: float | None
    target: str = ""


def craft(
    attack: Attack, task: Classification, threat: Threat, ids: Sequence[int], seed: int
) -> tuple[Results, Results]:
    """Results on the untouched inputs, and under the attack. A sample that is wrong untouched is left as it is."""
    return task.run(None, threat, ids, seed), task.run(attack, threat, ids, seed)


def save_examples(
    clean: Results, attacked: Results, task: Classification, threat: Threat, ids: Sequence[int], out: Path
) -> list[Example]:
    """Write `adversarial.safetensors` (x, x_adv, id, label, target), for images ID-original.png and ID-adversarial.png, and
    `examples.csv`; return what the pictures are still worth after rounding to 8 bits."""
    victim, data = task.victim, task.data
    make_folder(out)
    exact = {
        "x": clean.x_adv.contiguous(),
        "x_adv": attacked.x_adv.contiguous(),
        "id": torch.tensor(list(ids)),
        "label": attacked.label,
        "target": attacked.target,
    }
    write_whole(out / "adversarial.safetensors", to_safetensors(exact))
    stored = None
    if is_image(data.shape) and math.isfinite(widest(*victim.bounds)):
        originals, pictures = _rounded(clean, attacked, task, threat)
        for i, index in enumerate(ids):
            write_whole(out / f"{index:05d}-original.png", png(originals[i]))
            write_whole(out / f"{index:05d}-adversarial.png", png(pictures[i]))
        before, after = (
            torch.stack([_read_png(out / f"{index:05d}-{kind}.png", data.shape) for index in ids])
            for kind in ("original", "adversarial")
        )
        stored = _judge_stored(before, after, attacked, task, threat)
    examples = _examples(clean, attacked, task, ids, stored)
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Example)])
    writer.writeheader()
    writer.writerows(
        {name: as_text(cell) if isinstance(cell, str) else cell for name, cell in asdict(example).items()}
        for example in examples
    )
    write_whole(out / "examples.csv", text.getvalue().encode())
    return examples


def _rounded(clean: Results, attacked: Results, task: Classification, threat: Threat) -> tuple[Tensor, Tensor]:
    """Levels (N, C, H, W) of the originals' pictures and of the adversarial ones: the nearest where that lies inside the threat, as a
    pair of pictures, and elsewhere the perturbation cut to whole levels, which is then nowhere larger than it was."""
    originals, victim = levels(clean.x_adv, task.victim), task.victim
    nearest = levels(attacked.x_adv, victim)
    if _moves_pixels(threat, clean.x_adv, victim):
        return originals, nearest
    moved = levels_between(clean.x_adv, attacked.x_adv, victim)
    nearest = (originals + moved.round()).clamp(0, 255)
    unit = 2 * torch.finfo(attacked.x_adv.dtype).eps  # what an eps of whole levels loses by rounding is no level
    noise = unit * torch.maximum(clean.x_adv.abs(), attacked.x_adv.abs()).double()
    whole = (moved.abs() + levels_between(torch.zeros_like(noise), noise, victim)).floor().copysign(moved)
    inside = _judge_stored(originals, nearest, attacked, task, threat).feasible.cpu()
    return originals, torch.where(inside[:, None, None, None], nearest, (originals + whole).clamp(0, 255))


def _judge_stored(
    originals: Tensor, stored: Tensor, attacked: Results, task: Classification, threat: Threat
) -> Verdict:
    """The verdict on a pair of pictures, as levels (N, C, H, W): whether the second fools, and lies in the threat around the first."""
    victim = task.victim
    x, point = (victim.between(part.float() / 255).to(victim.device, victim.dtype) for part in (originals, stored))
    labels, targets = attacked.label.to(victim.device), attacked.target.to(victim.device)
    goal = Classify(labels, None if task.goal == "untargeted" else targets, task.confidence)
    with victim.undisturbed(0):
        if _moves_pixels(threat, x, victim):
            threat = box()
        region = threat.around(x, victim.lower, victim.upper)
        return judge(victim, region, goal, region.point(point))


def _moves_pixels(threat: Threat, x: Tensor, victim: Victim) -> bool:
    """Whether a changed picture is no point of the threat."""
    return threat.around(x[:1], victim.lower, victim.upper).origin.shape != x[:1].shape


def _examples(
    clean: Results, attacked: Results, task: Classification, ids: Sequence[int], stored: Verdict | None
) -> list[Example]:
    classes = task.data.classes

    def name(index: int) -> str:
        return class_name(index, classes)  # the model may know more classes than the data

    return [
        Example(
            id=index,
            label=name(int(attacked.label[i])),
            before=name(int(clean.predicted[i])),
            after=name(int(attacked.predicted[i])),
            confidence=float(attacked.confidence[i]),
            size=float(attacked.size[i]),
            clean_correct=bool(attacked.clean_correct[i]),
            success=bool(attacked.success[i]),
            success_8bit=None if stored is None else bool(stored.success[i]),
            size_8bit=None if stored is None else float(stored.size[i]),
            target="" if int(attacked.target[i]) < 0 else name(int(attacked.target[i])),
        )
        for i, index in enumerate(ids)
    ]


def is_image(shape: Sequence[int]) -> bool:
    """(1, H, W) or (3, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def levels(x: Tensor, victim: Victim) -> Tensor:
    """Inputs in the victim's bounds as the nearest of 256 levels, float64."""
    low, high = limits(x.double(), *victim.bounds)
    return ((x.double() - low) / (high - low) * 255).round().clamp(0, 255)


def levels_between(x: Tensor, other: Tensor, victim: Victim) -> Tensor:
    """other - x in levels, float64, not rounded."""
    low, high = limits(x.double(), *victim.bounds)
    return (other.double() - x.double()) / (high - low) * 255


def png(picture: Tensor) -> bytes:
    """Levels (1 or 3, H, W) as PNG."""
    pixels = picture.to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _read_png(path: Path, shape: Sequence[int]) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).view(*shape[1:], shape[0]).permute(2, 0, 1)
