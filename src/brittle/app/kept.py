"""The adversarial examples that a run kept, as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..report.numbers import same_radius
from ..report.read import read_kept, read_run


def kept_examples(folder: Path, attack: str | None, eps: float) -> dict[str, Tensor]:
    """See `Report.examples`."""
    run = read_run(folder)
    kept = read_kept(run)
    tried = [row for row in run.rows.to_pylist() if row["role"] != "clean" and not row["error"]]
    at = [row for row in tried if same_radius(row["eps"], eps)]
    if not at:
        radii = ", ".join(f"{radius:g}" for radius in sorted({row["eps"] for row in tried}))
        raise InputError(f"nothing was tried at eps={eps:g}; give one of {radii}")
    names = dict.fromkeys(row["attack"] for row in at)
    if attack is not None and attack not in names:
        raise unknown("attack of this run", attack, names)
    chosen: dict[int, dict[str, Any]] = {}
    for row in at:
        if attack in (None, row["attack"]) and row["id"] in kept.get(row["cell"], {}):
            held = chosen.get(row["id"])
            if held is None or not held["success"]:
                chosen[row["id"]] = row
    rows = [chosen[index] for index in sorted(chosen)]
    if not rows:
        raise InputError(
            "this run kept no examples there; evaluate with keep= above 0, and with an attack that proposes points"
        )
    columns = {name: torch.tensor([row[name] for row in rows]) for name in ("id", "label", "predicted", "success")}
    return {"x_adv": torch.from_numpy(np.stack([kept[row["cell"]][row["id"]] for row in rows])), **columns}
