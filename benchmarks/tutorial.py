"""The tutorials' MNIST network under FGSM at eps 0.1, inside and outside the box. Needs BRITTLE_DATA or the cache.

python benchmarks/tutorial.py
"""

from __future__ import annotations

import brittle
from brittle.data.open import open_data
from brittle.victims.networks import Architecture
from brittle.victims.train import accuracy, train

ATTACKS = {
    "FGSM": (brittle.fgsm(), (0.0, 1.0)),
    "FGSM, pixels may leave [0, 1]": (brittle.fgsm(), (-1.0, 2.0)),
    "I-FGSM, 10 steps": (brittle.ifgsm(steps=10), (0.0, 1.0)),
    "PGD, 40 steps": (brittle.pgd(steps=40), (0.0, 1.0)),
    "PGD, 40 steps, margin loss": (brittle.pgd(steps=40, loss="margin"), (0.0, 1.0)),
    "uniform noise": (brittle.uniform_noise(), (0.0, 1.0)),
}


def main() -> None:
    training, test = open_data("mnist?split=train"), open_data("mnist")
    x, labels = test.batch(range(len(test)))
    columns = []
    for seed in range(3):
        module = train(training, Architecture("mlp", (1, 28, 28), 10), seed=seed)
        column = {"untouched": accuracy(module, test)}
        for name, (attack, bounds) in ATTACKS.items():
            outcome = brittle.attack(attack, module, x, labels, brittle.linf(0.1), bounds=bounds, batch_size=1000)
            column[name] = outcome.robust_accuracy
        columns.append(column)
    print("| accuracy on 10,000 test digits, % | seed 0 | seed 1 | seed 2 |\n|---|---:|---:|---:|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{100 * column[name]:.2f}" for column in columns) + " |")


if __name__ == "__main__":
    main()
