"""Minimum-norm attacks on images with pixels at 0 and 1, ours beside the same attack of others, each with as many steps.

    python benchmarks/at_the_box.py --attacks deepfool,superdeepfool --networks mnist_convsmall_nat_eran --samples 32

Needs BRITTLE_DATA with weights/ beside data/, benchmarks/requirements.txt, and for adversarial-library, auto-attack and sigma-zero the
folders that BRITTLE_CHECKOUTS names. `random` is a small network with random weights on inputs uniform in [0, 1]; the others are published
networks on the first images of their test set that they get right. A line is an attack in a norm on a network: how many are won without a
limit, the median size over all images (infinite where more than half are not won), for ours and for each peer, and what falls short:
fewer won than by a peer, or a median more than 1 % larger. Every point is judged by the same code, clamped to the box.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import random
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.registry import parse_attack
from brittle.data.open import open_data
from optimality_meter import SIZES
from optimality_peers import PEERS, use_checkouts
from published import loader

ENOUGH = 1.01  # times the median of a peer


@dataclass(frozen=True)
class Pair:
    """Ours as the command line takes it, and of each peer the queries that make it as many steps."""

    norm: str
    ours: str
    peers: dict[str, int]


def pairs() -> dict[str, Pair]:
    n, few, rounds = 100, 50, 9
    table = {
        "ddn": Pair("l2", f"ddn:steps={n}", dict.fromkeys(("advlib:ddn", "foolbox:ddn"), 2 * n)),
        "cw l2": Pair("l2", f"cw:steps={few}", dict.fromkeys(("advlib:cw_l2", "foolbox:cw"), 2 * few * rounds)),
        "cw linf": Pair("linf", f"cw:steps={few}", {"advlib:cw_linf": 0}),
        "ead": Pair("l1", f"ead:steps={few}", {"foolbox:ead": 3 * few * rounds}),
        "superdeepfool": Pair("l2", "superdeepfool:steps=100", {"advlib:superdeepfool": 0}),
        "pdgd": Pair("l2", f"pdgd:steps={n}", {"advlib:pdgd": 2 * n}),
        "sigma_zero": Pair(
            "l0", f"sigma_zero:steps={n}", dict.fromkeys(("sigmazero:sigma_zero", "advlib:sigma_zero"), 2 * n)
        ),
        "vfga": Pair("l0", "vfga:steps=30", {"advlib:vfga": 22 * 30}),
        "newtonfool": Pair(
            "l2", f"newtonfool:steps={n}", dict.fromkeys(("foolbox:newtonfool", "art:newtonfool"), 2 * n)
        ),
        "sparsefool l0": Pair("l0", "sparsefool:steps=20", {"torchattacks:sparsefool": 20}),
    }
    for norm in ("linf", "l2"):
        deep = {"advlib:deepfool": 10 * few, "foolbox:deepfool": 18 * few + 1}
        more = {"torchattacks:deepfool": 11 * few, "art:deepfool": 12 * few} if norm == "l2" else {}
        table[f"deepfool {norm}"] = Pair(norm, f"deepfool:steps={few}", deep | more)
        table[f"trust_region {norm}"] = Pair(norm, f"trust_region:steps={n}", {"advlib:tr": 3 * n + 11})
        fab = {"advlib:fab": 11 * few + 1, "autoattack:fab": 12 * few + 6}
        table[f"fab {norm}"] = Pair(norm, f"fab:steps={few}", fab)
    table["fab l1"] = Pair("l1", f"fab:steps={few}", {"advlib:fab": 11 * few + 1, "autoattack:fab": 12 * few + 6})
    for norm in ("l2", "l1"):
        table[f"alma {norm}"] = Pair(norm, f"alma:steps={n}", {"advlib:alma": 2 * n})
    for norm in ("linf", "l2", "l1", "l0"):
        fmn = dict.fromkeys(("advlib:fmn", "foolbox:fmn"), 2 * n)
        table[f"fmn {norm}"] = Pair(norm, f"fmn:steps={n}", fmn)
        table[f"pdpgd {norm}"] = Pair(norm, f"pdpgd:steps={n}", {"advlib:pdpgd": 2 * n})
        table[f"bb {norm}"] = Pair(norm, f"brendel_bethge:steps={n}", {"foolbox:bb": 2 * n + 20})
    return table


def task(name: str, samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in evaluation mode, and images (B, *S) that it gets right with their labels (B,)."""
    if name == "random":
        torch.manual_seed(1)
        parts = nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10)
        network, x = nn.Sequential(*parts), torch.rand(samples, 3, 8, 8)
        labels = network(x).argmax(1)
    else:
        network = loader().load(name)[0]
        x, labels = open_data(name.partition("_")[0]).batch(range(samples))
    network = network.eval().requires_grad_(False)
    right = network(x).argmax(1) == labels
    return network, x[right].contiguous(), labels[right]


def proposals(pair: Pair, network: nn.Module, x: Tensor, labels: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Who proposes, and the points (B, *S)."""
    threat = getattr(brittle, pair.norm)(math.inf)
    yield "brittle", brittle.attack(parse_attack(pair.ours), network, x.clone(), labels, threat).x_adv
    for name, queries in pair.peers.items():
        for seeded in (random.seed, np.random.seed, torch.manual_seed):
            seeded(0)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = PEERS[name].run(network, x.clone(), labels.clone(), pair.norm, queries)
        except Exception as failure:  # a peer's own: the others go on
            print(f"  {name}: {type(failure).__name__}: {str(failure)[:100]}")
            continue
        yield name, found.detach().clamp(0, 1)


def measured(network: nn.Module, x: Tensor, labels: Tensor, norm: str, points: Tensor) -> tuple[int, float]:
    """How many win, and the median size, infinite where not won."""
    size = SIZES[norm]((points.double() - x.double()).flatten(1))
    won = network(points).argmax(1) != labels
    return int(won.sum()), float(torch.where(won, size, math.inf).quantile(0.5, interpolation="lower"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="random,mnist_convsmall_nat_eran,mnist_madry_tiny,cifar10_resnet2b_adv2")
    parser.add_argument(
        "--attacks", default="", help="all, or names of the table or their first words, comma between them"
    )
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    checkouts = os.environ.get("BRITTLE_CHECKOUTS")
    use_checkouts(None if checkouts is None else Path(checkouts))
    chosen = [name for name in options.attacks.split(",") if name]
    print(
        "| attack | network | won | median | peers: won, median | falls short | s |\n|---|---|---:|---:|---|---|---:|"
    )
    for network_name in options.networks.split(","):
        network, x, labels = task(network_name, options.samples)
        for name, pair in pairs().items():
            if chosen and name not in chosen and name.partition(" ")[0] not in chosen:
                continue
            start = time.process_time()
            results = {
                who: measured(network, x, labels, pair.norm, p) for who, p in proposals(pair, network, x, labels)
            }
            won, median = results.pop("brittle")
            short = [who for who, (w, m) in results.items() if w > won or median > ENOUGH * m]
            peers = ", ".join(f"{who} {w}, {m:.4g}" for who, (w, m) in results.items())
            took = time.process_time() - start
            print(
                f"| {name} | {network_name} | {won}/{len(x)} | {median:.4g} | {peers} | {' '.join(short)} | {took:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
