"""Replay a perturbation that was made before: universal perturbations, crafted once and tried on unseen data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import Problem
from ...errors import InputError
from ...files import regular_file, write_whole
from ...outside import reading


@dataclass(frozen=True)
class Replay:
    """Add the same perturbation to every input, then project onto the region. Nothing is asked.

    The perturbation is a value: `shape` and the bytes of its float32 numbers, so that a plan can hold it. Moosavi-Dezfooli et al., CVPR
    2017, arXiv:1610.08401. Cost: nothing.
    """

    shape: tuple[int, ...]
    numbers: bytes

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Moosavi-Dezfooli 2017, arXiv:1610.08401"

    @classmethod
    def of(cls, delta: Tensor) -> Replay:
        """From a perturbation (*S)."""
        if not bool(torch.isfinite(delta).all()):
            raise InputError("the perturbation holds NaN or infinity; give finite numbers")
        return cls(tuple(delta.shape), delta.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())

    @classmethod
    def read(cls, path: str | Path) -> Replay:
        """From a file that `save` wrote."""
        from safetensors.torch import load_file

        regular_file(Path(path), "a perturbation that Replay.save wrote")
        with reading(f"{path} is not a saved perturbation", "write one with Replay.save"):
            return cls.of(load_file(path)["delta"])

    def save(self, path: str | Path) -> None:
        """As a safetensors file with one tensor, `delta`, there whole or not at all. InputError where it cannot be written."""
        from safetensors.torch import save

        write_whole(Path(path), save({"delta": self.delta}))

    @property
    def delta(self) -> Tensor:
        """(*S) float32."""
        flat = np.frombuffer(self.numbers, np.float32, count=math.prod(self.shape))
        return torch.from_numpy(flat.copy()).view(self.shape)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        problem.in_input_units("a perturbation that is replayed")
        x = problem.x
        if x.shape[1:] != self.shape:
            raise InputError(
                f"the perturbation has shape {self.shape}, the samples {tuple(x.shape[1:])}; give one of theirs"
            )
        return problem.region.project(x + self.delta.to(x))
