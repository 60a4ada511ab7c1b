"""Time of each attack beside the same attack of other libraries, at equal iterations, as a ratio in one run.

    python benchmarks/speed.py --networks tiny,resnet20 --repetitions 3
    python benchmarks/speed.py --networks tiny --only cw,lbfgs

Needs BRITTLE_DATA with weights/ beside data/, benchmarks/requirements.txt, and for adversarial-library, auto-attack and sigma-zero
the folders that BRITTLE_CHECKOUTS names. tiny: a published MNIST network of two convolutions; resnet20: a published CIFAR network.
Every contender gets the same images and as many iterations; each is run once to warm up, then in turn, and what is printed is the
median over the repetitions of its processor time over ours. In brackets how many forwards and backwards of an image it made in the
warm-up, over ours: some stop a round early, others ask twice a step. One thread. Where attacks search for a radius, a fixed one is given.

L-BFGS is held against SciPy's, one image after the other, as those who have it run it: the same objective, box and number of steps.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.optimize import minimize
from torch import Tensor, nn

import brittle
from brittle.attacks.registry import parse_attack
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.core.victim import as_victim
from brittle.data.open import open_data
from optimality_peers import PEERS, use_checkouts
from published import loader

NETWORKS = {"tiny": "mnist_madry_tiny", "resnet20": "cifar10_resnet20"}
RADIUS = {"tiny": {"linf": 0.1, "l2": 0.5, "l1": 2.0}, "resnet20": {"linf": 1 / 255, "l2": 0.1, "l1": 1.0}}
STEPS = 40


@dataclass(frozen=True)
class Contest:
    """One attack in one norm: ours as the command line takes it, and of each peer the queries that make it as many iterations."""

    norm: str
    ours: str
    peers: dict[str, int]


def contests(n: int) -> dict[str, Contest]:
    few, rounds = max(n // 4, 2), 9
    both = ("linf", "l2")
    table = {
        "ddn": Contest("l2", f"ddn:steps={n}", {"advlib:ddn": 2 * n, "foolbox:ddn": 2 * n}),
        "cw": Contest(
            "l2",
            f"cw:steps={n},rounds={rounds}",
            dict.fromkeys(("advlib:cw_l2", "foolbox:cw", "torchattacks:cw"), 2 * n * rounds),
        ),
        "ead": Contest("l1", f"ead:steps={n},rounds={rounds}", {"foolbox:ead": 3 * n * rounds}),
        "superdeepfool": Contest("l2", "superdeepfool", {"advlib:superdeepfool": 0}),
        "pdgd": Contest("l2", f"pdgd:steps={n}", {"advlib:pdgd": 2 * n}),
        "sigma_zero": Contest(
            "l0", f"sigma_zero:steps={n}", {"sigmazero:sigma_zero": 2 * n, "advlib:sigma_zero": 2 * n}
        ),
        "vfga": Contest("l0", f"vfga:steps={n}", {"advlib:vfga": 22 * n}),
        "lbfgs": Contest("l2", f"lbfgs:steps={n},rounds=1,search=0", {"scipy": n}),
    }
    for norm in ("linf", "l2", "l1", "l0"):
        table[f"fmn {norm}"] = Contest(norm, f"fmn:steps={n}", {"advlib:fmn": 2 * n, "foolbox:fmn": 2 * n})
        table[f"pdpgd {norm}"] = Contest(norm, f"pdpgd:steps={n}", {"advlib:pdpgd": 2 * n})
        table[f"bb {norm}"] = Contest(norm, f"brendel_bethge:steps={n}", {"foolbox:bb": 2 * n + 20})
    for norm in ("l2", "l1"):
        table[f"alma {norm}"] = Contest(norm, f"alma:steps={n}", {"advlib:alma": 2 * n})
    for norm in both:
        deep = {"advlib:deepfool": 10 * n, "foolbox:deepfool": 18 * n + 1}
        table[f"deepfool {norm}"] = Contest(
            norm, f"deepfool:steps={n}", deep | ({"torchattacks:deepfool": 11 * n} if norm == "l2" else {})
        )
        table[f"fab {norm}"] = Contest(
            norm,
            f"fab:steps={few}",
            {"advlib:fab": 11 * few + 1, "autoattack:fab": 12 * few + 6, "torchattacks:fab": 12 * few + 6},
        )
        table[f"fabt {norm}"] = Contest(
            norm,
            f"fabt:steps={few}",
            {"advlib:fab_targeted": 9 * (3 * few + 1) + 1, "autoattack:fab_targeted": 9 * (3 * few + 7) + 1},
        )
        table[f"apgd {norm}"] = Contest(
            norm,
            f"apgd:steps={n}",
            {
                "advlib:apgd:ce": 2 * n + 2,
                "autoattack:apgd": 2 * n + 3,
                "torchattacks:apgd": 2 * n + 3,
                "art:apgd": 4 * n,
            },
        )
        table[f"pgd {norm}"] = Contest(norm, f"pgd:steps={n}", {"foolbox:pgd": 2 * n, "torchattacks:pgd": 2 * n})
    return table


class Counting(nn.Module):
    """The network; counts the images that go forwards and backwards."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.passes = network, 0

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x)
        self.passes += len(x)
        if outputs.requires_grad:
            outputs.register_hook(self.count)
        return outputs

    def count(self, grad: Tensor) -> None:
        self.passes += len(grad)


