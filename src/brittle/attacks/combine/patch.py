"""Stick a patch that was made before onto every input, at a place of its own."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.access import Access
from ...core.problem import Problem
from ...errors import InputError
from ...files import regular_file, write_whole
from ...outside import reading


@dataclass(frozen=True)
class Patch:
    """Cover a part of every picture by the same patch, at a random place, size and angle, then project onto the region. Nothing is asked.

    The patch is a value: `shape` (C, P, P) and the bytes of its float32 numbers, in input units. round: only the disc inside the square.
    side: its width as a share of the picture's shorter side, from and to, in (0, 1]. angle: degrees by which it turns either way, in
    [0, 180]. It lies inside the picture as a whole where it can. Brown et al. 2017, arXiv:1712.09665. Cost: nothing.
    """

    shape: tuple[int, int, int]
    numbers: bytes
    round: bool = True
    side: tuple[float, float] = (0.4, 0.5)
    angle: float = 20.0

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Brown 2017, arXiv:1712.09665"

    def __post_init__(self) -> None:
        if not 0 < self.side[0] <= self.side[1] <= 1:
            raise InputError(
                f"side={self.side} is no range of shares; give two above 0 and at most 1, the smaller first, as in (0.3, 0.5)"
            )
        if not 0 <= self.angle <= 180:
            raise InputError(f"angle={self.angle:g} is out of range; give 0 to 180 degrees")

    @classmethod
    def of(
        cls, picture: Tensor, *, round: bool = True, side: tuple[float, float] = (0.4, 0.5), angle: float = 20.0
    ) -> Patch:
        """From a picture (C, P, P)."""
        if picture.ndim != 3 or picture.shape[1] != picture.shape[2]:
            raise InputError(f"the patch has shape {tuple(picture.shape)}; give a square picture (C, P, P)")
        if not bool(torch.isfinite(picture).all()):
            raise InputError("the patch holds NaN or infinity; give finite numbers")
        channels, height, width = picture.shape
        numbers = picture.detach().cpu().to(torch.float32).contiguous().numpy().tobytes()
        return cls((channels, height, width), numbers, round, side, angle)

    @classmethod
    def read(cls, path: str | Path) -> Patch:
        """From a file that `save` wrote."""
        from safetensors import safe_open

        regular_file(Path(path), "a patch that Patch.save wrote")
        with reading(f"{path} is not a saved patch", "write one with Patch.save"), safe_open(path, "pt") as file:
            said = json.loads(file.metadata()["patch"])
            low, high = said["side"]
            return cls.of(file.get_tensor("patch"), round=said["round"], side=(low, high), angle=said["angle"])

    def save(self, path: str | Path) -> None:
        """As a safetensors file with one tensor, `patch`, and in its metadata how it is placed."""
        write_whole(Path(path), self.saved())

    def saved(self) -> bytes:
        """What `save` writes."""
        from safetensors.torch import save

        said = {"round": self.round, "side": self.side, "angle": self.angle}
        return save({"patch": self.picture}, metadata={"patch": json.dumps(said)})

    @property
    def picture(self) -> Tensor:
        """(C, P, P) float32; what lies outside the disc of a round one is never seen."""
        flat = np.frombuffer(self.numbers, np.float32, count=math.prod(self.shape))
        return torch.from_numpy(flat.copy()).view(self.shape)

    def stuck(self, x: Tensor, where: Tensor) -> Tensor:
        """On pictures x (B, C, H, W), each at its own place `where` (B, 4), see `paste`."""
        return paste(x, self.picture.to(x), where, round=self.round, side=self.side, angle=self.angle)

    def __call__(self, problem: Problem) -> Tensor:  # (B, C, H, W)
        problem.in_input_units("a patch")
        x = problem.x
        if x.ndim != 4 or x.shape[1] != self.shape[0]:
            raise InputError(
                f"the patch has {self.shape[0]} channels, the samples shape {tuple(x.shape[1:])}; give pictures ({self.shape[0]}, H, W)"
            )
        return problem.region.project(self.stuck(x, problem.streams.uniform((4,)).to(x)))


def paste(x: Tensor, patch: Tensor, where: Tensor, *, round: bool, side: tuple[float, float], angle: float) -> Tensor:
    """Pictures x (B, C, H, W) covered by the patch (C, P, P) at `where` (B, 4) in [0, 1]: across, down, size, turn. Differentiable.

    The operator A(p, x, l, t) of Brown et al. 2017, arXiv:1712.09665, section 2.
    """
    height, width = x.shape[2:]
    across, down, size, turn = where.unbind(1)
    half = (side[0] + (side[1] - side[0]) * size) * (min(height, width) / 2)
    turn = math.radians(angle) * (2 * turn - 1)
    cos, sin = turn.cos(), turn.sin()
    reach = half if round else half * (cos.abs() + sin.abs())
    left, top = reach + (width - 2 * reach) * across, reach + (height - 2 * reach) * down
    v, u = (torch.arange(n, dtype=x.dtype, device=x.device) + 0.5 for n in (height, width))
    right, below = u[None, None] - left[:, None, None], v[None, :, None] - top[:, None, None]
    cos, sin, half = (value[:, None, None] for value in (cos, sin, half))
    grid = torch.stack([(right * cos + below * sin) / half, (below * cos - right * sin) / half], -1)
    inside = grid.square().sum(-1) <= 1 if round else grid.abs().amax(-1) <= 1
    seen = F.grid_sample(patch.expand(len(x), *patch.shape), grid, padding_mode="border", align_corners=False)
    return torch.where(inside[:, None], seen, x)
