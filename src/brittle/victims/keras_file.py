"""`keras:FILE.keras`: a Keras 3 model, on Keras's torch backend."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..core.victim import CPU, Victim, as_victim
from ..data.options import check_options, required_file
from ..errors import InputError
from ..outside import reading
from .layout import as_sent, channels_first, channels_last
from .packages import need
from .request import Request


def open_keras(request: Request) -> Victim:
    check_options(request.source, ("layout", "bounds"))
    path = required_file(request.source, "a .keras file that model.save wrote")
    keras = _keras()
    device = request.device or CPU
    with keras.device(_place(device)):
        model = _read(keras, path, request.trust)
        with reading(f"{path} holds what is no network", "save a model with one input and a known shape"):
            model = _without_softmax(keras, model)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or not all(size is None or isinstance(size, int) for size in shape):
        raise InputError(f"{path} takes several inputs, or is not built; save a model with one input and a known shape")
    last = channels_last(request.source.options, shape[1:], default=keras.config.image_data_format() == "channels_last")
    victim = as_victim(OnTorch(keras, model, device, last).eval(), request.bounds, device, request.text)
    digest = hashlib.sha256(path.read_bytes() + f"{last}".encode()).hexdigest()[
        :32
    ]  # Keras numbers names as it meets them
    return replace(victim, shape=channels_first(shape[1:], last), digest=digest)


class OnTorch(nn.Module):
    """A Keras model as a module: x (B, C, H, W) -> (B, C'), in inference mode."""

    def __init__(self, keras: ModuleType, model: Any, device: torch.device, last: bool) -> None:
        super().__init__()
        self.model, self.last = model, last
        self._scope, self._place = keras.device, _place(device)

    def forward(self, x: Tensor) -> Tensor:
        with self._scope(self._place):  # else Keras moves everything to a GPU where there is one
            outputs: Tensor = self.model(as_sent(x, self.last), training=False)
        return outputs


def _keras() -> ModuleType:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras reads it once, when it is imported
    keras = need("keras", "keras", "keras")
    if keras.config.backend() != "torch":
        raise InputError(
            f"Keras runs on {keras.config.backend()}, which gives torch no gradients; set KERAS_BACKEND=torch before Keras is imported"
        )
    return keras


def _read(keras: ModuleType, path: Path, trust: bool) -> Any:
    if path.suffix != ".keras":
        raise InputError(
            f"{path} is no .keras file; load it where it was made, and save it as model.save('NAME.keras')"
        )
    with reading(f"{path} cannot be read by Keras", "for layers of your own give py:MODULE:FUNCTION"):
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=not trust)
        except Exception as error:
            if "safe_mode" in str(error) or "unsafe" in str(error).lower():
                raise InputError(
                    f"{path} holds code of its own (a Lambda layer), which runs when the model does; if you trust its origin add --trust "
                    "(trust=True), else rewrite the layer"
                ) from error
            raise


def _without_softmax(keras: ModuleType, model: Any) -> Any:
    """The model without a softmax at its very end: logits."""
    layers = getattr(model, "layers", None)
    if not layers:
        return model
    if getattr(layers[-1], "activation", None) is keras.activations.softmax:
        layers[-1].activation = keras.activations.linear
    elif isinstance(layers[-1], keras.layers.Softmax) and len(layers) > 1:
        return keras.Model(model.inputs, layers[-1].input)
    return model


def _place(device: torch.device) -> str:
    """As Keras names it; with a number that torch leaves out, it would take its weights for something else."""
    return f"{device.type}:{device.index}" if device.index else device.type
