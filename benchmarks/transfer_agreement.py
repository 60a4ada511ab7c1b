"""Do our directions compute what TransferAttack's classes compute? Ours beside theirs, and theirs beside itself, on one small network.

    python benchmarks/transfer_agreement.py --copies 20

A random convolutional network, where a method is nothing but its formula. Cosines between perturbations, of one run of ours and one of
theirs, and of two runs of theirs with other seeds: for a method that draws nothing the first should be 1, for others as large as the
second. Needs the checkout that transfer.py names.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from brittle.attacks.directions import Pictures
from peers import without_torchvision
from transfer import METHODS, crafts


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 12, 7, 4), nn.ReLU(), nn.Conv2d(12, 24, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(384, 10)).eval().requires_grad_(False)


def pictures(count: int) -> Tensor:
    """Smooth random ones, (count, 3, 224, 224) in [0, 1]."""
    coarse = torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, (224, 224), mode="bilinear")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--images", type=int, default=4)
    given = parser.parse_args()
    without_torchvision()
    module, x = network(), pictures(given.images)
    labels = module(x).argmax(1)
    print("| method | ours and theirs | theirs and theirs |\n|---|---:|---:|")
    for name in METHODS:
        made = dict(crafts(name, module, given.copies, Pictures.of(x), "transferattack"))
        if len(made) < 2:
            continue
        deltas = []
        for side, seed in (("brittle", 0), ("TransferAttack", 1), ("TransferAttack", 2)):
            torch.manual_seed(seed)
            deltas.append((made[side](x, labels).detach() - x).flatten(1))
        ours, theirs, again = deltas
        alike = [float(torch.cosine_similarity(a, b, dim=1).mean()) for a, b in ((ours, theirs), (theirs, again))]
        print(f"| {name} | {alike[0]:.3f} | {alike[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