def runner(
    name: str, contest: Contest, network: nn.Module, x: Tensor, labels: Tensor, eps: float
) -> Callable[[], object]:
    """What is timed."""
    if name == "brittle":
        attack, victim = parse_attack(contest.ours), as_victim(network, (0.0, 1.0))
        threat = getattr(brittle, contest.norm)(math.inf if attack.minimises else eps)
        return lambda: attempt(attack, victim, threat, x.clone(), Classify(labels), torch.arange(len(x)), 0)
    queries = contest.peers[name]
    if name == "scipy":
        return lambda: [one_after_the_other(network, x[row], int(labels[row]), queries) for row in range(len(x))]
    peer, options = PEERS[name.removesuffix(":ce")], {"loss": "ce"} if name.endswith(":ce") else {}
    if not peer.at_radius:
        return lambda: peer.run(network, x.clone(), labels.clone(), contest.norm, queries, **options)
    radius = torch.full((len(x),), eps)
    return lambda: peer.run(network, x.clone(), labels.clone(), contest.norm, queries, radius, **options)


def one_after_the_other(network: nn.Module, x: Tensor, label: int, steps: int) -> Tensor:
    """SciPy's L-BFGS-B on ||delta||^2 + softplus(margin of the label), in the box."""

    def objective(flat: object) -> tuple[float, object]:
        point = torch.tensor(flat, dtype=torch.float32).view(1, *x.shape).requires_grad_()
        z = network(point)[0]
        margin = z[label] - torch.cat([z[:label], z[label + 1 :]]).amax()
        loss = (point - x).square().sum() + nn.functional.softplus(margin)
        (grad,) = torch.autograd.grad(loss, point)
        return float(loss), grad.flatten().double().numpy()

    start = x.flatten().double().numpy()
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(start), options={"maxiter": steps}
    )
    return torch.tensor(found.x)


Times = dict[str, list[float]]


def race(
    contest: Contest, network: nn.Module, x: Tensor, labels: Tensor, eps: float, repetitions: int
) -> tuple[Times, dict[str, int]]:
    """Processor seconds of each contender, a repetition each, and its passes; one that fails is left out and says why."""
    times: Times = {}
    passes: dict[str, int] = {}
    for name in ("brittle", *contest.peers):
        counting = Counting(network).eval()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                runner(name, contest, counting, x, labels, eps)()
        except Exception as failure:
            print(f"  {name}: {type(failure).__name__}: {str(failure)[:100]}")
            continue
        times[name], passes[name] = [], counting.passes
    calls = {name: runner(name, contest, network, x, labels, eps) for name in times}
    for _ in range(repetitions):
        for name, call in calls.items():
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                call()
            times[name].append(time.process_time() - start)
    return times, passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="tiny,resnet20")
    parser.add_argument("--only", default="", help="names of contests, separated by commas")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    folder = os.environ.get("BRITTLE_CHECKOUTS")
    use_checkouts(None if folder is None else Path(folder))
    chosen = [name for name in options.only.split(",") if name]
    for short in options.networks.split(","):
        network = loader().load(NETWORKS[short])[0].eval().requires_grad_(False)
        x, labels = open_data(NETWORKS[short].partition("_")[0]).batch(range(options.images))
        print(
            f"| {short}, {options.images} images, {options.steps} steps | ours, s | " + "times ours |\n|---|---:|---|"
        )
        for name, contest in contests(options.steps).items():
            if chosen and name not in chosen and name.partition(" ")[0] not in chosen:
                continue
            eps = RADIUS[short].get(contest.norm, math.inf)
            times, passes = race(contest, network, x.contiguous(), labels, eps, options.repetitions)
            ours = times.pop("brittle", [])
            said = ", ".join(
                f"{peer} {statistics.median(t / o for t, o in zip(took, ours, strict=True)):.2f}"
                f" ({passes[peer] / passes['brittle']:.2f})"
                for peer, took in times.items()
                if ours
            )
            print(f"| {name} | {statistics.median(ours) if ours else math.nan:.2f} | {said} |", flush=True)


if __name__ == "__main__":
    main()
