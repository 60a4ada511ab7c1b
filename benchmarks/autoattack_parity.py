"""`brittle.autoattack()` against its authors' own code, sample by sample, on published networks.

    python benchmarks/autoattack_parity.py                  # all cases, most of an hour on one core
    python benchmarks/autoattack_parity.py --cases 0 --images 50
    python benchmarks/autoattack_parity.py --cases 1 3 --images 40 --version plus

Needs BRITTLE_DATA with weights/ beside data/, and the authors' repository (fra31/auto-attack) in a folder inside --checkouts or what
BRITTLE_CHECKOUTS names. Both attack the same first test images with the same version. A verdict of either counts only where the
returned point is in the ball and the box (up to 1e-4 of the radius) and the network gives another class there. What is chance is seen in
two ways: how often the original agrees with itself under another seed, and, of each sample on which the two differ, how often either finds
it with `--again` other seeds.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import brittle
from brittle.core.norms import NORMS
from brittle.data.open import open_data
from optimality_peers import use_checkouts
from published import loader

CASES = (
    ("mnist_fc_vnncomp_256x2", "mnist", "linf", 0.03),
    ("mnist_madry_tiny", "mnist", "linf", 0.3),
    ("cifar10_marabou_small", "cifar10", "linf", 2 / 255),
    ("mnist_fc_vnncomp_256x2", "mnist", "l2", 0.6),
    ("cifar10_marabou_small", "cifar10", "l2", 0.25),
    ("mnist_fc_vnncomp_256x2", "mnist", "l1", 4.0),
    ("cifar10_marabou_small", "cifar10", "l1", 3.0),
)
NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Counted(nn.Module):
    """The network, and how many inputs it was sent."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        outputs: Tensor = self.network(x)
        return outputs


def original(version: str, network: Counted, x: Tensor, labels: Tensor, norm: str, eps: float, seed: int) -> Tensor:
    """The authors' points (B, *S)."""
    from autoattack import AutoAttack  # type: ignore[import-not-found]

    attack = AutoAttack(network, norm=NAMES[norm], eps=eps, seed=seed, verbose=False, device="cpu", version=version)
    points: Tensor = attack.run_standard_evaluation(x.clone(), labels.clone(), bs=len(x))
    return points


def ours(version: str, network: Counted, x: Tensor, labels: Tensor, norm: str, eps: float, seed: int) -> Tensor:
    """brittle's points (B, *S)."""
    threat = brittle.parse_threat(f"{norm}:{eps!r}")
    attack = brittle.autoattack(version)
    return brittle.attack(attack, network, x, labels, threat, seed=seed, batch_size=len(x)).x_adv


def fooled(network: nn.Module, points: Tensor, x: Tensor, labels: Tensor, norm: str, eps: float) -> Tensor:
    """(B,) bool: inside ball and box, and of another class."""
    with torch.no_grad():
        wrong = network(points).argmax(1) != labels
    inside = (NORMS[norm].size(points - x) <= eps * (1 + 1e-4)) & (points.flatten(1).amin(1) >= 0)
    return wrong & inside & (points.flatten(1).amax(1) <= 1)


def compare(case: tuple[str, str, str, float], version: str, images: int, again: int) -> None:
    first, second = partial(original, version), partial(ours, version)
    name, data, norm, eps = case
    network = loader().load(name)[0].eval()
    x, labels = open_data(data).batch(range(images))
    x = x.contiguous()  # the authors' code cannot do with other layouts
    won, costs, seconds = [], [], []
    for run, seed in ((first, 0), (second, 0), (first, 1)):
        counted, started = Counted(network).eval(), time.process_time()
        won.append(fooled(network, run(counted, x, labels, norm, eps, seed), x, labels, norm, eps))
        costs.append(counted.forwards / images)
        seconds.append(time.process_time() - started)
    theirs, mine, reseeded = won
    differ = (theirs != mine).nonzero().squeeze(1)
    cells: list[Any] = [name, norm, f"{eps:.4g}", images]
    cells += [f"{100 * (1 - float(w.double().mean())):.1f}" for w in won[:2]]
    cells += [f"{100 - 100 * len(differ) / images:.1f}", f"{100 * float((theirs == reseeded).double().mean()):.1f}"]
    cells += [f"{cost:,.0f}" for cost in costs[:2]] + [f"{spent:.0f}" for spent in seconds[:2]]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if not len(differ):
        return
    found = [
        sum(
            fooled(
                network,
                run(Counted(network).eval(), x[differ], labels[differ], norm, eps, s),
                x[differ],
                labels[differ],
                norm,
                eps,
            ).int()
            for s in range(1, again + 1)
        )
        for run in (first, second)
    ]
    for place, index in enumerate(differ.tolist()):
        print(
            f"  sample {index}: {'original' if theirs[index] else 'brittle'} alone; with {again} other seeds found by the original "
            f"{int(found[0][place])} times, by brittle {int(found[1][place])} times",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)))
    parser.add_argument("--version", choices=("standard", "plus", "rand"), default="standard")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--again", type=int, default=5)
    parser.add_argument("--checkouts", type=Path, default=os.environ.get("BRITTLE_CHECKOUTS"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    use_checkouts(Path(options.checkouts) if options.checkouts else None)
    print(
        "| network | threat | eps | images | original: robust, % | brittle | same verdict, % | original with another seed "
        "| original: forwards an image | brittle "
        "| original: seconds | brittle |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for place in options.cases:
        compare(CASES[place], options.version, options.images, options.again)


if __name__ == "__main__":
    main()
