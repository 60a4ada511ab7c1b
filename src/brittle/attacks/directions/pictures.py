"""Pictures that are part of an attack: a value, so that a plan can hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...files import regular_file
from ...outside import reading


@dataclass(frozen=True)
class Pictures:
    """`shape` (N, *S) and the bytes of its numbers, 8 bits each between `lower` and `upper`."""

    shape: tuple[int, ...]
    levels: bytes
    lower: float = 0.0
    upper: float = 1.0

    @classmethod
    def of(cls, pictures: Tensor) -> Pictures:
        """From inputs (N, *S), rounded to 255 levels between the least and the largest of them."""
        if not len(pictures) or not bool(torch.isfinite(pictures).all()):
            raise InputError("there are no pictures, or they hold NaN or infinity; give one or more of finite numbers")
        lower, upper = float(pictures.min()), float(pictures.max())
        scaled = (pictures.detach().cpu() - lower) * (255 / max(upper - lower, 1e-30))
        return cls(tuple(pictures.shape), scaled.round().to(torch.uint8).numpy().tobytes(), lower, upper)

    @classmethod
    def read(cls, path: str | Path) -> Pictures:
        """From a NumPy file (N, *S) in the inputs' own units."""
        regular_file(Path(path), "a NumPy file of pictures")
        with reading(f"{path} holds no pictures", "write them with numpy.save, (N, *S)"):
            return cls.of(torch.from_numpy(np.load(path, allow_pickle=False)))

    def tensor(self, like: Tensor) -> Tensor:
        """(N, *S) of the type and on the device of inputs (B, *S), whose shape they must have."""
        if tuple(like.shape[1:]) != self.shape[1:]:
            raise InputError(
                f"the pictures to mix in have shape {self.shape[1:]}, the samples {tuple(like.shape[1:])}; give some of theirs"
            )
        levels = np.frombuffer(self.levels, np.uint8, count=math.prod(self.shape))
        unit = (self.upper - self.lower) / 255
        return torch.from_numpy(levels.copy()).to(like).view(self.shape).mul_(unit).add_(self.lower)
