"""The zoo of liars: what a naive attack says of each, what brittle says, and what is known to be true.

python benchmarks/liars.py [NAME ...]

100 test digits each, Linf. `naive` is PGD with 40 steps on the cross-entropy; `best known` the best of the attacks that tests/liars.py
holds for each, made by one who knows the defence and judged on the liar itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import brittle
from liar_measures import BLACK, NAIVE, WHITE, Honest, Liar, accuracy, best_known, naive, proposals
from liar_training import held_out
from liars import HONEST, LIARS


def ours(entry: Liar | Honest) -> tuple[str, str]:
    """Robust accuracy after the evaluation's defaults, and the kinds of doubts that it has; or why it refuses."""
    try:
        report = brittle.evaluate(
            entry.build(), held_out(), brittle.linf(entry.eps), grid=[entry.eps], batch_size=100, progress=False
        )
    except brittle.InputError as error:
        return "refused", str(error).split(";")[0][:60]
    doubts = (doubt.kind for doubt in report.summary.doubts if doubt.kind != "few")
    return f"{100 * report.robust_accuracy:.0f}", ", ".join(doubts)


def honestly(entry: Honest) -> float:
    """Robust accuracy after white-box and black-box attacks on the network as it is."""
    x, labels = held_out()
    tries = (proposals(attack, entry.build(), entry.eps, x, labels) for attack in (NAIVE, *WHITE, *BLACK))
    return accuracy(entry.build(), x, labels, [points for points in tries if points is not None])


def main(wanted: list[str]) -> None:
    torch.set_num_threads(1)
    x, labels = held_out()
    print("| liar | eps | clean | naive | brittle.evaluate | best known | expected findings | found |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    for name, entry in [*LIARS.items(), *((f"honest: {name}", entry) for name, entry in HONEST.items())]:
        if wanted and name.removeprefix("honest: ") not in wanted:
            continue
        liar = isinstance(entry, Liar)
        clean = accuracy(entry.build(), x, labels, [], liar and entry.random)
        known = best_known(entry, x, labels) if liar else honestly(entry)
        said, found = ours(entry)
        shares = (f"{100 * value:.0f}" for value in (clean, naive(entry, x, labels)))
        expected = ", ".join(entry.expects) if liar else "none"
        print(
            f"| {name} | {entry.eps:g} | {' | '.join(shares)} | {said} | {100 * known:.0f} | {expected} | {found or 'none'} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
