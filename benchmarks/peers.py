"""PGD in Linf as other libraries run it: k steps from a random start, the last iterate, no early stop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Run = Callable[[], Tensor]


def without_torchvision() -> None:
    """torchvision has no CPU build; peers that import it need its operators to be named, not to work."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)


_kept: list[object] = []  # a library that is collected takes its operators with it


def foolbox_pgd(module: nn.Module, x: Tensor, labels: Tensor, eps: float, step: float, steps: int) -> Run:
    import foolbox

    model = foolbox.PyTorchModel(module, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=True)
    return lambda: attack(model, x, labels, epsilons=eps)[1]


def torchattacks_pgd(module: nn.Module, x: Tensor, labels: Tensor, eps: float, step: float, steps: int) -> Run:
    import torchattacks

    attack = torchattacks.PGD(module, eps=eps, alpha=step, steps=steps, random_start=True)
    return lambda: attack(x, labels)


def art_pgd(module: nn.Module, x: Tensor, labels: Tensor, eps: float, step: float, steps: int) -> Run:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classes = module(x[:1]).shape[1]
    model = PyTorchClassifier(
        module, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0, 1), device_type="cpu"
    )
    attack = ProjectedGradientDescentPyTorch(
        model, eps=eps, eps_step=step, max_iter=steps, num_random_init=1, batch_size=len(x), verbose=False
    )
    images, targets = x.numpy(), labels.numpy()
    return lambda: torch.from_numpy(attack.generate(images, targets))


PEERS = {"foolbox": foolbox_pgd, "torchattacks": torchattacks_pgd, "art": art_pgd}
