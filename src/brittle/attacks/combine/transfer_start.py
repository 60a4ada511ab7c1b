"""An attack on a model that is only asked, begun where an attack on a surrogate with gradients has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from ...core.access import Access
from ...core.oracle import Oracle
from ...core.problem import Attack, Problem
from ...core.trial import check_access
from ...core.victim import Victim
from ...errors import InputError
from ..parts.options import positive


class Named(Protocol):
    """A surrogate that a plan can hold: it is opened where it is needed."""

    def opened(self, device: torch.device) -> Victim:
        """The same victim each time, on the device."""


@dataclass(frozen=True, kw_only=True)
class TransferStart:
    """`first` attacks the surrogate, at `reach` times the radius, and `then` attacks the model from there.

    Suya et al., Hybrid Batch Attacks, USENIX Security 2020, arXiv:1908.07000, section 4.1: what transfers is won at the first question, and
    what does not is still a better start. An attack that sees labels alone walks in from it, where it wins at all; a larger `reach` makes
    it win more often. Deviations: the surrogate is not tuned on the model's answers, and samples are not put in order.
    The model is asked what `then` asks, with the access of `then` alone. What the surrogate is asked is counted aside.
    """

    surrogate: Victim | Named
    first: Attack
    then: Attack
    reach: float = 1.0

    paper: ClassVar[str] = "Suya et al. 2020, arXiv:1908.07000"

    def __post_init__(self) -> None:
        positive(self, "reach", why="leaves no room to start from")

    @property
    def access(self) -> Access:
        """That of the second attack."""
        return self.then.access

    @property
    def minimises(self) -> bool:
        """Whether the second attack does."""
        return self.then.minimises

    def __call__(self, problem: Problem) -> Tensor:  # (B, *P)
        surrogate, ledger = self.surrogate, problem.door.ledger.aside
        surrogate = surrogate if isinstance(surrogate, Victim) else surrogate.opened(problem.x.device)
        check_access(self.first, surrogate)
        with surrogate.undisturbed(0):
            theirs = _as_asked(surrogate, problem)
            door = Oracle(theirs, ledger or problem.door.ledger, self.first.access, problem.door.rows)
            elsewhere = replace(problem.within(problem.region.radius * self.reach).forked(0), door=door, record=None)
            there = self.first(elsewhere)
        return self.then(problem.starting(there).forked(1))


def _as_asked(surrogate: Victim, problem: Problem) -> Victim:
    """The surrogate, which takes the model's inputs where they are and as they are. InputError where it is for others."""
    target, top = problem.door.victim, int(problem.classes.labels.max())
    if surrogate.bounds != target.bounds:
        theirs, ours = (f"{one.lower:g}..{one.upper:g}" for one in (surrogate, target))
        raise InputError(
            f"the surrogate {surrogate.name} takes inputs in {theirs}, the model in {ours}; give both the same"
        )

    def forward(x: Tensor) -> Tensor:
        return surrogate(x.to(surrogate.device, surrogate.dtype)).to(x)

    classes = forward(problem.region.render(problem.region.origin)[:1].detach()).shape[1]
    if classes <= top:
        raise InputError(
            f"the surrogate {surrogate.name} has {classes} classes and knows no class {top}; give one for the model's classes"
        )
    at_home = problem.x.device == surrogate.device and problem.x.dtype == surrogate.dtype
    return surrogate if at_home else replace(surrogate, forward=forward)
