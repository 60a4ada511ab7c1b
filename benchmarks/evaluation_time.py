"""What an evaluation costs beyond its passes: time of `brittle.evaluate` over that of the bare forwards and backwards it was charged.

    BRITTLE_DATA=FOLDER python benchmarks/evaluation_time.py [NETWORK ...] [--samples 256] [--repetitions 3]

Two yardsticks: the time spent inside the model's own forwards and backwards during the evaluation, and what as many passes would take in
full batches of 256, timed before and after; the second also counts what is lost where few samples are left. The diagnosis is counted
too, importing brittle is not. Everything is processor time of one thread, so that other work on the machine does not count. Networks are
those of FOLDER/weights. Proofs are left out: they are no passes of the model.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import brittle
from brittle.data.open import open_data
from published import loader

CASES = {
    "mnist_kw_eps01": ("mnist", brittle.linf(0.1)),
    "mnist_fc_vnncomp_256x2": ("mnist", brittle.linf(0.02)),
    "cifar10_resnet2b_adv2": ("cifar10", brittle.linf(2 / 255)),
    "cifar10_resnet20": ("cifar10", brittle.linf(0.5 / 255)),
}


def seconds(module: nn.Module, x: Tensor, differentiate: bool) -> float:
    """Of one pass of one sample, the best of three."""
    found = []
    for _ in range(3):
        begun = time.process_time()
        with torch.set_grad_enabled(differentiate):
            asked = x.clone().requires_grad_(differentiate)
            outputs = module(asked)
            if differentiate:
                torch.autograd.grad(outputs.sum(), asked)
        found.append((time.process_time() - begun) / len(x))
    return min(found)


class Clock(nn.Module):
    """The module, with the seconds spent in it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.seconds = module, 0.0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        begun = time.process_time()
        outputs: Tensor = self.module(x)
        self.seconds += time.process_time() - begun
        return outputs

    @contextlib.contextmanager
    def backwards(self) -> Iterator[None]:
        """Count what torch.autograd.grad takes, too."""
        grad = torch.autograd.grad

        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.process_time()
            found = grad(*arguments, **options)
            self.seconds += time.process_time() - begun
            return found

        torch.autograd.grad = timed
        try:
            yield
        finally:
            torch.autograd.grad = grad


def ratio(name: str, samples: int) -> tuple[float, float, float, float]:
    """Time over that inside the model and over that of full batches; forwards and backwards a sample."""
    data, threat = CASES[name]
    module, given = loader().load(name)[0], open_data(data)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    x, labels = given.batch(range(samples))
    before = seconds(module, x[:256], False), seconds(module, x[:256], True)
    clock, evaluate = Clock(module), brittle.evaluate
    with clock.backwards():
        begun = time.process_time()
        report = evaluate(clock, (x, labels), threat, grid=[threat.eps], prove=False, progress=False)
        spent = time.process_time() - begun
    after = seconds(module, x[:256], False), seconds(module, x[:256], True)
    noted = json.loads((report.folder / "diagnosis.json").read_text())
    rows = report.rows
    forwards = sum(row.forwards for row in rows) + noted["samples"] * noted["forwards"]
    backwards = sum(row.backwards for row in rows) + noted["samples"] * noted["backwards"]
    plain, both = (statistics.fmean(pair) for pair in zip(before, after, strict=True))
    bare = (forwards - backwards) * plain + backwards * both
    return spent / clock.seconds, spent / bare, forwards / samples, backwards / samples


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("networks", nargs="*", default=list(CASES))
    options.add_argument("--samples", type=int, default=256)
    options.add_argument("--repetitions", type=int, default=3)
    asked = options.parse_args()
    torch.set_num_threads(1)
    print("| network | forwards a sample | backwards a sample | time / inside the model | / full batches |")
    print("|---|---:|---:|---:|---:|")
    for name in asked.networks:
        found = [ratio(name, asked.samples) for _ in range(asked.repetitions)]
        inside, full = (statistics.median(run[i] for run in found) for i in (0, 1))
        print(f"| {name} | {found[0][2]:.0f} | {found[0][3]:.0f} | {inside:.2f} | {full:.2f} |", flush=True)


if __name__ == "__main__":
    main()
