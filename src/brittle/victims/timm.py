"""`timm:NAME?checkpoint=FILE`: networks of the package timm."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from ..core.victim import Victim
from ..data.framing import RESAMPLING, Framing
from ..data.options import parse_choice
from ..errors import InputError, unknown
from ..outside import reading
from .checkpoint import load_checkpoint
from .class_names import short_names
from .hub import check_hub, held
from .packages import need
from .preprocess import OPTIONS, Preparation, image_victim
from .request import Request, as_value

OWN = (*OPTIONS, "checkpoint", "pretrained")  # the others go to timm.create_model
FITS: dict[str, Literal["exactly", "covering", "within"]] = {
    "squash": "exactly",
    "border": "within",
}  # timm's crop_mode; else center


def open_timm(request: Request) -> Victim:
    """`timm:NAME[?checkpoint=FILE|pretrained=0][&num_classes=..&..]`; without a checkpoint the weights that timm publishes.

    Other options are those of `timm.create_model`, such as num_classes or pad_type. The preprocessing is what the pretrained_cfg says.
    """
    timm = need("timm", "timm", "timm")
    name, options = request.source.rest, request.source.options
    if not name:
        raise InputError("timm needs the name of a network; write for example timm:resnet50")
    settings = {key: as_value(text) for key, text in options.items() if key not in OWN}
    pretrained = parse_choice(options, "pretrained", ("0", "1"), "0" if "checkpoint" in options else "1") == "1"
    network = _created(timm, name, pretrained, settings)
    if "checkpoint" in options:
        load_checkpoint(network, options["checkpoint"])
    data = need("timm.data", "timm", "timm")
    with reading(
        f"timm:{name} says in a way that cannot be read how pictures are prepared", "look at its pretrained_cfg"
    ):
        found: dict[str, Any] = data.resolve_data_config({"img_size": settings.get("img_size")}, model=network)
        preparation = _preparation(found, int(settings.get("in_chans", found["input_size"][0])))
    return image_victim(network.eval(), preparation, _classes(data, network), request, "timm's pretrained_cfg")


def _created(timm: Any, name: str, pretrained: bool, settings: dict[str, Any]) -> nn.Module:
    if ":" not in name and not timm.is_model(name):
        raise unknown("network of timm", name, timm.list_models())
    if "checkpoint_path" in settings:
        raise InputError("checkpoint_path= reads pickles; write checkpoint=FILE")
    model = _on_hub(timm, name) if pretrained else ""
    if model and not held(model):
        check_hub(f"timm:{name}", "give ?checkpoint=FILE (or ?pretrained=0 for random weights)")
    mend = (
        "without access to the network give ?checkpoint=FILE (or ?pretrained=0 for random weights)"
        if pretrained
        else "give the options that timm.create_model takes for it"
    )
    with reading(f"timm:{name} cannot be created", mend), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights are the same each time
        network: nn.Module = timm.create_model(name, pretrained=pretrained, **settings)
        return network


def _on_hub(timm: Any, name: str) -> str:
    """What the hub calls the model; empty for one that comes from elsewhere, or has no published weights."""
    home, colon, model = name.partition(":")
    if colon:
        return model if home in ("hf-hub", "hf_hub") else ""
    return str(getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "hf_hub_id", None) or "")


def _preparation(found: dict[str, Any], channels: int) -> Preparation:
    """What `timm.data.create_transform` makes of this data config, for evaluation. Other channels than it speaks of share a mean."""
    height, width = found["input_size"][1:]
    share, mode = found["crop_pct"], found["crop_mode"]
    scaled: int | tuple[int, int] = (math.floor(height / share), math.floor(width / share))
    if mode not in FITS and height == width:
        scaled = math.floor(height / share)
    way = found["interpolation"] if found["interpolation"] in RESAMPLING else "bilinear"
    mean, std = (_each(tuple(found[key]), channels) for key in ("mean", "std"))
    border = tuple(round(255 * value) for value in mean) if mode == "border" else ()
    fit = FITS.get(mode, "covering" if isinstance(scaled, tuple) else "exactly")
    framing = Framing(size=(height, width), scaled=scaled, fit=fit, border=border, interpolation=way)
    return Preparation(framing=framing, mean=mean, std=std)


def _each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def _classes(data: Any, network: nn.Module) -> tuple[str, ...]:
    """ImageNet's names, where the number of classes says that they are ImageNet's."""
    subset = data.infer_imagenet_subset(network)
    return short_names(data.ImageNetInfo(subset).label_descriptions()) if subset else ()
