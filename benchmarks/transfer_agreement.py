"""Do our directions compute what TransferAttack's classes compute? Ours beside theirs, and theirs beside itself, on one small network.

    python benchmarks/transfer_agreement.py --copies 20

A random convolutional network, where a method is nothing but its formula. Cosines between perturbations, of one run of ours and one of
theirs, and of two runs of theirs with other seeds: for a method that draws nothing the first should be 1, for others as large as the
second. Needs the checkout that transfer.py names.

    python benchmarks/transfer_agreement.py --layers --steps 1

The same for methods that work on a surrogate's layers, on a small residual network with the names that theirs needs.

    python benchmarks/transfer_agreement.py --rounding resnet50_pqf_large --images 2

MI, which draws nothing, on a real network; and theirs beside itself where the network's inputs are changed by one rounding each step.
"""

from __future__ import annotations

import argparse
import copy
import sys
from typing import Any

import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.directions import Pictures
from peers import without_torchvision
from transfer import METHODS, STEPS, crafts, networks, right_for_all, transferattack

EPS = 16 / 255


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 12, 7, 4), nn.ReLU(), nn.Conv2d(12, 24, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(384, 10)).eval().requires_grad_(False)


def pictures(count: int) -> Tensor:
    """Smooth random ones, (count, 3, 224, 224) in [0, 1]."""
    coarse = torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, (224, 224), mode="bilinear")


# name: our text; their module, class, and what is set on it
LAYERED: dict[str, tuple[str, tuple[str, str, dict[str, Any]]]] = {
    "MI": ("mifgsm", ("gradient.mifgsm", "MIFGSM", {})),
    "SGM": ("mifgsm+sgm", ("model_related.sgm", "SGM", {})),
    "LinBP": ("mifgsm+linbp:layer=1.layer3.0", ("model_related.linbp", "LinBP", {})),
    "ILPD": ("mifgsm+ilpd:layer=1.layer2.3", ("advanced_objective.ilpd", "ILPD", {})),
    "ILPD, no noise": ("mifgsm+ilpd:layer=1.layer2.3,noise=0", ("advanced_objective.ilpd", "ILPD", {"sigma": 0.0})),
    "FIA": ("mifgsm+fia:layer=1.layer2", ("advanced_objective.fia", "FIA", {})),
    "NAA": ("mifgsm+naa:layer=1.layer1", ("advanced_objective.naa", "NAA", {})),
}


def residual_network(x: Tensor) -> nn.Module:
    """Bottlenecks of random weights behind an identity, its batch norm fitted to x."""
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(0)
    network = ResNet(Bottleneck, [2, 4, 2, 2], num_classes=10, width_per_group=16)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the mean of all that it sees
    with torch.no_grad():
        network.train()(x)
    return nn.Sequential(nn.Identity(), network).eval()


def layered(x: Tensor, steps: int) -> None:
    module = residual_network(x)
    labels = module(x).argmax(1)
    for name, (text, (where, kind, settings)) in LAYERED.items():
        transferattack("gradient.mifgsm", "MIFGSM", {}, module)  # prepares the library
        base = sys.modules["transferattack.attack"].Attack
        base.load_model = lambda self, given: copy.deepcopy(module)  # their hooks stay
        ours = brittle.parse_attack(text.replace("mifgsm", f"mifgsm:steps={steps}"))
        made = [brittle.attack(ours, module, x, labels, brittle.linf(EPS)).x_adv - x]
        for seed in (1, 2):
            torch.manual_seed(seed)
            __import__(f"transferattack.{where}")
            attack = getattr(sys.modules[f"transferattack.{where}"], kind)(model_name="resnet50")
            for key, value in {"epoch": steps, "alpha": EPS / steps, **settings}.items():
                setattr(attack, key, value)
            made.append(attack(x, labels).detach())
        report(name, *(one.flatten(1) for one in made))


class Rounded(nn.Module):
    """The network at inputs (B, *S) of which each value is changed by about one rounding, anew each time."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.module(x * (1 + 2.0**-24 * torch.randn_like(x)))
        return logits


def rounding(name: str, count: int) -> None:
    modules = networks((name,), "cpu")
    x, labels = right_for_all(modules, count, "cpu")
    module = modules[name]
    sides = dict(crafts("MI", [module], 1, Pictures.of(x), "transferattack", EPS))
    changed = dict(crafts("MI", [Rounded(module).eval()], 1, Pictures.of(x), "transferattack", EPS))["TransferAttack"]
    made = [(craft(x, labels).detach() - x).flatten(1) for craft in (*sides.values(), changed)]
    for i, picture in enumerate(zip(*made, strict=True)):
        report(f"MI, picture {i}", *(delta[None] for delta in picture))


def report(name: str, ours: Tensor, theirs: Tensor, again: Tensor) -> None:
    alike = [float(torch.cosine_similarity(a, b, dim=1).mean()) for a, b in ((ours, theirs), (theirs, again))]
    print(f"| {name} | {alike[0]:.3f} | {alike[1]:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--steps", type=int, default=STEPS, help="of methods on layers")
    parser.add_argument("--rounding", metavar="NETWORK", help="MI on one of the networks of transfer.py")
    given = parser.parse_args()
    without_torchvision()
    print("| method | ours and theirs | theirs and theirs |\n|---|---:|---:|")
    if given.layers:
        layered(nn.functional.avg_pool2d(pictures(given.images), 4), given.steps)
        return
    if given.rounding:
        rounding(given.rounding, given.images)
        return
    module, x = network(), pictures(given.images)
    labels = module(x).argmax(1)
    for name in METHODS:
        made = dict(crafts(name, [module], given.copies, Pictures.of(x), "transferattack", EPS))
        if len(made) < 2:
            continue
        deltas = []
        for side, seed in (("brittle", 0), ("TransferAttack", 1), ("TransferAttack", 2)):
            torch.manual_seed(seed)
            deltas.append((made[side](x, labels).detach() - x).flatten(1))
        report(name, *deltas)


if __name__ == "__main__":
    main()
