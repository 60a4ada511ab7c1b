"""The demonstration: train a small network, attack it, and look at what the attacks' famous numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..attacks import fgsm
from ..data.open import open_data
from ..errors import InputError, unknown
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
    out.mkdir(parents=True, exist_ok=True)
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
    if victim.module is None:
        raise InputError(f"{network} holds no network; delete it and run the demo again")
    x, labels = samples.batch(range(len(samples)))
    unboxed = attack(fgsm(), victim.module, x, labels, linf(scene.eps), bounds=(-1.0, 2.0), batch_size=1000)
    boxed = attack(fgsm(), victim.module, x, labels, linf(scene.eps), batch_size=1000)
    return Demo(report, network, scene.eps, boxed.robust_accuracy, unboxed.robust_accuracy)
