"""Networks trained here by several recipes, which nothing in brittle was chosen on: held-out cases for reliability.py.

    python benchmarks/trained.py --out FOLDER

Small convolutional networks (cnn:16,32) for MNIST (20,000 training images) and CIFAR-10 (10,000), each in one to three minutes on one core
and kept as FOLDER/NAME.safetensors; one that has its file is not trained again. The same seed gives the same weights on the same machine.

plain: cross-entropy on the images. fgsm: on one step from a random place in the ball (Wong et al., ICLR 2020, arXiv:2001.03994). pgd: on
several (Madry et al., ICLR 2018, arXiv:1706.06083). trades: cross-entropy on the images and, 6 times, the divergence between the answers to
an image and to the point near it that differs most (Zhang et al., ICML 2019, arXiv:1901.08573). The radius grows over the first half.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

import brittle
from brittle.core.problem import Threat
from brittle.data.open import open_data
from brittle.victims.networks import load, parse_network, save
from brittle.victims.train import accuracy

PIXEL = 1 / 255
TRADES = 6.0  # the weight of the divergence


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """threat: at the last epoch, None for plain training. steps: of `stride` x radius, ascending the loss. divergence: TRADES."""

    data: str
    count: int
    threat: Threat | None = None
    steps: int = 0
    stride: float = 0.25
    divergence: bool = False
    epochs: int = 5


def mnist(threat: Threat | None = None, steps: int = 0, stride: float = 0.25, divergence: bool = False) -> Recipe:
    return Recipe(data="mnist", count=20_000, threat=threat, steps=steps, stride=stride, divergence=divergence)


def cifar(threat: Threat | None = None, steps: int = 0, stride: float = 0.25, divergence: bool = False) -> Recipe:
    return Recipe(
        data="cifar10", count=10_000, threat=threat, steps=steps, stride=stride, divergence=divergence, epochs=12
    )


RECIPES: dict[str, Recipe] = {
    "trained_plain_mnist": mnist(),
    "trained_fgsm_mnist": mnist(brittle.linf(0.3), 1, 1.25),
    "trained_pgd_mnist": mnist(brittle.linf(0.3), 7),
    "trained_trades_mnist": mnist(brittle.linf(0.3), 7, divergence=True),
    "trained_l2_mnist": mnist(brittle.l2(1.5), 7),
    "trained_plain_cifar10": cifar(),
    "trained_fgsm_cifar10": cifar(brittle.linf(4 * PIXEL), 1, 1.25),
    "trained_pgd_cifar10": cifar(brittle.linf(4 * PIXEL), 5, 0.4),
    "trained_trades_cifar10": cifar(brittle.linf(4 * PIXEL), 5, 0.4, divergence=True),
}


def trained(name: str, folder: Path, seed: int = 0) -> nn.Module:
    """The network of this name, from its file or trained and kept there."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        recipe, began = RECIPES[name], time.perf_counter()
        samples = open_data(f"{recipe.data}?split=train")
        architecture = parse_network("cnn:16,32", samples.shape, len(samples.classes))
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            net = fitted(architecture.build(), *samples.batch(range(recipe.count)), recipe)
        reached, seconds = accuracy(net, open_data(recipe.data)), time.perf_counter() - began
        facts = {"seed": float(seed), "epochs": float(recipe.epochs), "test_accuracy": reached}
        save(net, architecture, path, data=samples.name, training=facts)
        print(f"{name}: {100 * reached:.1f} % of the test images right, {seconds:.0f} s", flush=True)
    return load(path)[0]


def fitted(net: nn.Module, x: Tensor, labels: Tensor, recipe: Recipe) -> nn.Module:
    """Trained by Adam, its rate falling to zero over the second half; in eval mode."""
    steps = recipe.epochs * -(-len(x) // 100)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / steps))
    done = 0
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x)).split(100):
            loss = loss_of(net, x[rows], labels[rows], recipe, min(1.0, 2 * done / steps))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            done += 1
    return net.eval()


def loss_of(net: nn.Module, x: Tensor, labels: Tensor, recipe: Recipe, share: float) -> Tensor:
    """What training descends, at this share of the radius."""
    if recipe.threat is None:
        return cross_entropy(net(x), labels)
    point = ascended(net, x, labels, recipe, share)
    if not recipe.divergence:
        return cross_entropy(net(point), labels)
    outputs = net(x)
    return cross_entropy(outputs, labels) + TRADES * divergence(net(point), outputs)


def ascended(net: nn.Module, x: Tensor, labels: Tensor, recipe: Recipe, share: float) -> Tensor:
    """The point of the ball (B, *S) that the recipe trains on."""
    assert recipe.threat is not None
    region = recipe.threat.around(x, 0.0, 1.0)
    region = region.within(region.radius * share)
    noise = 2 * torch.rand_like(x) - 1 if not recipe.divergence else 0.01 * torch.randn_like(x)
    point, clean = region.project(x + noise * region.radius.view(-1, 1, 1, 1)), net(x).detach()
    for _ in range(recipe.steps):
        asked = point.detach().requires_grad_()
        outputs = net(asked)
        loss = divergence(outputs, clean) if recipe.divergence else cross_entropy(outputs, labels)
        (grad,) = torch.autograd.grad(loss, asked)
        point = region.step_(point.detach().clone(), grad, region.radius * recipe.stride)
    return point.detach()


def divergence(outputs: Tensor, clean: Tensor) -> Tensor:
    """Kullback-Leibler, of the answers (B, C) from those to the images, mean over B."""
    return kl_div(log_softmax(outputs, 1), log_softmax(clean, 1), log_target=True, reduction="batchmean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/trained"))
    parser.add_argument("names", nargs="*", default=list(RECIPES), metavar="NAME")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        trained(name, options.out)


if __name__ == "__main__":
    main()
