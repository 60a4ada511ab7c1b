"""A mask as a value: which features may change. It can be printed, compared, hashed and stored, which a tensor cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..files import regular_file, user_path
from ..outside import reading
from ..pictures import picture


@dataclass(frozen=True)
class Mask:
    """`shape` is the sample's, channels first, or any that broadcasts to it; `bits` are the packed booleans, True = may change."""

    shape: tuple[int, ...]
    bits: bytes

    @classmethod
    def of(cls, allowed: Tensor | np.ndarray[Any, Any] | Mask) -> Mask:
        """From a boolean (or 0/1) tensor or array of one sample's shape."""
        if isinstance(allowed, Mask):
            return allowed
        array = np.asarray(allowed.detach().cpu() if isinstance(allowed, Tensor) else allowed)
        if not np.isin(array, (0, 1)).all():
            raise InputError("a mask holds True or False (1 or 0) for each feature; give for example image > 0.5")
        if not array.any():
            raise InputError("the mask allows no feature to change; set at least one to True")
        return cls(array.shape, np.packbits(array.astype(bool)).tobytes())

    @classmethod
    def read(cls, path: str | Path) -> Mask:
        """From a .npy file, or a black and white image (white = may change)."""
        path = regular_file(user_path(path), "a mask: a .npy of booleans, or an image")
        with reading(f"the mask {path} cannot be read", "give a .npy of booleans or an image"):
            if path.suffix == ".npy":
                return cls.of(np.load(path, allow_pickle=False))
            with picture(path) as image:
                return cls.of(np.asarray(image.convert("L")) >= 128)

    def tensor(self, device: torch.device) -> Tensor:
        """Boolean tensor of `shape`."""
        flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=math.prod(self.shape))
        return torch.from_numpy(flat.astype(bool).reshape(self.shape)).to(device)
