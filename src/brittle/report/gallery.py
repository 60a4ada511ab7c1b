"""Pictures of what fooled the model: the original, the perturbation made visible, and the adversarial image."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from .numbers import Summary, same_radius

Floats = NDArray[Any]
Bytes = NDArray[np.uint8]
MOST = 6  # examples shown
LARGEST = 128  # pixels a side; larger images are shrunk for the page
BUDGET = 900_000  # characters of all pictures together
FACTORS = (50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class Example:
    """One sample: three PNG data URIs and what the model says before and after."""

    id: int
    attack: str
    success: bool
    original: str
    perturbation: str
    adversarial: str
    label: str
    target: str  # empty when untargeted
    before: str
    before_confidence: float
    after: str
    after_confidence: float


@dataclass(frozen=True)
class Gallery:
    """Examples, or a sentence that says why there are none. `factor` is by how much the perturbation is amplified."""

    examples: tuple[Example, ...]
    factor: int
    grey: bool
    pixelated: bool
    shrunk: bool
    why_none: str = ""


@dataclass(frozen=True)
class _Pair:
    x: Floats
    x_adv: Floats
    clean: Mapping[str, Any]
    row: Mapping[str, Any]


def gallery(
    rows: pa.Table,
    kept: Mapping[str, Mapping[int, Floats]],
    summary: Summary,
    bounds: Sequence[float],
    classes: Sequence[str],
) -> Gallery:
    """Up to six kept examples at the radius in question: successes of all attacks in turn, and one that held."""
    pairs = _pairs(rows, kept, summary)
    if not pairs:
        return Gallery((), 1, False, False, False, "No examples were kept at this radius.")
    shape = pairs[0].x.shape
    if not is_image(shape):
        why = f"The inputs have shape {' × '.join(map(str, shape))}, which is no image, so there are no pictures."
        return Gallery((), 1, False, False, False, why)
    if not np.isfinite(bounds).all():  # no bounds are known: from the darkest to the brightest that is shown
        shown = np.stack([side for pair in pairs for side in (pair.x, pair.x_adv)])
        bounds = float(shown.min()), max(float(shown.max()), float(shown.min()) + 1e-30)
    width = float(bounds[1]) - float(bounds[0])
    factor = amplification(max(float(np.abs(pair.x_adv - pair.x).max()) for pair in pairs), width)
    examples: list[Example] = []
    spent = 0
    for pair in pairs:
        example = _example(pair, bounds, factor, classes)
        spent += len(example.original) + len(example.perturbation) + len(example.adversarial)
        if examples and spent > BUDGET:
            break
        examples.append(example)
    grey, side = len(shape) == 2 or shape[0] == 1, max(shape[-2:])
    return Gallery(tuple(examples), factor, grey, side <= LARGEST, side > LARGEST)


def is_image(shape: Sequence[int]) -> bool:
    """(H, W), (1, H, W) or (3, H, W)."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def amplification(largest: float, width: float) -> int:
    """The largest round factor that keeps a difference of `largest` inside the picture's range of `width`."""
    return next((factor for factor in FACTORS if factor * largest <= 0.5 * width * (1 + 1e-6)), 1)


def pixels(x: Floats, bounds: Sequence[float]) -> Bytes:
    """An input (H, W), (1, H, W) or (3, H, W) in `bounds` as rounded 8-bit (H, W) or (H, W, 3)."""
    scaled = (x.astype(np.float64) - bounds[0]) / (bounds[1] - bounds[0])
    levels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    if levels.ndim == 2:
        return levels
    return levels[0] if levels.shape[0] == 1 else np.moveaxis(levels, 0, -1)


