"""Universal perturbations: made on 1000 samples, tried on 500 others, by loss and towards a class.

    python benchmarks/universal.py

Needs BRITTLE_DATA with weights/ and data/.
"""

from __future__ import annotations

import torch

import brittle
from brittle.data.open import open_data
from published import loader

CASES = (("cifar10_resnet20", "cifar10", 10 / 255, 3), ("mnist_lenet5_advertorch_clean", "mnist", 0.2, 8))
MADE, TRIED = 1000, 500


def main() -> None:
    print("| network | Linf | loss | right before | right after | taken for the class |\n|---|---:|---|---:|---:|---:|")
    for network, where, eps, target in CASES:
        module, _ = loader().load(network)
        module.eval()
        data, threat = open_data(where), brittle.linf(eps)
        x, labels = data.batch(range(len(data) - TRIED, len(data)))
        for said, loss, towards in (
            ("turned", None, None),
            ("cross_entropy", "cross_entropy", None),
            ("", None, target),
        ):
            made = brittle.universal(module, data, threat, samples=MADE, loss=loss, targets=towards)
            with torch.no_grad():
                clean = module(x).argmax(1)
                fooled = module(brittle.attack(made, module, x, labels, threat).x_adv).argmax(1)
            shares = [float((one == other).double().mean()) for one, other in ((clean, labels), (fooled, labels))]
            taken = "" if towards is None else f"{float((fooled == towards).double().mean()):.1%}"
            way = said or f"cross_entropy towards {towards}"
            print(f"| {network} | {eps:.3f} | {way} | {shares[0]:.1%} | {shares[1]:.1%} | {taken} |", flush=True)


if __name__ == "__main__":
    main()
