"""Ways to see a picture: turned, nearer, shifted, lit otherwise, noisy, stored as JPEG; and a victim that sees every input so."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..core.victim import Victim
from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Views:
    """A distribution of ways to see a picture; each is drawn uniformly from its range, and at its default changes nothing.

    Applied in the order of the fields, as a camera would: where it stands, how much light there is, its sensor, its file. Athalye et
    al., ICML 2018, arXiv:1707.07397, draw rotation, scale, shift, light and noise; perspective, contrast and JPEG are added here. What
    comes from outside the picture continues its edge.
    """

    rotation: float = 0.0  # degrees, either way
    scale: tuple[float, float] = (1.0, 1.0)  # how large it appears, from and to
    shift: float = 0.0  # along each axis, either way, as a share of the picture's side
    perspective: float = 0.0  # tilt: by which share an edge is nearer, and the opposite one farther
    brightness: float = 0.0  # added, either way, as a share of the input range
    contrast: float = 0.0  # scaled about the picture's mean by one plus or minus this
    noise: float = 0.0  # standard deviation of Gaussian noise, from none to this, as a share of the input range
    jpeg: tuple[int, int] | None = None  # quality, from and to, in 1 to 100; None: not stored

    def __post_init__(self) -> None:
        for name, most in (
            ("rotation", 180.0), ("shift", 1.0), ("perspective", 0.4), ("brightness", 1.0), ("contrast", 1.0), ("noise", 1.0)
        ):  # fmt: skip
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name}={getattr(self, name):g} is out of range; give 0 to {most:g}")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(
                f"scale={self.scale} is no range; give two sizes above 0, the smaller first, as in (0.8, 1.2)"
            )
        if self.jpeg is not None and not 1 <= self.jpeg[0] <= self.jpeg[1] <= 100:
            raise InputError(
                f"jpeg={self.jpeg} is no range of qualities; give two of 1 to 100, the lower first, as in (60, 95)"
            )


def seen_through(victim: Victim, views: Views) -> Victim:
    """The victim behind random views: every row of every call is seen its own way. Inputs must be pictures (B, C, H, W), C 1 or 3.

    Its randomness is torch's global one, which `Victim.undisturbed` seeds; an attack that averages gradients over its draws, such as
    eotpgd, is then expectation over transformation, Athalye et al., ICML 2018, arXiv:1707.07397, equation 3.
    """
    digest = hashlib.sha256(f"{victim.digest} {views}".encode()).hexdigest()[:32]

    def forward(x: Tensor) -> Tensor:
        return victim(view(x, views, *victim.range))

    return replace(victim, forward=forward, name=f"{victim.name} through views", digest=digest)


def classes_seen(
    victim: Victim, views: Views, x: Tensor, draws: int = 1000, seed: int = 0, together: int = 25
) -> Tensor:
    """The class (draws,) int64 that the victim gives the picture x (1, C, H, W) in so many fresh views; `together` at a time."""
    seen = seen_through(victim, views)
    answers = []
    with torch.no_grad(), victim.undisturbed(seed):
        for start in range(0, draws, together):
            batch = x.to(victim.device, victim.dtype).expand(min(together, draws - start), *x.shape[1:])
            answers.append(seen(batch).argmax(1).cpu())
    return torch.cat(answers) if answers else torch.empty(0, dtype=torch.int64)


def view(x: Tensor, views: Views, lower: float = 0.0, upper: float = 1.0) -> Tensor:
    """Pictures (B, C, H, W) in [lower, upper], each as seen in a view of its own, from torch's global generator; differentiable.

    JPEG has the gradient of the identity: its forward is Pillow's, to 8 bits and back.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise InputError(f"views are of pictures (B, 3, H, W) or (B, 1, H, W); the inputs have shape {tuple(x.shape)}")
    span = upper - lower
    if views.rotation or views.scale != (1.0, 1.0) or views.shift or views.perspective:
        x = _placed(x, views)
    if views.brightness:
        x = x + span * _either(x, views.brightness)
    if views.contrast:
        middle = x.mean((1, 2, 3), keepdim=True)
        x = middle + (x - middle) * (1 + _either(x, views.contrast))
    if views.noise:
        x = x + span * views.noise * _draws(x) * torch.randn_like(x)
    x = x.clamp(lower, upper)
    return x if views.jpeg is None else _stored(x, views.jpeg, lower, span)


def _placed(x: Tensor, views: Views) -> Tensor:
    """Each picture through its own homography; bilinear, the edge continued."""
    count, _, height, width = x.shape
    turn = _either(x, math.radians(views.rotation)).flatten()
    low, high = views.scale
    nearer = (low + (high - low) * _draws(x)).flatten()
    across, down = (2 * _either(x, views.shift).flatten() for _ in range(2))
    tilts = [_either(x, views.perspective).flatten() for _ in range(2)]
    cos, sin, one, aspect = turn.cos() / nearer, turn.sin() / nearer, torch.ones_like(turn), height / width
    rows = (cos, -sin * aspect, across, sin / aspect, cos, down, *tilts, one)
    homography = torch.stack(rows, 1).view(count, 3, 3)  # from where a pixel is seen to where it comes from
    v, u = (
        torch.linspace(1 / side - 1, 1 - 1 / side, side, dtype=x.dtype, device=x.device) for side in (height, width)
    )
    there = torch.stack([u.expand(height, width), v[:, None].expand(height, width), x.new_ones(height, width)], -1)
    source = (there.view(1, -1, 3) @ homography.transpose(1, 2)).view(count, height, width, 3)
    return F.grid_sample(x, source[..., :2] / source[..., 2:], padding_mode="border", align_corners=False)


def _stored(x: Tensor, qualities: tuple[int, int], lower: float, span: float) -> Tensor:
    """x as it is read back from a JPEG file of a random quality; the gradient of the identity."""
    chosen = torch.randint(qualities[0], qualities[1] + 1, (len(x),)).tolist()
    levels = ((x.detach() - lower) / span * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    read = np.stack([_through_jpeg(picture, quality) for picture, quality in zip(levels, chosen, strict=True)])
    values = torch.from_numpy(read).to(x.device).permute(0, 3, 1, 2).to(x.dtype) / 255 * span + lower
    return values + (x - x.detach())


def _through_jpeg(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], quality: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    grey, stream = picture.shape[2] == 1, io.BytesIO()
    Image.fromarray(picture[..., 0] if grey else picture).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as read:
        values = np.array(read)
    return values[..., None] if grey else values


def _draws(x: Tensor) -> Tensor:
    """(B, 1, 1, 1) uniform in [0, 1]."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _either(x: Tensor, most: float) -> Tensor:
    """(B, 1, 1, 1) uniform in [-most, most]."""
    return (2 * _draws(x) - 1) * most
