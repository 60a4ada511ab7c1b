"""What a liar is, and how its lie is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

import brittle
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.core.victim import Victim
from brittle.errors import InputError
from liar_layers import twin

NAIVE = brittle.pgd(steps=40)
WHITE = (brittle.pgd(steps=100, loss="margin", restarts=2), brittle.apgdt(steps=40))
AVERAGED = (brittle.pgd(steps=40, loss="margin", draws=12, stop=False),)
BLACK = (brittle.square(queries=1000),)
ANSWERS = 32  # by how many a point of a random liar is judged

# What follows from a masked gradient, whatever masks it: any of these may be found in any liar.
SYMPTOMS = (
    "one-step",
    "black-box",
    "noise",
    "not-rising",
    "unbounded",
    "not-converged",
    "transfer",
    "attack-failure",
    "binarization",
    "noisy-surface",
)


@dataclass(frozen=True, kw_only=True)
class Liar:
    """A defence that masks gradients.

    make: the network x (B, 1, 8, 8) in [0, 1] -> (B, 10). expects: the kinds of findings that name what is wrong, all of which must be
    there. also: kinds that are as true, beside SYMPTOMS. remedy: what mends an attack on it: `before-softmax`, `rescale`,
    `straight-through`, `draws` (average the gradient over answers), `black-box` (ask for scores), `rejection` (attack the detector too).
    twin: what an attacker who knows of the defence differentiates in its place; `adaptive` attacks do, `direct` ones ask the liar itself.
    eps: of the Linf ball. random: it answers otherwise each time. steered: the adaptive attacks are aimed at each class in turn.
    """

    what: str
    make: Callable[[], nn.Module]
    expects: tuple[str, ...]
    remedy: str
    also: tuple[str, ...] = ()
    eps: float = 0.2
    twin: Callable[[nn.Module], nn.Module] = twin
    adaptive: tuple[brittle.Attack, ...] = WHITE
    direct: tuple[brittle.Attack, ...] = ()
    random: bool = False
    steered: bool = False

    @cache  # noqa: B019 - the zoo lives as long as the session, and each network is trained once in it
    def build(self) -> nn.Module:
        """The network, in eval mode. The same one at each call."""
        return self.make().eval()


@dataclass(frozen=True, kw_only=True)
class Honest:
    """A network whose gradients tell the truth: no check may fire. eps: of the Linf ball at which it is neither whole nor lost."""

    what: str
    make: Callable[[], nn.Module]
    eps: float = 0.1

    @cache  # noqa: B019
    def build(self) -> nn.Module:
        """The network, in eval mode. The same one at each call."""
        return self.make().eval()


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A network used wrongly: its gradients are true, its numbers are not. `make` gives it as it is used, in whatever mode."""

    what: str
    make: Callable[[], nn.Module]
    expects: tuple[str, ...]
    eps: float = 0.08


def naive(liar: Liar | Honest, x: Tensor, labels: Tensor) -> float:
    """Robust accuracy after PGD-40 on the cross-entropy. Where autograd breaks, that attack cannot run, and nothing is lost."""
    net = liar.build()
    points = proposals(NAIVE, net, liar.eps, x, labels)
    return accuracy(net, x, labels, [] if points is None else [points], getattr(liar, "random", False))


@torch.no_grad()
def best_known(liar: Liar, x: Tensor, labels: Tensor) -> float:
    """Robust accuracy after the best attacks known on this defence, each sample under the one that is strongest on it.

    Whatever an attack believes, the points are judged on the liar itself.
    """
    net, goal = liar.build(), Classify(labels)
    through = liar.twin(net)
    aims = [(labels + k) % 10 for k in range(1, 10)] if liar.steered else [None]
    tries = [(attack, through, aim) for attack in liar.adaptive for aim in aims]
    tries += [(attack, net, None) for attack in (NAIVE, *liar.direct)]
    found, left = list[Tensor](), torch.arange(len(x))
    for attack, asked, aim in tries:
        points = proposals(attack, asked, liar.eps, x, labels, aim, left) if len(left) else None
        if points is None:
            continue
        found.append(points)
        if not liar.random:
            left = left[goal.select(left).margin(net(points[left])) <= 0]
    return accuracy(net, x, labels, found, liar.random)


def proposals(
    attack: brittle.Attack,
    net: nn.Module,
    eps: float,
    x: Tensor,
    labels: Tensor,
    targets: Tensor | None = None,
    rows: Tensor | None = None,
) -> Tensor | None:
    """Points (B, *S) that the attack proposes against `net` for some rows, x itself elsewhere; None where it has no gradient."""
    rows = torch.arange(len(x)) if rows is None else rows
    victim, goal = Victim(net, module=net), Classify(labels, targets).select(rows)
    with victim.undisturbed(0):
        try:
            trial = attempt(attack, victim, brittle.linf(eps), x[rows], goal, rows, 0)
        except InputError:
            return None
    assert bool(trial.verdict.feasible.all())
    return x.index_copy(0, rows, trial.x_adv)


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, labels: Tensor, points: Sequence[Tensor], random: bool = False) -> float:
    """How often (share of samples) x is answered rightly and the worst of the points, lists of (B, *S), does not win.

    Of a random network's points the worst is chosen by ANSWERS answers and judged by as many others.
    """
    goal, answers = Classify(labels), ANSWERS if random else 1

    def rate(point: Tensor, sign: float, seed: int) -> Tensor:
        with Victim(net, module=net).undisturbed(seed):
            won = [sign * goal.margin(net(point)) > 0 for _ in range(answers)]
        return torch.stack(won).double().mean(0)

    right, fooled = rate(x, -1.0, 1), torch.zeros(len(x), dtype=torch.float64)
    if points:
        worst = torch.stack([rate(point, 1.0, 2) for point in points]).argmax(0)
        fooled = rate(torch.stack(list(points))[worst, torch.arange(len(x))], 1.0, 3)
    return float((right * (1 - fooled)).mean())
