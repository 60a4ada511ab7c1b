"""Published networks against their published numbers. Needs BRITTLE_DATA with weights/ beside data/.

python benchmarks/published.py
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import brittle
from brittle.data.open import open_data

CASES = (
    ("mnist_kw_eps01", "mnist", 0.1, 10_000),
    ("mnist_fastadv_fgsm_eps03", "mnist", 0.3, 1000),
    ("mnist_smallcnn_trades", "mnist", 0.3, 500),
    ("cifar10_resnet2b_adv2", "cifar10", 2 / 255, 1000),
)
ATTACKS = {
    "FGSM": brittle.fgsm(),
    "PGD-40, cross-entropy": brittle.pgd(steps=40),
    "PGD-100 margin, 2 restarts": brittle.pgd(steps=100, loss="margin", restarts=2),
    "noise": brittle.uniform_noise(),
}


def loader() -> ModuleType:
    path = Path(os.environ["BRITTLE_DATA"]) / "weights" / "load.py"
    spec = importlib.util.spec_from_file_location("load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    load = loader().load
    print(
        "| network | eps | samples | clean | "
        + " | ".join(ATTACKS)
        + " |\n|---|---:|---:|---:|"
        + "---:|" * len(ATTACKS)
    )
    for name, data, eps, count in CASES:
        module, _ = load(name)
        x, labels = open_data(data).batch(range(count))
        cells = []
        for attack in ATTACKS.values():
            outcome = brittle.attack(attack, module, x, labels, brittle.linf(eps), batch_size=500)
            assert bool(outcome.feasible.all())
            cells.append(f"{100 * outcome.robust_accuracy:.2f}")
        clean = 100 * float(outcome.clean_correct.double().mean())
        print(f"| {name} | {eps:.4g} | {count} | {clean:.2f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
