"""Small networks for the digits, trained in a second or two and once a session: what the liars are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, kl_div, mse_loss

from brittle.data.open import open_data

CLASSES = 10
M = TypeVar("M", bound=nn.Module)
Craft = Callable[[nn.Module, Tensor, Tensor], Tensor]  # (network, x, labels) -> what to train on
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # (network, x, labels) -> a number


@cache
def training() -> tuple[Tensor, Tensor]:
    """All training digits (1201, 1, 8, 8) in [0, 1], and their labels."""
    data = open_data("digits?split=train")
    return data.batch(range(len(data)))


@cache
def held_out(count: int = 100) -> tuple[Tensor, Tensor]:
    """The first so many test digits and their labels."""
    return open_data("digits").batch(range(count))


def supervised(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return cross_entropy(net(x), labels)


def fit(make: Callable[[], M], *, loss: Loss = supervised, epochs: int = 20, lr: float = 3e-3, seed: int = 0) -> M:
    """What `make` makes, trained by Adam with a learning rate that falls to zero, in eval mode and without gradients of its own.

    The same arguments give the same weights; torch's global random numbers are left as they were.
    """
    x, labels = training()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        net = make().train()
        steps = epochs * -(-len(x) // 64)
        optimizer = torch.optim.Adam(net.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                loss(net, x[rows], labels[rows]).backward()
                optimizer.step()
                schedule.step()
    return net.eval()


def cnn(channels: int = 1, classes: int = CLASSES, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """x (B, channels, H, W) of 8 x 8 or more -> logits (B, classes)."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        activation(),
        nn.Conv2d(16, 32, 3, padding=1),
        activation(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 64),
        activation(),
        nn.Linear(64, classes),
    )


def mlp(width: int = 128, activation: Callable[[], nn.Module] = nn.ReLU, dropout: float = 0.0) -> nn.Sequential:
    """x (B, 1, 8, 8) -> logits (B, 10), with two hidden layers."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, width),
        activation(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        activation(),
        nn.Dropout(dropout),
        nn.Linear(width, CLASSES),
    )


@cache
def plain(seed: int = 0) -> nn.Sequential:
    """The network without a defence."""
    return fit(cnn, seed=seed)


def ascend(net: nn.Module, x: Tensor, eps: float, steps: int, loss: Callable[[Tensor], Tensor], start: float) -> Tensor:
    """Signed ascent of `loss(outputs)` in the Linf ball, from uniform noise of size `start`; training code, not an attack to trust."""
    point = (x + start * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(steps):
        point = point.detach().requires_grad_()
        (grad,) = torch.autograd.grad(loss(net(point)), point)
        step = eps if steps == 1 else 2.5 * eps / steps
        point = torch.clamp(point + step * grad.sign(), x - eps, x + eps).clamp(0, 1)
    return point.detach()


def adversarial(eps: float, steps: int, start: float = 0.0) -> Loss:
    """Cross-entropy at the points of `ascend`: FGSM training for one step, PGD training for more."""

    def loss(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        found = ascend(net, x, eps, steps, lambda outputs: cross_entropy(outputs, labels, reduction="sum"), start)
        return cross_entropy(net(found), labels)

    return loss


def trades(eps: float, steps: int, weight: float = 4.0) -> Loss:
    """Cross-entropy, and the divergence of the answers at the worst point nearby. Zhang et al. 2019, arXiv:1901.08573, equation 5."""

    def loss(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        wanted = net(x).softmax(1)
        away = lambda outputs: kl_div(outputs.log_softmax(1), wanted.detach(), reduction="sum")  # noqa: E731
        found = ascend(net, x, eps, steps, away, start=0.01)
        return cross_entropy(net(x), labels) + weight * kl_div(net(found).log_softmax(1), wanted, reduction="batchmean")

    return loss


def distilled(temperature: float) -> nn.Sequential:
    """A student of a teacher, both trained with logits divided by the temperature and used without.

    Papernot et al., S&P 2016, arXiv:1511.04508.
    """

    def taught(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(net(x) / temperature, labels)

    teacher = fit(cnn, loss=taught, lr=1e-2)

    def copied(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = (teacher(x) / temperature).softmax(1)
        return kl_div((net(x) / temperature).log_softmax(1), wanted, reduction="batchmean")

    return fit(cnn, loss=copied, lr=1e-2, seed=1)


def autoencoder(noise: float = 0.1) -> nn.Sequential:
    """A network that gives digits back without the noise on them: (B, 1, 8, 8) -> (B, 1, 8, 8)."""

    def make() -> nn.Sequential:
        sizes, layers = (64, 64, 24, 64, 64), list[nn.Module]()
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *layers[:-1], nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

    def restored(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        return mse_loss(net((x + noise * torch.randn_like(x)).clamp(0, 1)), x)

    return fit(make, loss=restored, epochs=40)


def watchdog(net: nn.Module, eps: float) -> nn.Sequential:
    """A network of one output (B, 1), positive for inputs that noise or an attack on `net` has changed."""
    x, labels = training()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        found = ascend(net, x, eps, 10, lambda outputs: cross_entropy(outputs, labels, reduction="sum"), eps)
    changes = dict(zip(map(bytes, x.numpy()), found - x, strict=True))

    def told(watching: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        change = torch.stack([changes[key] for key in map(bytes, x.numpy())])
        attacked = x + (0.3 + 0.7 * torch.rand(len(x), 1, 1, 1)) * change
        noisy = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        wanted = torch.tensor([0.0, 1.0, 1.0]).repeat_interleave(len(x))[:, None]
        return binary_cross_entropy_with_logits(watching(torch.cat([x, attacked, noisy])), wanted)

    return fit(partial(cnn, classes=1), loss=told, epochs=10)
