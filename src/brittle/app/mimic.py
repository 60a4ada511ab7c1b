"""`brittle.mimic`: inputs that look like themselves to us, and like another input to a layer of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..attacks.fixed.noise import Noise
from ..attacks.fixed.recipes import apgd
from ..core.access import Access
from ..core.bounds import Given
from ..core.checks import check_finite, check_indices, check_inputs
from ..core.goal import Match
from ..core.problem import Attack, Threat
from ..core.recording import recording
from ..core.trial import attempt
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..threats import as_threat
from ..victims.layers import cut


@dataclass(frozen=True, eq=False)
class Mimicry:
    """How near B inputs came to their guides, in Euclidean distances between features. All but x_adv have shape (B,)."""

    x_adv: Tensor  # (B, *S), the dtype and device of x
    before: Tensor  # distance of x to the guide
    distance: Tensor  # distance of x_adv to the guide
    reached: Tensor  # bool: nearer than `within` of the distance before, and feasible
    feasible: Tensor  # bool: inside the threat and the bounds
    size: Tensor  # float64, in the threat's norm
    predicted: Tensor  # int64: the largest output of the whole model at x_adv, for a classifier its class
    guided: Tensor  # int64: the same at the guide
    rank: Tensor | None  # int64: the place of the guide among the neighbours of x_adv; 1 is the nearest
    forwards: Tensor  # int64, charged to each sample
    backwards: Tensor  # int64

    @property
    def share(self) -> Tensor:
        """The distance after as a share of that before (B,); 0 where both are 0."""
        return torch.where(self.before > 0, self.distance / self.before, self.distance)

    def __repr__(self) -> str:
        if not len(self.share):
            return "Mimicry(0 inputs)"
        return (
            f"Mimicry({len(self.share)} inputs, {float(self.share.median()):.1%} of the distance left in the median, "
            f"{int((self.predicted == self.guided).sum())} taken for the guide's class)"
        )


@recording
def mimic(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    guide: Tensor,
    threat: str | Threat,
    *,
    layer: str | None = None,
    attack: Attack | None = None,
    within: float = 0.0,
    among: Tensor | None = None,
    bounds: Given = (0.0, 1.0),
    seed: int = 0,
    ids: Tensor | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    budget: int | None = None,
    output: str | int | None = None,
) -> Mimicry:
    """Move x (B, *S) inside the threat until a layer of the model answers as to the guide. Sabour et al., ICLR 2016, arXiv:1511.05122.

    guide: (B, *S), or one for all, (*S) or (1, *S). layer: its name in `model.named_modules()`; None: the model's outputs. attack: one that
    ascends the goal's margin, which is minus the squared distance here; by default `apgd(loss="margin")`, in Linf `lbfgsb()` is the
    paper's way. within: in [0, 1), the share of the distance before at which an attack may stop; 0: as near as it comes. among: inputs
    (M, *S) with which the guide competes for being the nearest neighbour of x_adv (`rank`); the guide itself among them does not count.
    Distances and ranks are not charged. The others as in `brittle.attack`.
    Raises InputError, with one sentence, for anything that would make the numbers wrong. The model comes back as it was.
    """
    check_counts(batch_size=batch_size, budget=budget)
    check_seed(seed)
    victim = as_victim(model, bounds, device, output=output)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    attack = apgd(loss="margin") if attack is None else attack
    if getattr(attack, "access", None) is Access.LABELS and not isinstance(
        attack, Noise
    ):  # one draw of noise asks nothing
        raise InputError(
            f"{type(attack).__name__} sees labels alone, which tell nothing of features; use apgd(loss='margin')"
        )
    if not 0 <= within < 1:
        raise InputError(f"within={within:g} is not a share of the distance before; give 0 or more and less than 1")
    check_inputs(x, victim)
    guide = _guides(guide, x, victim)
    if among is not None:
        _check_like(among, x, victim, "among")
    ids = torch.arange(len(x)) if ids is None else ids
    check_indices(ids, len(x), "ids")
    run = _Run(attack, as_threat(threat), victim, cut(victim, layer), within, seed, budget)
    with victim.undisturbed(seed):
        size = batch_size or max(len(x), 1)
        pool = None if among is None else torch.cat([run.features(part) for part in torch.split(among, size)])
        rows = [slice(start, start + size) for start in range(0, max(len(x), 1), size)]
        parts = [run(x[some], guide[some], ids.cpu().long()[some], pool) for some in rows]
    return Mimicry(
        **{name: _joined([getattr(part, name) for part in parts], x) for name in Mimicry.__dataclass_fields__}
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """What is the same for all batches; `listening` is the victim cut at the layer."""

    attack: Attack
    threat: Threat
    victim: Victim
    listening: Victim
    within: float
    seed: int
    budget: int | None

    def __call__(self, x: Tensor, guide: Tensor, ids: Tensor, pool: Tensor | None) -> Mimicry:
        """x and its guides (B, *S); pool (M, N)."""
        x, guide, ids = self.placed(x), self.placed(guide), ids.to(self.victim.device)
        wanted = self.features(guide)
        before = _distance(self.features(x), wanted)
        goal = Match(wanted, (self.within * before).to(wanted.dtype))
        trial = attempt(self.attack, self.listening, self.threat, x, goal, ids, self.seed, self.budget)
        ended, verdict = self.features(trial.x_adv), trial.verdict
        distance = _distance(ended, wanted)
        return Mimicry(
            trial.x_adv,
            before,
            distance,
            verdict.success,
            verdict.feasible,
            verdict.size,
            self.largest(trial.x_adv),
            self.largest(guide),
            None if pool is None else _rank(ended, distance, pool),
            trial.forwards,
            trial.backwards,
        )

    def placed(self, x: Tensor) -> Tensor:
        """On the victim's device, rounded into its bounds."""
        return self.victim.clamp(x.detach().to(self.victim.device))

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(B, N), in float32 at least."""
        found = self.listening(self.placed(x))
        check_finite(found, "inputs and guides")
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found

    @torch.no_grad()
    def largest(self, x: Tensor) -> Tensor:
        """Which output of the whole model is the largest (B,)."""
        return self.victim(x).reshape(len(x), -1).argmax(1)


def _joined(parts: list[Any], like: Tensor) -> Any:
    """One tensor of the batches', where x is; None where they have none."""
    return None if parts[0] is None else torch.cat(parts).to(like.device)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean (B,), in float64."""
    found: Tensor = torch.linalg.vector_norm(one.double() - other.double(), dim=1)
    return found


def _rank(features: Tensor, distance: Tensor, pool: Tensor) -> Tensor:
    """One more than how many of the pool (M, N) are nearer than `distance` (B,); a tie, up to rounding, is the guide's."""
    others = torch.cdist(features.double(), pool.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return 1 + (others < distance[:, None] * (1 - 1e-6)).sum(1)


def _guides(guide: Tensor, x: Tensor, victim: Victim) -> Tensor:
    """One for each of x (B, *S)."""
    one = isinstance(guide, Tensor) and guide.shape == x.shape[1:]
    _check_like(guide[None] if one else guide, x, victim, "guide")
    guide = guide[None] if one else guide
    if len(guide) not in (1, len(x)):
        raise InputError(f"there are {len(guide)} guides for {len(x)} inputs; give one for each, or one for all")
    return guide.expand(len(x), *guide.shape[1:])


def _check_like(others: Tensor, x: Tensor, victim: Victim, what: str) -> None:
    """Inputs as x are, of the same shape."""
    if isinstance(others, Tensor) and others.shape[1:] != x.shape[1:]:
        raise InputError(
            f"{what} has shape {tuple(others.shape)}, the inputs {tuple(x.shape)}; all must be of one shape"
        )
    try:
        check_inputs(others, victim)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
