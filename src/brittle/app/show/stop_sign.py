"""A stop sign with stickers that is something else from wherever a camera sees it. Eykholt et al. 2018, arXiv:1707.08945."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from ...attacks.fixed.input_optimisation import InputOptimisation, nearest_colours
from ...core.streams import Streams
from ...core.victim import Victim
from ...pictures import picture
from ...report.exhibit import Exhibit, Part, Table
from ...report.gallery import pixels
from ...report.words import percent
from ...threats import box
from ...threats.mask import Mask
from ...victims.preprocess import framing_of
from ...victims.views import Views, seen_through
from ..attack import attack
from .fresh import in_words, rates, said, sights
from .scene import Scene, framed_picture

VIEWS = Views(
    rotation=10.0,
    scale=(0.8, 1.2),
    shift=0.05,
    perspective=0.1,
    brightness=0.1,
    contrast=0.2,
    noise=0.03,
    jpeg=(60, 95),
)
LEVELS = (
    0.1,
    0.3,
    0.5,
    0.7,
    0.9,
)  # what is left of each colour when it is printed: never quite black, never quite white
PALETTE = tuple((red, green, blue) for red in LEVELS for green in LEVELS for blue in LEVELS)
STICKERS = ((0.15, 0.29, 0.31, 0.69), (0.56, 0.70, 0.31, 0.69))  # top, bottom, left, right: above and below the word
SKY, POLE = (150, 190, 230), (95, 98, 100)
SMOOTH, PRINTABLE = 1e-3, 1e-2  # prices, for inputs in [0, 1]
ENLARGED = 4  # pixels of the sheet, a side, for each of the picture
METRE = 1000.0  # millimetres that the picture shows from left to right: a sign of 750 mm fills three quarters of it


def stop_sign(
    scene: Scene,
    target: str = "mailbox",
    *,
    views: Views = VIEWS,
    steps: int = 80,
    draws: int = 6,
    fresh: int = 1000,
    width_mm: float = METRE,
) -> Exhibit:
    """Stickers on the picture that make it `target` in random views; smooth, and in colours that can be printed.

    They are where the scene's mask says, drawn in the picture's own proportions; by default above and below the word of a `posted` sign.
    width_mm: what the picture shows from left to right, for the sheet that is printed at its true size.
    """
    seen, wanted, span = int(scene.probabilities(scene.x)[0].argmax()), scene.index(target), scene.level * 255
    allowed = two_stickers(scene.x) if scene.mask is None else fitted(scene.mask, scene.x)
    palette = tuple(
        tuple(scene.victim.range[0] + span * value for value in colour[: scene.x.shape[1]]) for colour in PALETTE
    )
    method = InputOptimisation(
        steps=steps, draws=draws, step_size=0.05 * span, loss="cross_entropy", total_variation=SMOOTH / span**2,
        non_printability=PRINTABLE / span**2, palette=palette,
    )  # fmt: skip
    made = attack(
        method,
        seen_through(scene.victim, views),
        scene.x,
        torch.tensor([seen]),
        box(allowed),
        targets=wanted,
        seed=scene.seed,
    ).x_adv
    streams = Streams.seeded(scene.seed, torch.zeros(1, dtype=torch.int64))
    random = scene.victim.between(streams.uniform(tuple(scene.x.shape[1:]), scene.x.dtype))
    pictures = {
        "without stickers": scene.x,
        "with random stickers": torch.where(allowed, nearest_colours(random, palette), scene.x),
        "with these stickers": made,
        "with these, as printed": torch.where(allowed, nearest_colours(made, palette), scene.x),
    }
    printed = pictures["with these, as printed"]
    measured = {name: rates(scene, views, x, (wanted, seen), fresh) for name, x in pictures.items()}
    rows = tuple(
        (name, *map(said, measured[name]), scene.name(int(scene.probabilities(x)[0].argmax())))
        for name, x in pictures.items()
    )
    area = float(allowed.double().mean())
    parts = (
        Part(
            "The stickers",
            f"They cover {area:.0%} of the picture. {steps} steps of Adam, each along the mean of the gradients in {draws} random views, "
            f"towards “{target}”, with a price on roughness and on colours that cannot be printed.",
            tuple(scene.panel(name, x, (wanted,)) for name, x in pictures.items() if x is not made),
        ),
        Part(
            "As a camera may see them",
            f"Random views of the printed sign: {in_words(views)}.",
            sights(scene, views, printed, wanted),
        ),
        Part(
            "In fresh views",
            f"What the network says in {fresh:,} views that the attack has not seen; in brackets the 95 % interval.",
            tables=(Table(("the sign", f"“{target}”", f"“{scene.name(seen)}”", "as it is: seen as"), rows),),
        ),
    )
    before, chance, _, after = (shares[0] for shares in measured.values())
    facts = (
        ("network", scene.victim.name),
        ("threat", f"any colour, in {area:.1%} of the pixels"),
        ("colours", f"{len(PALETTE)}: each of red, green and blue at {', '.join(f'{value:.0%}' for value in LEVELS)}"),
        ("attack", f"input_optimisation: {steps} steps of {draws} views"),
        ("to print", f"stop_sign_stickers.png, at 100 %: the picture shows {width_mm:g} mm from left to right"),
        ("papers", "Eykholt et al. 2018, arXiv:1707.08945; Athalye et al. 2018, arXiv:1707.07397; Sharif et al. 2016"),
    )
    found = (
        f"With printed stickers the picture of “{scene.name(seen)}” is “{target}” in {percent(after)} of {fresh:,} fresh views; "
        f"without any in {percent(before)}, with random ones in {percent(chance)}."
    )
    question = "Can a few stickers make a sign something else, from wherever it is seen?"
    held = after.low > max(0.5, chance.high)
    files = (("stop_sign_stickers.png", sheet(scene, printed, allowed, width_mm)),)
    return Exhibit("stop_sign", "The stop sign", question, found, held, parts, facts, files)


def framed_sign(path: Path, victim: Victim) -> Tensor:
    """A picture file as the victim takes pictures, (1, C, H, W) in its bounds; one with transparency is `posted` first."""
    framed = framed_picture(path, victim)
    with picture(path) as sign:
        if "A" not in sign.getbands() or framed.shape[1] != 3:
            return framed
        street, framing = posted(sign), framing_of(victim)
    levels = np.array(street if framing is None else framing.apply(street), np.float32)
    values = torch.from_numpy(levels).permute(2, 0, 1)[None].to(framed) / 255
    return victim.between(values)


def posted(sign: Image.Image) -> Image.Image:
    """A sign with a transparent surround on a pole before the sky, as large as it was."""
    width, height = sign.size
    street = Image.new("RGB", sign.size, SKY)
    size, corner = (width * 3 // 4, height * 3 // 4), (width // 8, height // 20)
    ImageDraw.Draw(street).rectangle((width * 12 // 25, height // 2, width * 13 // 25, height), fill=POLE)
    small = sign.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
    street.paste(small, corner, small)
    return street


def two_stickers(x: Tensor) -> Tensor:
    """(H, W) bool for pictures x (1, C, H, W): a rectangle above and one below the word of a posted sign."""
    height, width = x.shape[2:]
    allowed = torch.zeros(height, width, dtype=torch.bool)
    for top, bottom, left, right in STICKERS:
        allowed[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return allowed


def fitted(mask: Mask, x: Tensor) -> Tensor:
    """(H, W) bool: the mask, drawn at any size, at that of the pictures x (1, C, H, W)."""
    drawn = mask.tensor(torch.device("cpu"))
    drawn = drawn.reshape(-1, *drawn.shape[-2:]).any(0).float()
    return F.interpolate(drawn[None, None], tuple(x.shape[2:]), mode="nearest-exact")[0, 0] > 0


def sheet(scene: Scene, x: Tensor, allowed: Tensor, width_mm: float) -> bytes:
    """The stickers of x (1, C, H, W) as they are laid out on the sign, transparent between them: a PNG with its true size."""
    rows, columns = (allowed.any(axis).nonzero().flatten() for axis in (1, 0))
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    colours = Image.fromarray(pixels(x[0].cpu().float().numpy(), scene.victim.range)[part]).convert("RGBA")
    colours.putalpha(Image.fromarray(allowed[part].to(torch.uint8).mul(255).numpy()))
    grown = colours.resize((colours.width * ENLARGED, colours.height * ENLARGED), Image.Resampling.NEAREST)
    dots = x.shape[-1] * ENLARGED * 25.4 / width_mm
    stream = io.BytesIO()
    grown.save(stream, "PNG", dpi=(dots, dots))
    return stream.getvalue()
