"""A run folder of plausible invented rows: a digit model, clean inputs, noise and three attacks over five radii."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from brittle.runs.cells import Cell, Unit, cells
from brittle.runs.plan import AttackEntry, Plan
from brittle.runs.rows import Row
from brittle.runs.store import Store

GRID = (0.05, 0.1, 0.15, 0.2, 0.3)
STRENGTH = {"uniform": 0.12, "fgsm": 0.85, "pgd": 1.0, "square": 0.93}  # share of the true distance that is lost
STEPS = {"uniform": (0, 0), "fgsm": (1, 1), "pgd": (41, 40), "square": (200, 0)}


def synthetic_plan(samples: int = 200, **changes: Any) -> Plan:
    """A plan as it is written once everything in it is expanded and resolved."""
    values: dict[str, Any] = {
        "victim": "py:nets:small",
        "data": "digits",
        "threat": {"type": "brittle.threats.ball:Ball", "name": "linf", "eps": 0.1},
        "eps": 0.1,
        "grid": GRID,
        "attacks": (
            AttackEntry(name="uniform", role="noise", value={"type": "brittle.attacks.fixed.noise:Noise", "draws": 1}),
            AttackEntry(
                name="fgsm", value={"type": "brittle.attacks.fixed.gradient_ascent:GradientAscent", "steps": 1}
            ),
            AttackEntry(
                name="pgd",
                value={
                    "type": "brittle.attacks.fixed.gradient_ascent:GradientAscent",
                    "steps": 40,
                    "step_size": 0.025,
                    "loss": {"type": "brittle.core.losses:CrossEntropy"},
                },
            ),
            AttackEntry(name="square", value={"type": "brittle.attacks.score.square:Square", "queries": 200}),
        ),
        "samples": samples,
        "keep": 12,
        "resolved": {
            "victim_digest": "5f1c9a7d20be44c1a8d3",
            "data_digest": "c07e3b5512f94da08e61",
            "source_digest": "9b2d64e07f",
            "count": 1797,
            "classes": [str(i) for i in range(10)],
            "shape": [1, 8, 8],
            "bounds": [0.0, 1.0],
            "version": "0.1.0",
        },
    }
    return Plan(**(values | changes))


def synthetic_rows(cell: Cell, ids: Iterable[int]) -> list[Row]:
    """Each sample has a distance to the boundary; an attack covers a share of it that its strength decides."""
    rows = []
    for i in ids:
        rng = np.random.default_rng([7, i])
        label, other = (int(c) for c in rng.choice(10, 2, replace=False))
        distance = -0.02 if rng.random() < 0.035 else float(rng.gamma(3.0, 0.05))
        luck = float(rng.normal(1, 0.05)) if cell.role == "attack" else 1.0
        moved = 0.0 if cell.role == "clean" else cell.eps * STRENGTH.get(cell.name, 0.0) * luck
        margin = 40 * (moved - distance)
        forwards, backwards = STEPS.get(cell.name, (1, 0))
        rows.append(
            Row(
                cell=cell.key, attack=cell.name, role=cell.role, threat=cell.threat_name, eps=cell.eps, id=i,
                label=label, clean_correct=distance > 0, success=margin > 0, feasible=True,
                size=cell.eps * (1 if cell.name != "square" else 0.9 + 0.1 * rng.random()), margin=margin,
                predicted=other if margin > 0 else label, confidence=float(1 / (1 + np.exp(-abs(margin)))),
                forwards=forwards, backwards=backwards, seconds=0.0004 * (1 + forwards + 2 * backwards),
            )
        )  # fmt: skip
    return rows


def synthetic_examples(cell: Cell, ids: Iterable[int], shape: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """Digits with noise of the cell's radius, brought to `shape` by repeating pixels or flattening."""
    ids = list(ids)
    images = (load_digits().images[ids] / 16).astype(np.float32)
    scale = shape[-1] // 8 if len(shape) > 1 else 1
    images = images.repeat(scale, 1).repeat(scale, 2)
    x = np.stack([np.broadcast_to(image, shape) if len(shape) > 1 else image.reshape(shape) for image in images])
    signs = np.random.default_rng(3).choice([-1.0, 1.0], x.shape)
    x_adv = np.clip(x + cell.eps * signs, 0, 1).astype(np.float32)
    return {"x_adv": x_adv, "id": np.array(ids, dtype=np.int64)}


def write_run(folder: Path, plan: Plan, edit: Mapping[str, Any] | None = None, skip: tuple[str, ...] = ()) -> Path:
    """Write a run folder; `edit[name](rows)` changes an attack's rows, cells named in `skip` are left out."""
    with Store(folder).open(plan) as store:
        for cell in cells(plan):
            if cell.name in skip:
                continue
            ids = tuple(range(plan.samples or 0))
            rows = synthetic_rows(cell, ids)
            if edit and cell.name in edit:
                rows = edit[cell.name](rows)
            kept = synthetic_examples(cell, ids[: plan.keep], tuple(plan.resolved["shape"]))
            store.write(Unit(cell, ids), rows, kept)
        store.invocation(
            command="brittle evaluate py:nets:small digits --threat linf:0.1 --out runs/digits",
            started=datetime(2025, 3, 1, 9, 30, tzinfo=UTC),
            seconds=41.8,
            workers=2,
        )
    return folder
