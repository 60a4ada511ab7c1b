"""torchvision where its compiled part does not fit the installed torch: what it compiles is declared, and never called by a classifier.

Import this before torchvision, or a package that imports it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _compiled() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    try:
        for file in sorted(Path(spec.origin).parent.glob("_C*.so")):
            torch.ops.load_library(file)
    except OSError:
        return False
    return torch._C._dispatch_has_kernel("torchvision::nms")


if not hasattr(torch.ops.torchvision, "nms") and not _compiled():
    _DECLARED = torch.library.Library("torchvision", "DEF")  # as long as the process lives
    _DECLARED.define(f"nms{NMS}")
    _DECLARED.define(f"qnms{NMS}")
