"""Minimum-norm attacks of other libraries under one signature, each with the settings of its paper or of AttackBench's configuration.

adversarial-library, auto-attack and sigma-zero are not on the package index: `use_checkouts` puts copies of their repositories on the path.
`queries` is how many forwards + backwards a sample the attack may use; it sets the number of steps, so an adapter knows what a step costs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optimality_meter import Meter
from peers import without_torchvision

P: dict[str, Any] = {"l0": 0, "l1": 1, "l2": 2, "linf": math.inf}
NAMES = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "Linf"}


@dataclass(frozen=True)
class Peer:
    """`run(meter, x, labels, norm, queries, **options) -> x_adv`; at a fixed radius also `radius` (B,), after `queries`.

    together: takes a radius for each sample, not one for all.
    """

    run: Callable[..., Tensor]
    norms: tuple[str, ...]
    at_radius: bool = False
    together: bool = False


PEERS: dict[str, Peer] = {}


def peer(name: str, norms: str, at_radius: bool = False, together: bool = False) -> Callable[..., Any]:
    def keep(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        PEERS[name] = Peer(run, tuple(norms.split()), at_radius, together)
        return run

    return keep


def use_checkouts(folder: Path | None) -> None:
    """Make the folders inside `folder` importable; what they import but do not need for an attack is named, not provided."""
    with contextlib.suppress(RuntimeError):  # already named
        without_torchvision()
    sys.path += [str(path) for path in sorted(folder.iterdir())] if folder is not None else []
    if importlib.util.find_spec("visdom") is None:
        sys.modules["visdom"] = types.ModuleType("visdom")
    logging.getLogger("art").setLevel(logging.ERROR)


# adversarial-library


@peer("advlib:ddn", "l2")
def advlib_ddn(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, levels: int | None = None) -> Tensor:
    from adv_lib.attacks import ddn

    return ddn(meter, x, labels, steps=queries // 2, levels=levels)


@peer("advlib:fmn", "l0 l1 l2 linf")
def advlib_fmn(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, step: float | None = None) -> Tensor:
    from adv_lib.attacks import fmn

    return fmn(meter, x, labels, norm=P[norm], steps=queries // 2, α_init=step or (10 if norm == "linf" else 1))


@peer("advlib:alma", "l1 l2")
def advlib_alma(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import alma

    first = {"l1": 0.5, "l2": 0.1}[norm]
    return alma(meter, x, labels, distance=norm, num_steps=queries // 2, α=0.9, init_lr_distance=first)


@peer("advlib:pdgd", "l2")
def advlib_pdgd(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import pdgd

    return pdgd(meter, x, labels, num_steps=queries // 2)


@peer("advlib:pdpgd", "l0 l1 l2 linf")
def advlib_pdpgd(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import pdpgd

    operator = 23 if norm == "l0" else None
    return pdpgd(meter, x, labels, norm=P[norm], num_steps=queries // 2, proximal_operator=operator)


@peer("advlib:fab", "l1 l2 linf")
def advlib_fab(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: 2 forwards and a backward for each of 9 other classes."""
    from adv_lib.attacks import fab

    return fab(meter, x, labels, norm=P[norm], n_iter=(queries - 1) // 11)


@peer("advlib:fab_targeted", "l1 l2 linf")
def advlib_fab_targeted(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, targets: int = 9) -> Tensor:
    """A step and target: 2 forwards, 1 backward."""
    from adv_lib.attacks import fab

    steps = ((queries - 1) // targets - 1) // 3
    return fab(meter, x, labels, norm=P[norm], n_iter=steps, restarts=targets, targeted_restarts=True)


@peer("advlib:vfga", "l0")
def advlib_vfga(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, draws: int = 10) -> Tensor:
    """A step: 1 forward, 1 backward and 2 x draws forwards."""
    from adv_lib.attacks import vfga

    return vfga(meter, x, labels, targeted=False, max_iter=queries // (2 + 2 * draws), n_samples=draws)


@peer("advlib:cw_l2", "l2")
def advlib_cw_l2(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, rounds: int = 9) -> Tensor:
    from adv_lib.attacks import carlini_wagner_l2

    return carlini_wagner_l2(
        meter, x, labels, binary_search_steps=rounds, max_iterations=max(queries // 2 // rounds, 10)
    )


@peer("advlib:cw_linf", "linf")
def advlib_cw_linf(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, steps: int = 50) -> Tensor:
    """It stops by itself, or where the budget does; 1000 steps a round, its default, would leave it in its first."""
    from adv_lib.attacks import carlini_wagner_linf

    return carlini_wagner_linf(meter, x, labels, max_iterations=steps)


@peer("advlib:sigma_zero", "l0")
def advlib_sigma_zero(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import sigma_zero

    return sigma_zero(meter, x, labels, num_steps=queries // 2)


@peer("advlib:tr", "l2 linf")
def advlib_tr(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, adaptive: bool = False) -> Tensor:
    """A step: 2 forwards and 1 backward, and 1 forward if adaptive; first 1 forward and 10 backwards."""
    from adv_lib.attacks import tr

    radius = {"l2": 0.005, "linf": 0.001}[norm]  # of a step: enough steps to cross the perturbations of MNIST
    return tr(meter, x, labels, iter=(queries - 11) // (4 if adaptive else 3), p=P[norm], eps=radius, adaptive=adaptive)


@peer("advlib:deepfool", "l2 linf")
def advlib_deepfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import df

    return df(meter, x, labels, steps=queries // 10, norm=P[norm])


@peer("advlib:superdeepfool", "l2")
def advlib_superdeepfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from adv_lib.attacks import sdf

    return sdf(meter, x, labels)


@peer("advlib:apgd", "l1 l2 linf", at_radius=True, together=True)
def advlib_apgd(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, loss: str = "dlr"
) -> Tensor:
    from adv_lib.attacks import apgd

    starts = 3 if norm == "l1" else 1  # the L1 version is three runs from larger radii down
    steps = queries // 2 - starts
    return apgd(
        meter, x, labels, radius, P[norm], n_iter=steps, loss_function=loss, use_large_reps=norm == "l1", use_rs=True
    )


@peer("advlib:apgd_targeted", "l1 l2 linf", at_radius=True, together=True)
def advlib_apgd_targeted(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, targets: int = 3
) -> Tensor:
    from adv_lib.attacks import apgd_targeted

    starts = 3 if norm == "l1" else 1
    steps = (queries - 1) // targets // 2 - starts
    return apgd_targeted(
        meter, x, labels, radius, P[norm], n_iter=steps, num_targets=targets, use_large_reps=norm == "l1"
    )


@peer("advlib:pgd", "linf", at_radius=True, together=True)
def advlib_pgd(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, loss: str = "ce"
) -> Tensor:
    from adv_lib.attacks import pgd_linf

    return pgd_linf(meter, x, labels, ε=radius, steps=queries // 2, loss_function=loss)


# auto-attack and sigma-zero, the authors' own


@peer("autoattack:apgd", "l1 l2 linf", at_radius=True)
def autoattack_apgd(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, loss: str = "ce"
) -> Tensor:
    from autoattack.autopgd_base import APGDAttack

    starts = 3 if norm == "l1" else 1
    steps, eps = (queries - 1) // 2 - starts, float(radius[0])
    return APGDAttack(meter, n_iter=steps, norm=NAMES[norm], eps=eps, loss=loss, use_largereps=norm == "l1").perturb(
        x, labels
    )


@peer("autoattack:apgd_targeted", "l1 l2 linf", at_radius=True)
def autoattack_apgd_targeted(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, targets: int = 3
) -> Tensor:
    from autoattack.autopgd_base import APGDAttack_targeted

    starts = 3 if norm == "l1" else 1
    steps, eps = ((queries - 1) // targets - 1) // 2 - starts, float(radius[0])
    attack = APGDAttack_targeted(
        meter, n_iter=steps, norm=NAMES[norm], eps=eps, n_target_classes=targets, use_largereps=norm == "l1"
    )
    return attack.perturb(x, labels)


@peer("autoattack:fab", "l1 l2 linf")
def autoattack_fab(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: 2 forwards and a backward for each of 10 classes; 6 forwards around it."""
    from autoattack.fab_pt import FABAttack_PT

    return FABAttack_PT(meter, norm=NAMES[norm], n_iter=(queries - 6) // 12, eps=math.inf).perturb(x, labels)


@peer("autoattack:fab_targeted", "l1 l2 linf")
def autoattack_fab_targeted(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, targets: int = 9
) -> Tensor:
    """A step and target: 2 forwards, 1 backward. eps=0, of which it knows no use but to leave out what is won within it."""
    from autoattack.fab_pt import FABAttack_PT

    steps = ((queries - 1) // targets - 7) // 3
    return FABAttack_PT(
        meter, norm=NAMES[norm], n_iter=steps, eps=0.0, targeted=True, n_target_classes=targets
    ).perturb(x, labels)


@peer("sigmazero:sigma_zero", "l0")
def sigmazero_sigma_zero(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    from sigma_zero_attack import sigma_zero

    return sigma_zero(meter, x, labels, steps=queries // 2)


# Foolbox


def foolbox_run(attack: Any, meter: Meter, x: Tensor, labels: Tensor, **options: Any) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(meter, bounds=(0, 1))
    return attack.run(model, x, foolbox.criteria.Misclassification(labels), **options)


@peer("foolbox:ddn", "l2")
def foolbox_ddn(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    import foolbox

    return foolbox_run(foolbox.attacks.DDNAttack(steps=queries // 2), meter, x, labels)


@peer("foolbox:fmn", "l0 l1 l2 linf")
def foolbox_fmn(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, step: float = 1.0) -> Tensor:
    import foolbox

    kind = getattr(foolbox.attacks, {"linf": "LInf"}.get(norm, NAMES[norm]) + "FMNAttack")
    return foolbox_run(kind(steps=queries // 2, max_stepsize=step), meter, x, labels)


@peer("foolbox:newtonfool", "l2")
def foolbox_newtonfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    import foolbox

    return foolbox_run(foolbox.attacks.NewtonFoolAttack(steps=queries // 2), meter, x, labels)


@peer("foolbox:cw", "l2")
def foolbox_cw(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, rounds: int = 9) -> Tensor:
    import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=rounds, steps=queries // 2 // rounds)
    return foolbox_run(attack, meter, x, labels)


@peer("foolbox:ead", "l1")
def foolbox_ead(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, rounds: int = 9) -> Tensor:
    """A step: 2 forwards, 1 backward."""
    import foolbox

    attack = foolbox.attacks.EADAttack(binary_search_steps=rounds, steps=queries // 3 // rounds, decision_rule="L1")
    return foolbox_run(attack, meter, x, labels)


@peer("foolbox:deepfool", "l2 linf")
def foolbox_deepfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: a forward and a backward for each of 9 other classes."""
    import foolbox

    return foolbox_run(
        getattr(foolbox.attacks, NAMES[norm] + "DeepFoolAttack")(steps=(queries - 1) // 18), meter, x, labels
    )


@peer("foolbox:bb", "l0 l1 l2 linf")
def foolbox_bb(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, noise: bool = False) -> Tensor:
    """Brendel-Bethge, which needs numba. It starts from other images of the batch, as in AttackBench; or from `noise` mixed in, its own
    default, looked for with fewer queries, and from other images where that is not enough."""
    import foolbox

    start = foolbox.attacks.DatasetAttack()
    start.feed(foolbox.PyTorchModel(meter, bounds=(0, 1)), x)
    points = foolbox_run(start, meter, x, labels)
    if noise:
        mixed = foolbox_run(
            foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(directions=5, steps=20), meter, x, labels
        )
        won = meter(mixed).argmax(1) != labels
        points = torch.where(won[:, None, None, None], mixed, points)
    kind = getattr(foolbox.attacks, {"linf": "Linfinity"}.get(norm, NAMES[norm]) + "BrendelBethgeAttack")
    return foolbox_run(kind(steps=(queries - (140 if noise else 20)) // 2), meter, x, labels, starting_points=points)


@peer("foolbox:pgd", "l1 l2 linf", at_radius=True)
def foolbox_pgd(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor) -> Tensor:
    import foolbox

    steps = queries // 2
    kind = getattr(foolbox.attacks, NAMES[norm] + "ProjectedGradientDescentAttack")
    return foolbox_run(kind(steps=steps, rel_stepsize=2.5 / steps), meter, x, labels, epsilon=float(radius[0]))


@peer("foolbox:bim", "l1 l2 linf", at_radius=True)
def foolbox_bim(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor) -> Tensor:
    import foolbox

    steps = queries // 2
    kind = getattr(foolbox.attacks, NAMES[norm] + "BasicIterativeAttack")
    return foolbox_run(kind(steps=steps, rel_stepsize=2.5 / steps), meter, x, labels, epsilon=float(radius[0]))


# torchattacks


@peer("torchattacks:cw", "l2")
def torchattacks_cw(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, c: float = 1.0) -> Tensor:
    import torchattacks

    return torchattacks.CW(meter, c=c, steps=queries // 2)(x, labels)


@peer("torchattacks:deepfool", "l2")
def torchattacks_deepfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: 1 forward, 10 backwards."""
    import torchattacks

    return torchattacks.DeepFool(meter, steps=queries // 11)(x, labels)


@peer("torchattacks:sparsefool", "l0")
def torchattacks_sparsefool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step is a run of its DeepFool, as long as it takes: not for a budget below some thousands."""
    import torchattacks

    return torchattacks.SparseFool(meter, steps=min(max(queries, 1), 20))(x, labels)


@peer("torchattacks:fab", "l2 linf")
def torchattacks_fab(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: 2 forwards and 10 backwards; 6 forwards around it. Its L1 fails in version 3.5.1: it measures no L1 norm at the end."""
    import torchattacks

    return torchattacks.FAB(meter, norm=NAMES[norm], eps=math.inf, steps=(queries - 6) // 12)(x, labels)


@peer("torchattacks:apgd", "l2 linf", at_radius=True)
def torchattacks_apgd(
    meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor, loss: str = "ce"
) -> Tensor:
    import torchattacks

    steps, eps = (queries - 1) // 2 - 1, float(radius[0])
    return torchattacks.APGD(meter, norm=NAMES[norm], eps=eps, steps=steps, loss=loss)(x, labels)


@peer("torchattacks:pgd", "l2 linf", at_radius=True)
def torchattacks_pgd(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor) -> Tensor:
    import torchattacks

    steps, eps = queries // 2, float(radius[0])
    kind = {"l2": torchattacks.PGDL2, "linf": torchattacks.PGD}[norm]
    return kind(meter, eps=eps, alpha=2.5 * eps / steps, steps=steps)(x, labels)


# ART


def art_run(kind: str, meter: Meter, x: Tensor, labels: Tensor, **options: Any) -> Tensor:
    import art.attacks.evasion
    from art.estimators.classification import PyTorchClassifier

    loss = torch.nn.CrossEntropyLoss()
    model = PyTorchClassifier(meter, loss, tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
    attack = getattr(art.attacks.evasion, kind)(model, batch_size=len(x), verbose=False, **options)
    return torch.from_numpy(np.asarray(attack.generate(x.numpy(), labels.numpy())))


@peer("art:cw", "l2")
def art_cw(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, rounds: int = 5) -> Tensor:
    """A step looks along its direction up to 12 times."""
    return art_run(
        "CarliniL2Method", meter, x, labels, binary_search_steps=rounds, max_iter=max(queries // rounds // 10, 1)
    )


@peer("art:ead", "l1")
def art_ead(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, rounds: int = 9) -> Tensor:
    """A step: 3 forwards, 1 backward."""
    return art_run(
        "ElasticNet",
        meter,
        x,
        labels,
        binary_search_steps=rounds,
        max_iter=max(queries // rounds // 4, 1),
        decision_rule="L1",
    )


@peer("art:deepfool", "l2")
def art_deepfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    """A step: 2 forwards, 10 backwards."""
    return art_run("DeepFool", meter, x, labels, max_iter=queries // 12, nb_grads=10)


@peer("art:newtonfool", "l2")
def art_newtonfool(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int) -> Tensor:
    return art_run("NewtonFool", meter, x, labels, max_iter=queries // 2)


@peer("art:apgd", "l1 l2 linf", at_radius=True)
def art_apgd(meter: Meter, x: Tensor, labels: Tensor, norm: str, queries: int, radius: Tensor) -> Tensor:
    """A step: 3 forwards, 1 backward."""
    eps = float(radius[0])
    return art_run(
        "AutoProjectedGradientDescent",
        meter,
        x,
        labels,
        norm=P[norm],
        eps=eps,
        eps_step=2 * eps,
        max_iter=queries // 4,
        nb_random_init=1,
        loss_type=None,
    )
