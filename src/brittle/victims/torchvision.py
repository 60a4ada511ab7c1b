"""`torchvision:NAME?weights=NAME`: classifiers of the package torchvision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..core.victim import Victim
from ..data.framing import Framing
from ..data.options import check_options, parse_count
from ..errors import unknown
from ..outside import reading
from .checkpoint import load_checkpoint
from .packages import need
from .preprocess import OPTIONS, Preparation, image_victim
from .request import Request

IMAGENET = Preparation(
    framing=Framing(size=(224, 224), scaled=256), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)  # of networks that have no published weights
TRANSFORMED = (
    "googlenet",
    "inception_v3",
)  # whose published weights were trained behind another normalisation of their own


def open_torchvision(request: Request) -> Victim:
    """`torchvision:NAME[?weights=DEFAULT|none|NAME][&checkpoint=FILE][&num_classes=N]`; the published weights where none are named.

    The preprocessing is that of the weights, for a checkpoint of the default ones.
    """
    models = need("torchvision.models", "torchvision", "torchvision")
    name, options = request.source.rest, request.source.options
    check_options(request.source, (*OPTIONS, "weights", "checkpoint", "num_classes"))
    if name not in models.list_models(module=models):
        raise unknown("classifier of torchvision", name, models.list_models(module=models))
    published = list(models.get_model_weights(name))
    default = models.get_model_weights(name).DEFAULT if published else None
    wanted = options.get("weights", "none" if "checkpoint" in options else "DEFAULT")
    weights = None if wanted == "none" else _named(models, name, wanted)
    network = _built(models, name, parse_count(options, "num_classes", 0, least=2), weights)
    if "checkpoint" in options:
        load_checkpoint(network, options["checkpoint"])
    about = weights or default
    preparation = _preparation(about.transforms()) if about else IMAGENET
    classes = tuple(about.meta["categories"]) if about and "num_classes" not in options else ()
    return image_victim(network.eval(), preparation, classes, request, "torchvision's transform")


def _named(models: Any, name: str, wanted: str) -> Any:
    """A member of the network's weights."""
    known = models.get_model_weights(name).__members__
    if wanted not in known:
        raise unknown(f"weights of torchvision:{name}", wanted, (*known, "none"))
    return known[wanted]


def _built(models: Any, name: str, classes: int, weights: Any) -> nn.Module:
    settings: dict[str, Any] = {"num_classes": classes} if classes else {}
    if weights is not None and name in TRANSFORMED:
        settings |= {"transform_input": True, "init_weights": False}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights are the same each time
        with reading(f"torchvision:{name} cannot be built", "give another name or number of classes"):
            network: nn.Module = models.get_model(name, weights=None, **settings)
    if weights is not None:
        with reading(
            f"the weights of torchvision:{name} cannot be had",
            "without access to the network give ?checkpoint=FILE (or ?weights=none for random weights)",
        ):
            network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    return network


def _preparation(transform: Any) -> Preparation:
    """What torchvision's transform of published weights does to a picture."""
    (crop,), (shorter,) = transform.crop_size, transform.resize_size
    framing = Framing(size=(crop, crop), scaled=shorter, interpolation=transform.interpolation.value)
    return Preparation(framing=framing, mean=tuple(transform.mean), std=tuple(transform.std))
