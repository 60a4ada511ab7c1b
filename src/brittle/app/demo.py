"""The demonstration: train a small network, attack it, and look at what the attacks' famous numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..attacks.fixed.recipes import fgsm
from ..data.open import open_data
from ..errors import unknown
from ..files import make_folder
from ..threats import linf
from ..victims.open import open_victim
from .attack import attack
from .evaluate import Report, evaluate
from .progress import Progress, progress_bar
from .train import train_and_save


@dataclass(frozen=True)
class Scene:
    """What is shown on a data set."""

    net: str
    epochs: int
    eps: float
    grid: tuple[float, ...]
    attacks: tuple[str, ...] = ("uniform_noise", "fgsm", "ifgsm", "pgd")


SCENES = {
    "digits": Scene("mlp", 30, 0.15, (0.05, 0.1, 0.15, 0.2, 0.25)),
    "mnist": Scene("mlp", 5, 0.1, (0.025, 0.05, 0.1, 0.15, 0.2, 0.3)),
}


@dataclass(frozen=True)
class Demo:
    """`unboxed` is the accuracy FGSM leaves when pixels may leave [0, 1]; `boxed` when they may not."""

    report: Report
    network: Path
    eps: float
    boxed: float
    unboxed: float


def demo(data: str, out: Path, *, seed: int = 0, progress: Progress | bool = True) -> Demo:
    """Train on `digits` or `mnist`, evaluate on all test samples, keep network, run and report in the folder `out`."""
    if data not in SCENES:
        raise unknown("demo data", data, SCENES)
    scene, network = SCENES[data], out / f"{data}-{SCENES[data].net}.safetensors"
    make_folder(out)
    with progress_bar(progress) as advance:
        train_and_save(data, network, net=scene.net, epochs=scene.epochs, seed=seed, progress=advance)
    victim, samples = open_victim(f"net:{network}"), open_data(data)
    report = evaluate(
        f"net:{network}",
        data,
        linf(scene.eps),
        attacks=scene.attacks,
        grid=scene.grid,
        out=out / "run",
        seed=seed,
        batch_size=1000,
        shard=1000,
        progress=progress,
    )
    x, labels = samples.batch(range(len(samples)))
    unboxed = attack(fgsm(), replace(victim, lower=-1.0, upper=2.0), x, labels, linf(scene.eps), batch_size=1000)
    inside = next(found for found in report.summary.attacks if found.name == "fgsm").at(scene.eps)
    boxed = inside.accuracy.robust.value if inside else float("nan")
    return Demo(report, network, scene.eps, boxed, unboxed.robust_accuracy)
