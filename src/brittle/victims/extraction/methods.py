"""Which inputs the target is asked about: made along the surrogate's Jacobian, or taken from pictures of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...attacks.parts.options import at_least, positive
from ...attacks.registry import called
from ...core.goal import pick, without
from ...core.victim import Victim
from ...data.samples import slices
from ...errors import unknown
from ...specs import parse_call
from .learners import Learner
from .lessons import Lessons, Pool, Teacher


class Method(Protocol):
    """A frozen dataclass that asks the teacher until its budget, or the pool, is used up."""

    def __call__(self, teacher: Teacher, pool: Pool, learner: Learner, draw: torch.Generator) -> Lessons: ...


@dataclass(frozen=True, kw_only=True)
class JacobianAugmentation:
    """A few samples, then rounds: train a surrogate, and step from what it was trained on along the sign of its Jacobian.

    Papernot et al., AsiaCCS 2017, arXiv:1602.02697, algorithm 1: S_{r+1} = {x + step sgn(J_F[O(x)]) : x in S_r} with S_r, where O(x) is the
    class that the target told. Papernot et al. 2016, arXiv:1605.07277, section 3: the step changes its sign every `period` rounds, and
    after `doublings` rounds `reservoir` samples of S_r are drawn for each round, not all. Deviations: the surrogate of each round is
    trained from nothing; new inputs are cut to the bounds; in the last round as many are drawn as there are answers left.
    """

    seeds: int = 150
    step: float = 0.1  # paper: lambda; as a share of the input range
    period: int = 3  # paper: tau
    doublings: int = 3  # paper: sigma
    reservoir: int = 400  # paper: kappa

    def __post_init__(self) -> None:
        at_least(self, seeds=1, period=1, doublings=0, reservoir=1)
        positive(self, "step")

    def __call__(self, teacher: Teacher, pool: Pool, learner: Learner, draw: torch.Generator) -> Lessons:
        known = teacher.teach(pool.inputs(torch.randperm(len(pool), generator=draw)[: self.seeds]))
        turn = 0
        while teacher.left:
            surrogate = learner.fit(known)
            most = len(known) if turn < self.doublings else self.reservoir
            drawn = torch.randperm(len(known), generator=draw)[: min(most, teacher.left)]
            size = self.step * surrogate.width * (-1) ** (turn // self.period)
            known = known.joined(
                teacher.teach(augmented(surrogate, known.x[drawn], known.answers[drawn].argmax(1), size))
            )
            turn += 1
        return known


def augmented(surrogate: Victim, x: Tensor, labels: Tensor, step: float) -> Tensor:
    """x (B, *S) moved by `step`, in input units, along sgn(d p_label / dx) of the surrogate, and cut to its bounds.

    Taken of the log-odds, whose gradient has the same sign and does not vanish where the surrogate is sure.
    """
    moved = []
    for part in slices(len(x), 256):
        asked = x[part].to(surrogate.device, surrogate.dtype).requires_grad_()
        with torch.enable_grad():
            outputs, own = surrogate(asked), labels[part].to(surrogate.device)
            odds = pick(outputs, own) - without(outputs, own).logsumexp(1)
        (grad,) = torch.autograd.grad(odds.sum(), asked)
        moved.append(surrogate.clamp(asked.detach() + step * grad.sign()).to(x))
    return torch.cat(moved)


@dataclass(frozen=True, kw_only=True)
class Knockoff:
    """Pictures of any kind, in random order, each once.

    Orekondy et al., Knockoff Nets, CVPR 2019, arXiv:1812.02766, section 4.1.1 (random).
    """

    def __call__(self, teacher: Teacher, pool: Pool, learner: Learner, draw: torch.Generator) -> Lessons:
        return teacher.teach(pool.inputs(torch.randperm(len(pool), generator=draw)[: teacher.left]))


@dataclass(frozen=True, kw_only=True)
class AdaptiveKnockoff:
    """Pictures of any kind, more of those classes of theirs that the target's answers reward.

    Orekondy et al., Knockoff Nets, CVPR 2019, arXiv:1812.02766, section 4.1.2: a gradient bandit over the pool's own classes, whose
    preferences H give pi = softmax(H). Rewards: how sure the target is (its two highest probabilities' difference), how its answer differs
    from the mean of those before it, and the cross-entropy of the surrogate to it, each scaled to [0, 1] in its round. Deviations: the
    surrogate is trained anew for each round of `round` answers, not one answer at a time; a class whose pictures are used up is left out.
    """

    round: int = 200

    def __post_init__(self) -> None:
        at_least(self, round=1)

    def __call__(self, teacher: Teacher, pool: Pool, learner: Learner, draw: torch.Generator) -> Lessons:
        order = torch.randperm(len(pool), generator=draw)
        waiting = [order[pool.labels[order] == z].tolist() for z in range(int(pool.labels.max()) + 1)]
        bandit = Bandit(torch.zeros(len(waiting), dtype=torch.float64))
        known: Lessons | None = None
        while teacher.left and any(waiting):
            arms, places = [], []
            for _ in range(min(self.round, teacher.left, sum(map(len, waiting)))):
                arms.append(bandit.arm(torch.tensor([bool(left) for left in waiting]), draw))
                places.append(waiting[arms[-1]].pop())
            new = teacher.teach(pool.inputs(torch.tensor(places)))
            if known is not None and len(new):
                bandit = bandit.learnt(arms[: len(new)], rewards(new, known, learner.fit(known)))
            known = new if known is None else known.joined(new)
        assert known is not None  # a pool has samples, and a teacher that gives nothing says so
        return known


@dataclass(frozen=True, eq=False)
class Bandit:
    """A gradient bandit: preferences H (Z,), how often each arm was pulled, and the mean reward until now."""

    preferences: Tensor
    pulls: tuple[int, ...] = ()
    mean: float = 0.0

    def arm(self, there: Tensor, draw: torch.Generator) -> int:
        """An arm drawn by softmax(H) among those that are there (Z,) bool."""
        shares = torch.where(there, self.preferences, -torch.inf).softmax(0)
        return int(torch.multinomial(shares, 1, generator=draw))

    def learnt(self, arms: list[int], rewards: Tensor) -> Bandit:
        """After rewards (B,) for the arms: H += (r - mean) (1[z = arm] - pi) / pulls of the arm."""
        h, pulls, mean = self.preferences.clone(), list(self.pulls or [0] * len(self.preferences)), self.mean
        for arm, reward in zip(arms, rewards.tolist(), strict=True):
            pulls[arm] += 1
            mean += (reward - mean) / sum(pulls)
            away = -h.softmax(0)
            away[arm] += 1
            h += (reward - mean) / pulls[arm] * away
        return Bandit(h, tuple(pulls), mean)


def rewards(new: Lessons, before: Lessons, surrogate: Victim) -> Tensor:
    """(B,) in [0, 1]: the mean of certainty, diversity and loss, each scaled from its least to its largest of the round."""
    first, second = new.answers.topk(2, dim=1).values.unbind(1)
    diversity = (new.answers - before.answers.mean(0)).clamp_min(0).sum(1)
    with torch.no_grad():
        told = torch.cat([surrogate(new.x[part].to(surrogate.device, surrogate.dtype)) for part in slices(len(new))])
    loss = -(new.answers * told.float().cpu().log_softmax(1)).sum(1)
    return torch.stack([_scaled(part) for part in (first - second, diversity, loss)]).mean(0)


def _scaled(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min()).clamp_min(1e-12)


METHODS: dict[str, Callable[..., Method]] = {
    "jacobian": JacobianAugmentation,
    "knockoff": Knockoff,
    "adaptive": AdaptiveKnockoff,
}


def parse_method(text: str) -> Method:
    """`knockoff`, `jacobian:seeds=100,step=0.2`: see METHODS."""
    call = parse_call(text)
    if call.name not in METHODS:
        raise unknown("method", call.name, METHODS)
    method: Method = called(call, METHODS[call.name], text)
    return method
