"""Adversarial examples on disk: exact floats, 8-bit pictures, and whether these still fool the model."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as to_safetensors
from torch import Tensor

from ..core.goal import Classify
from ..core.judge import Verdict, judge
from ..core.problem import Attack, Threat
from ..core.victim import Victim
from ..files import make_folder, write_whole
from ..report.gallery import class_name
from ..tasks.classification import Classification, Results
from ..threats import box


@dataclass(frozen=True)
class Example:
    """One adversarial example. The 8-bit facts are measured on the PNG as read back; None where samples are no images."""

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
    if is_image(data.shape):
        for i, index in enumerate(ids):
            write_whole(out / f"{index:05d}-original.png", png(clean.x_adv[i], victim))
            write_whole(out / f"{index:05d}-adversarial.png", png(attacked.x_adv[i], victim))
        rounded = [_read_png(out / f"{index:05d}-adversarial.png", data.shape, victim) for index in ids]
        stored = _judge_stored(torch.stack(rounded), clean, attacked, task, threat)
    examples = _examples(clean, attacked, task, ids, stored)
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Example)])
    writer.writeheader()
    writer.writerows(asdict(example) for example in examples)
    write_whole(out / "examples.csv", text.getvalue().encode())
    return examples


def _judge_stored(rounded: Tensor, clean: Results, attacked: Results, task: Classification, threat: Threat) -> Verdict:
    """The verdict on pictures as read back. Rounding may leave the ball by half a level: `feasible` and `size` say so."""
    victim = task.victim
    x, stored, labels, targets = (
        value.to(victim.device) for value in (clean.x_adv, rounded.to(victim.dtype), attacked.label, attacked.target)
    )
    goal = Classify(labels, None if task.goal == "untargeted" else targets, task.confidence)
    with victim.undisturbed(0):
        region = threat.around(x, victim.lower, victim.upper)
        if region.origin.shape != x.shape:  # pixels that were moved: the picture is no point of that threat
            region = box().around(x, victim.lower, victim.upper)
        return judge(victim, region, goal, stored)


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
            success_8bit=None if stored is None else bool(stored.margin[i] > 0),
            size_8bit=None if stored is None else float(stored.size[i]),
            target="" if int(attacked.target[i]) < 0 else name(int(attacked.target[i])),
        )
        for i, index in enumerate(ids)
    ]


def is_image(shape: Sequence[int]) -> bool:
    """(1, H, W) or (3, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def png(x: Tensor, victim: Victim) -> bytes:
    """An image (1 or 3, H, W) in the victim's bounds as PNG: rounded to the nearest of 256 levels, not truncated."""
    levels = ((x.double() - victim.lower) / (victim.upper - victim.lower) * 255).round().clamp(0, 255)
    pixels = levels.to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _read_png(path: Path, shape: Sequence[int], victim: Victim) -> Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image)).view(*shape[1:], shape[0]).permute(2, 0, 1)
    return victim.lower + pixels.float() / 255 * (victim.upper - victim.lower)
