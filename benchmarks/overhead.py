"""What PGD costs beyond its forward and backward passes: brittle and its peers against the bare loop, in one run.

    make bench            or: python benchmarks/overhead.py [--repetitions 15] [--threads 2]

Every contender does the same k forwards and k backwards to the input. Repetitions are interleaved in random order, and each contender is
divided by the bare loop of the same repetition, so that a busy machine slows all of them alike. Printed: median ratio and quartiles.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import brittle
import brittle.app.evaluate  # for its memory, which every run below then has
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Problem
from brittle.core.streams import Streams
from peers import PEERS, without_torchvision


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    steps: int
    eps: float


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


class Block(nn.Module):
    """Basic residual block of a CIFAR ResNet (He et al. 2016), projection where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skip = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def resnet20() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for after in (16, 32, 64):
        for i in range(3):
            layers.append(Block(width, after, 2 if i == 0 and after > 16 else 1))
            width = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def tiny() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


CASES = {
    "mlp": Case("MNIST MLP, batch 1000, 40 steps", mlp, (1, 28, 28), 1000, 40, 0.1),
    "resnet": Case("CIFAR ResNet-20, batch 64, 10 steps", resnet20, (3, 32, 32), 64, 10, 8 / 255),
    "tiny": Case("tiny net, batch 128, 40 steps", tiny, (1, 8, 8), 128, 40, 0.1),
}


def bare(module: nn.Module, x: Tensor, labels: Tensor, steps: int) -> None:
    """Forward and input gradient, and nothing done with it."""
    for _ in range(steps):
        asked = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(module(asked), labels, reduction="sum"), asked)


def handwritten(module: nn.Module, x: Tensor, labels: Tensor, eps: float, step: float, steps: int) -> Tensor:
    """PGD as a careful person writes it in ten lines."""
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    point = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(steps):
        asked = point.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(module(asked), labels, reduction="sum"), asked)
        point = torch.clamp(point + step * grad.sign(), low, high)
    return point


def contenders(case: Case) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    module = case.build().eval()
    x = torch.rand(case.batch, *case.shape)
    labels = module(x).argmax(1)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    step = 2.5 * case.eps / case.steps
    threat, victim, ids = brittle.linf(case.eps), brittle.as_victim(module), torch.arange(case.batch)
    same = brittle.GradientAscent(steps=case.steps, reach=2.5, start="random")
    best = brittle.pgd(steps=case.steps, stop=False)

    def loop(attack: brittle.GradientAscent) -> Tensor:
        ledger = Ledger.empty(case.batch, x.device)
        problem = Problem(
            threat.around(x, 0.0, 1.0),
            Classify(labels),
            Oracle(victim, ledger, attack.access),
            Streams.seeded(0, ids),
        )
        with torch.no_grad():
            return attack(problem)

    runs: dict[str, Callable[[], object]] = {
        "bare forward + gradient": lambda: bare(module, x, labels, case.steps),
        "PGD by hand": lambda: handwritten(module, x, labels, case.eps, step, case.steps),
        "brittle": lambda: loop(same),
        "brittle, keeping the best point": lambda: loop(best),
        "brittle.attack: checked and judged": lambda: brittle.attack(same, module, x, labels, threat),
        "brittle.attack, stopping where won": lambda: brittle.attack(
            brittle.pgd(steps=case.steps), module, x, labels, threat
        ),
    }
    for name, make in PEERS.items():
        runs[name] = make(module, x, labels, case.eps, step, case.steps)
    return runs


def measure(case: Case, repetitions: int) -> dict[str, list[float]]:
    runs = contenders(case)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():  # warm up
        run()
    for repetition in range(repetitions):
        order = list(runs)
        random.Random(repetition).shuffle(order)
        for name in order:
            start = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - start)
    return times


def show(case: Case, times: dict[str, list[float]]) -> None:
    reference = times["bare forward + gradient"]
    print(f"\n### {case.name} (bare loop {statistics.median(reference) * 1e3:.1f} ms)\n")
    print("| | ratio to the bare loop | quartiles |\n|---|---:|---|")
    for name, measured in times.items():
        ratios = [a / b for a, b in zip(measured, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {name} | {middle:.3f} | {low:.3f} to {high:.3f} |")


def memory(what: str, samples: int) -> None:
    """Run in a process of its own: print its peak resident memory in MiB."""
    module = resnet20().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    x = torch.zeros(samples, 3, 32, 32, dtype=torch.uint8)
    labels = (
        module(torch.zeros(1, 3, 32, 32)).argmax(1).repeat(samples)
    )  # right from the start, so that all are attacked
    if what == "bare":
        bare(module, torch.zeros(512, 3, 32, 32), labels[:512], 10)
    elif what == "attack":
        images = torch.zeros(512, 3, 32, 32)
        brittle.attack(brittle.ifgsm(steps=2), module, images, labels[:512], brittle.linf(0.03))
    elif what == "evaluate":
        brittle.evaluate(
            module, (x, labels), brittle.linf(0.03), attacks=["ifgsm:steps=2"], grid=[0.03], batch_size=512, shard=512
        )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def show_memory() -> None:
    """Peak of a whole process, less that of one that only imports the same."""
    runs = (("start", 512), ("bare", 512), ("attack", 512), ("evaluate", 1024), ("evaluate", 10240))
    peaks = []
    for what, samples in runs:
        command = [sys.executable, __file__, "--memory", what, "--samples", str(samples)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
    print(f"\n### Peak memory above the {peaks[0]:.0f} MiB of the imports, ResNet-20, batch 512\n")
    print("| | MiB | ratio |\n|---|---:|---:|")
    for (what, samples), peak in zip(runs[1:], peaks[1:], strict=True):
        name = "bare loop" if what == "bare" else f"brittle.{what}, {samples:,} samples"
        print(f"| {name} | {peak - peaks[0]:.0f} | {(peak - peaks[0]) / (peaks[1] - peaks[0]):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cases", nargs="*", choices=CASES, default=list(CASES)
    )  # none given after --cases: memory alone
    parser.add_argument("--memory", choices=("start", "bare", "attack", "evaluate"))
    parser.add_argument("--samples", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        return memory(options.memory, options.samples)
    without_torchvision()
    print(f"torch {torch.__version__}, {options.threads} threads, {options.repetitions} interleaved repetitions")
    for name in options.cases:
        show(CASES[name], measure(CASES[name], options.repetitions))
    show_memory()
    return None


if __name__ == "__main__":
    main()
