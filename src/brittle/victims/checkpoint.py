"""Weights of a file put into a network that was built for them."""

from __future__ import annotations

import pickle
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import InputError
from ..files import status, user_path
from ..outside import reading

HOLDERS = ("state_dict", "model", "model_state_dict", "net")  # under which training scripts keep the weights
WRAPPER = "module."  # what DataParallel puts before every name
COUNTER = "num_batches_tracked"  # of BatchNorm; nothing rests on it in evaluation mode


def load_checkpoint(network: nn.Module, file: str) -> None:
    """Read weights from a safetensors file, or from a .pth of plain tensors, into the network.

    Raises InputError for a file that is missing, holds anything but tensors, or does not fit the network.
    """
    weights = _read(user_path(file))
    if weights and all(name.startswith(WRAPPER) for name in weights):
        weights = {name.removeprefix(WRAPPER): value for name, value in weights.items()}
    own = network.state_dict()
    missing = [name for name in own if name not in weights and not name.endswith(COUNTER)]
    strange = [name for name in weights if name not in own]
    if missing or strange:
        parts = [f"{len(missing)} of its {len(own)} entries are missing (first {missing[0]!r})"] if missing else []
        parts += [f"{len(strange)} of the file's are not its own (first {strange[0]!r})"] if strange else []
        raise InputError(
            f"checkpoint={file} does not fit the network: {' and '.join(parts)}; "
            "give the name and options that the weights were trained with"
        )
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise InputError(
                f"checkpoint={file} has {name!r} of shape {tuple(value.shape)}, the network {tuple(own[name].shape)}; "
                "give the name and options, such as num_classes, that the weights were trained with"
            )
    network.load_state_dict(weights, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    found = status(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        raise InputError(f"checkpoint={path} is no file; give a .safetensors or .pth file of weights")
    with reading(
        f"checkpoint={path} cannot be read as plain weights", "save model.state_dict(), best with safetensors"
    ):
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # its own words advise to run whatever the file holds
            raise ValueError("it is damaged, or holds objects, which may run code when they are read") from None
        return _tensors(held, path)


def _tensors(held: Any, path: Path) -> dict[str, Tensor]:
    """The weights, also from within what a training script saved around them."""
    if isinstance(held, Mapping):
        for holder in HOLDERS:
            if isinstance(held.get(holder), Mapping):
                return _tensors(held[holder], path)
        if held and all(isinstance(value, Tensor) for value in held.values()):
            return dict(held)
    raise InputError(f"checkpoint={path} holds no state dict; save model.state_dict(), best with safetensors")