def difference_pixels(delta: Floats, factor: int, width: float) -> Bytes:
    """A perturbation around mid grey (H, W, 3): colour by channel; grey images orange above, blue below zero."""
    scaled = np.clip(delta.astype(np.float64) * factor / width * 2, -1, 1)  # [-1, 1], zero is mid grey
    if scaled.ndim == 3 and scaled.shape[0] == 3:
        return np.rint(127.5 + 127.5 * np.moveaxis(scaled, 0, -1)).astype(np.uint8)
    grey = scaled if scaled.ndim == 2 else scaled[0]
    middle = np.full(3, 128.0)
    above, below = np.array([255.0, 150.0, 20.0]), np.array([20.0, 110.0, 235.0])
    weight = np.abs(grey)[..., None]
    ends = np.where(grey[..., None] > 0, above, below)
    mixed: Bytes = np.rint(middle * (1 - weight) + ends * weight).astype(np.uint8)
    return mixed


def data_uri(image: Bytes, resample: Image.Resampling = Image.Resampling.LANCZOS) -> str:
    """A PNG of at most 128 pixels a side, as a data URI."""
    picture = Image.fromarray(image)
    if max(picture.size) > LARGEST:
        scale = LARGEST / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, resample)
    return f"data:image/png;base64,{base64.b64encode(as_png(picture)).decode()}"


def as_png(picture: Image.Image) -> bytes:
    """A PNG file of the picture."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _pairs(rows: pa.Table, kept: Mapping[str, Mapping[int, Floats]], summary: Summary) -> list[_Pair]:
    """Originals matched with what became of them; attacks take turns, each sample appears once if it can."""
    ids = sorted({index for examples in kept.values() for index in examples})
    records = rows.filter(pc.is_in(rows["id"], pa.array(ids, pa.int64()))).to_pylist()
    records = [row for row in records if row["id"] in kept.get(row["cell"], {}) and not row["error"]]
    clean = {row["id"]: row for row in records if row["role"] == "clean" and row["clean_correct"]}
    right = [row for row in records if row["role"] in ("attack", "stage") and row["id"] in clean]
    right = [row for row in right if same_radius(row["eps"], summary.eps)]
    won = [row for row in right if row["success"]]
    held = [row for row in right if not row["success"]]
    names = [part.name for part in summary.parts]
    chosen = _in_turn(won, names, MOST - bool(held))
    chosen += _in_turn([row for row in held if row["id"] not in {c["id"] for c in chosen}] or held, names[::-1], 1)
    return [
        _Pair(kept[clean[row["id"]]["cell"]][row["id"]], kept[row["cell"]][row["id"]], clean[row["id"]], row)
        for row in chosen
    ]


def _in_turn(rows: Sequence[Mapping[str, Any]], names: Sequence[str], most: int) -> list[Mapping[str, Any]]:
    """Rows of the attacks in turn, each of a sample not shown yet while there is one."""
    left = {name: [row for row in rows if row["attack"] == name] for name in names}
    chosen: list[Mapping[str, Any]] = []
    while len(chosen) < most and any(left.values()):
        for queue in filter(None, left.values()):
            seen = {row["id"] for row in chosen}
            row = next((row for row in queue if row["id"] not in seen), queue[0])
            queue.remove(row)
            chosen.append(row)
    return chosen[:most]


def _example(pair: _Pair, bounds: Sequence[float], factor: int, classes: Sequence[str]) -> Example:
    width = float(bounds[1]) - float(bounds[0])
    row, clean = pair.row, pair.clean
    target = int(row["target"])
    return Example(
        id=int(row["id"]),
        attack=str(row["attack"]),
        success=bool(row["success"]),
        original=data_uri(pixels(pair.x, bounds)),
        perturbation=data_uri(difference_pixels(pair.x_adv - pair.x, factor, width), Image.Resampling.NEAREST),
        adversarial=data_uri(pixels(pair.x_adv, bounds)),
        label=class_name(int(row["label"]), classes),
        target=class_name(target, classes) if target >= 0 else "",
        before=class_name(int(clean["predicted"]), classes),
        before_confidence=float(clean["confidence"]),
        after=class_name(int(row["predicted"]), classes),
        after_confidence=float(row["confidence"]),
    )


def class_name(index: int, classes: Sequence[str]) -> str:
    return str(classes[index]) if 0 <= index < len(classes) else f"class {index}"
