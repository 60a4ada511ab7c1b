"""`hf:ID_OR_FOLDER`: image classifiers of the package transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.victim import Victim
from ..data.framing import Framing
from ..data.options import check_options
from ..errors import InputError
from ..files import status, user_path
from ..outside import reading
from .hub import check_hub
from .packages import need
from .preprocess import OPTIONS, Preparation, image_victim
from .request import Request

RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, which a processor stores
WARPED = 384  # pixels from which ConvNeXt's processor keeps all of the picture


class Logits(nn.Module):
    """The logits of a model that answers with a record."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def open_hf(request: Request) -> Victim:
    """`hf:FOLDER`, as `save_pretrained` wrote it, or `hf:ID[?revision=NAME]` of the hub, from its cache if it is there; safetensors only.

    What its image processor does to a picture happens inside the victim, or is how pictures of a folder are framed.
    """
    transformers = need("transformers", "hf", "hf")
    check_options(request.source, (*OPTIONS, "revision"))
    what = request.source.rest
    if not what:
        raise InputError(
            "hf needs a model; write hf:FOLDER, or hf:ID of the hub such as hf:google/vit-base-patch16-224"
        )
    revision = request.source.options.get("revision", "main")
    settings = {"use_safetensors": True, "dtype": torch.float32}
    model = _loaded(transformers, "AutoModelForImageClassification", what, revision, settings)
    processor = _loaded(transformers, "AutoImageProcessor", what, revision, {})
    with reading(
        f"hf:{what} describes itself in a way that cannot be read",
        "look at its config.json and preprocessor_config.json",
    ):
        names = {int(index): str(name) for index, name in model.config.id2label.items()}
        known = all(not name.startswith("LABEL_") for name in names.values())
        classes = tuple(names[index] for index in sorted(names)) if known else ()
        preparation = _preparation(processor, what)
    return image_victim(Logits(model).eval(), preparation, classes, request, "its image processor")


def _loaded(transformers: Any, kind: str, what: str, revision: str, settings: dict[str, Any]) -> Any:
    """From the folder or the hub's cache; from the hub only where neither has it."""
    with reading(f"hf: {kind} of transformers cannot be imported", "pip install 'brittle[hf]'"):
        loader = getattr(transformers, kind)  # transformers imports its parts late
    folder = user_path(what)
    there = status(folder) is not None
    if not there and (what.count("/") > 1 or what.startswith((".", "/", "~"))):
        raise InputError(f"{what} does not exist; give a folder that save_pretrained wrote, or hf:ID of the hub")
    where = str(folder) if there else what
    failed: list[Exception] = []
    for local in (True,) if there else (True, False):
        if not local:
            check_hub(f"hf:{what}", "give a folder that save_pretrained wrote, hf:FOLDER")
        try:
            with _quiet(transformers):
                return loader.from_pretrained(
                    where, revision=revision, trust_remote_code=False, local_files_only=local, **settings
                )
        except Exception as error:  # a damaged file or the hub may raise anything
            failed.append(error)
    raise _refusal(what, kind, failed[-1]) from failed[-1]


def _refusal(what: str, kind: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    mend = (
        "give an image classifier with safetensors weights (model.save_pretrained), and access to the network if it is on the hub"
        if kind == "AutoModelForImageClassification"
        else "save its image processor beside it (processor.save_pretrained)"
    )
    return InputError(f"hf:{what} cannot be read ({reason}); {mend}")


class _quiet:
    """Without the progress bars of transformers."""

    def __init__(self, transformers: Any) -> None:
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.shown = self.logging.is_progress_bar_enabled()
        self.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self.logging.enable_progress_bar()


def _preparation(processor: Any, what: str) -> Preparation:
    """What the processor does: resize, crop, rescale, normalise; refuses what is none of these."""
    told = processor.to_dict()
    if told.get("do_pad"):
        raise InputError(f"the image processor of {what} pads pictures, which brittle cannot; set do_pad to false")
    factor = 255 * told["rescale_factor"] if told.get("do_rescale") else 255.0  # pictures are 0..255 there
    offset = -1.0 if told.get("do_rescale") and told.get("rescale_offset") else 0.0
    mean, std = (told["image_mean"], told["image_std"]) if told.get("do_normalize") else ((0.0,) * 3, (1.0,) * 3)
    std = tuple(s * s for s in std) if told.get("include_top") else std  # EfficientNet's divides once more
    return Preparation(
        framing=_framing(told, what),
        mean=tuple((m - offset) / factor for m in mean),
        std=tuple(s / factor for s in std),
        backwards=bool(told.get("do_flip_channel_order")),
    )


def _framing(told: dict[str, Any], what: str) -> Framing:
    size: dict[str, Any] = told.get("size") or {}
    crop: dict[str, Any] | None = told.get("crop_size") if told.get("do_center_crop") else None
    way = RESAMPLING.get(int(told.get("resample") or 0), "bilinear")
    scaled: int | tuple[int, int] = size.get("shortest_edge") or (size.get("height") or 0, size.get("width") or 0)
    if not told.get("do_resize") or scaled == (0, 0):
        raise InputError(
            f"the image processor of {what} does not say to which size pictures are resized; set do_resize and size"
        )
    if size.get("longest_edge"):
        raise InputError(
            f"the image processor of {what} limits the longer side of pictures, which brittle cannot; set size otherwise"
        )
    cut = scaled if isinstance(scaled, tuple) else (scaled, scaled)
    share = told.get("crop_pct")
    if crop:
        cut = crop["height"], crop["width"]
    elif isinstance(scaled, int) and share is not None and scaled < WARPED:
        scaled = int(scaled / share)
    elif share is not None:
        scaled = cut
    return Framing(size=cut, scaled=scaled, down=True, interpolation=way)
