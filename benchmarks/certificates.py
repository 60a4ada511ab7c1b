"""Certificates on published networks beside the figures published for them.

    BRITTLE_DATA=FOLDER python benchmarks/certificates.py [--cases 0 1] [--methods crown_ibp crown] [--samples 200] [--seconds 600]

The first test images, in parts of ten, until there are `samples` of them or the method has used `seconds` of processor time; images that
are classified wrongly count as not proved. In brackets the 95 % interval of Clopper and Pearson for the whole test set. The last column is
what PGD (40 steps, margin loss) leaves of the same images; that no image is both proved and fooled is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

import brittle
from brittle.certify import parse_certifier, prove
from brittle.core.victim import as_victim
from brittle.data.open import open_data
from brittle.report.shares import clopper_pearson
from published import loader


@dataclass(frozen=True)
class Case:
    """A network, a radius, and the share of the test set that is published as proved there, in %."""

    network: str
    data: str
    eps: float
    published: float
    by: str


CASES = (
    Case("mnist_kw_eps01", "mnist", 0.1, 94.2, "Wong & Kolter's dual"),
    Case("cifar10_resnet2b_adv2", "cifar10", 1 / 255, 57.16, "CROWN"),
    Case("cifar10_resnet2b_adv2", "cifar10", 2 / 255, 26.88, "CROWN"),
    Case("cifar10_oval_base_kw2", "cifar10", 2 / 255, 45.46, "Wong & Kolter's dual"),
    Case("cifar10_oval_deep_kw2", "cifar10", 2 / 255, 44.22, "Wong & Kolter's dual"),
    Case("cifar10_kw_small_eps8_c0", "cifar10", 8 / 255, 28.29, "Wong & Kolter's dual, a cascade of three"),
)
PART = 10


def measure(case: Case, methods: list[str], samples: int, seconds: float) -> Iterator[str]:
    """A row of the table for each method."""
    victim, threat = as_victim(loader().load(case.network)[0].eval()), brittle.linf(case.eps)
    x, labels = open_data(case.data).batch(range(samples))
    correct = victim(x).argmax(1) == labels
    held = correct & ~brittle.attack(brittle.pgd(steps=40, loss="margin"), victim, x, labels, threat).success
    for method in methods:
        certifier, proved, looked, spent = parse_certifier(method), 0, 0, 0.0
        while looked < samples and spent < seconds:
            part = torch.arange(looked, min(looked + PART, samples))
            asked, begun = part[correct[part]], time.process_time()
            found = prove(certifier, victim, threat, x[asked], labels[asked])
            spent += time.process_time() - begun
            assert bool(held[asked[found]].all()), f"proved and fooled: {asked[found & ~held[asked]].tolist()}"
            looked, proved = looked + len(part), proved + int(found.sum())
        low, high = clopper_pearson(proved, looked)
        radius = f"{case.eps * 255:.3g}/255" if case.data == "cifar10" else f"{case.eps:g}"
        share = f"{100 * proved / looked:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        right, left = (f"{100 * float(one[:looked].double().mean()):.1f}" for one in (correct, held))
        cells = [case.network, radius, method, looked, right, share, f"{case.published} ({case.by})", left]
        yield "| " + " | ".join(map(str, [*cells, f"{spent / looked:.2f}"])) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)))
    parser.add_argument("--methods", nargs="*", default=["crown_ibp", "crown", "alpha_crown"])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| network | Linf eps | certificate | images | right | proved, % | published | PGD leaves, % | seconds an image |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for place in options.cases:
        for row in measure(CASES[place], options.methods, options.samples, options.seconds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
