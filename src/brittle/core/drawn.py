"""Asking a model that answers at random, point by point: each alone and on random numbers of its own, so that no neighbour matters."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from .chance import STAGES, bar_of, clear, fooled
from .checks import check_finite, check_labels, check_outputs
from .goal import Classify
from .victim import Victim

RELATIVE = 1e-4  # outputs that differ by more than this share of their spread are random, not rounded
FEW = 8  # inputs that are asked about twice


@dataclass(frozen=True, eq=False)
class Draws:
    """How B points of a model that answers at random are judged: by at most `most` answers about each, against the samples' `bars` (B,).

    `seed`, the samples' ids (B,) int64 and the points themselves fix all random numbers.
    """

    most: int
    seed: int
    ids: Tensor
    bars: Tensor

    def select(self, rows: Tensor) -> Draws:
        return Draws(self.most, self.seed, self.ids[rows], self.bars[rows])


@dataclass(frozen=True)
class Opinion:
    """What answers about one point come to: the goal's margin in their mean probabilities, the class named most often and its mean
    probability."""

    success: bool
    margin: float
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Untouched:
    """What the model says of an input as it is: whether no class is named more often than the label, and the `bar` for looks at it."""

    right: bool
    bar: float
    opinion: Opinion


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two answers (B, C) to the same question are more than a rounding apart, in any row."""
    spread = (one.amax(1) - one.amin(1)).clamp_min(1e-30)
    return bool(((one - other).abs().amax(1) > RELATIVE * spread).any())


@torch.no_grad()
def answers_at_random(victim: Victim, x: Tensor) -> bool:
    """Whether any of a few inputs (B, *S) gets other outputs the second time. What is wrong with them is for others to say."""
    x = x.to(victim.device)
    try:
        return len(x) > 0 and differ(check_outputs(victim(x), len(x)), check_outputs(victim(x), len(x)))
    except InputError:
        return False


def heard(victim: Victim, x: Tensor, labels: Tensor, seed: int, index: int, most: int) -> Tensor:
    """Answers (N, C) about the input x (1, *S) with labels (1,) of the sample `index`: few where it is clearly right or wrong."""
    answers: list[Tensor] = []
    with closing(_answers(victim, x, seed, index)) as fresh:
        for asked in (*(stage for stage in STAGES if stage < most), most):
            answers += [check_outputs(next(fresh), 1) for _ in range(asked - len(answers))]
            check_labels(labels, 1, answers[0].shape[1])
            goal = Classify(labels.long())
            if clear(*_duel(_named(torch.cat(answers), goal), goal), _rivals(answers[0], goal)):
                break
    return torch.cat(answers)


def mean_of(answers: Tensor) -> Tensor:
    """Logarithm (1, C) of the mean probabilities of answers (N, C)."""
    return answers.double().softmax(1).mean(0, keepdim=True).log()


def settled(answers: Tensor, labels: Tensor, goal: Classify) -> Untouched:
    """What answers (N, C) about an input as it is come to, with labels (1,) and under the goal of one row."""
    plain = Classify(labels)
    wrong, right = _duel(_named(answers, plain), plain)
    won, held = _duel(_named(answers, goal), goal)
    bar = bar_of(wrong, right, _rivals(answers, plain)) if right >= max(wrong, 1) else 0.5
    return Untouched(right >= max(wrong, 1), bar, _opinion(answers, goal, won > held))


def tested(victim: Victim, x: Tensor, goal: Classify, draws: Draws) -> Opinion:
    """Answers about the one proposed input x (1, *S), until these say whether it fools the model."""
    answers, named, verdict = list[Tensor](), torch.zeros(0), None
    with closing(_answers(victim, x, draws.seed, int(draws.ids))) as fresh:
        while verdict is None and len(answers) < draws.most:
            answers.append(next(fresh))
            check_finite(answers[-1], "adversarial inputs")
            counts = _named(answers[-1], goal)
            named = counts if len(answers) == 1 else named + counts
            verdict = fooled(*_duel(named, goal), float(draws.bars), _rivals(counts[None], goal))
    return _opinion(torch.cat(answers), goal, bool(verdict))


def _answers(victim: Victim, x: Tensor, seed: int, index: int) -> Generator[Tensor, None, None]:
    """Outputs (1, C) without end, on random numbers that the seed, the sample's number and the input (1, *S) fix."""
    content = x.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    fixed = hashlib.sha256(f"{seed} {index} ".encode() + content).digest()
    with torch.random.fork_rng(devices=[victim.device] if victim.device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(fixed[:7]))
        while True:
            with torch.no_grad():
                outputs = victim(x)
            yield outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


def _named(answers: Tensor, goal: Classify) -> Tensor:
    """How many of answers (N, C) name each class (C,) int64; a tie names none, and one that lacks the goal's confidence the label."""
    best, classes = answers.topk(2, dim=1)
    named = classes[:, 0]
    if goal.confidence is not None:
        every = goal.select(torch.zeros(len(answers), dtype=torch.int64, device=answers.device))
        named = torch.where(every.margin(answers) > 0, named, goal.labels)
    return torch.bincount(named[best[:, 0] > best[:, 1]], minlength=answers.shape[1])


def _duel(named: Tensor, goal: Classify) -> tuple[int, int]:
    """Answers for the challenger, the target or the likeliest class but the label, and for the strongest of those that it must beat."""
    own = int(goal.own)
    others = named.clone()
    others[own] = -1
    best = int(others.max())
    return (int(named[own]), best) if goal.targeted else (best, int(named[own]))


def _rivals(answers: Tensor, goal: Classify) -> int:
    """Among how many classes the challenger was found."""
    return 1 if goal.targeted else answers.shape[1] - 1


def _opinion(answers: Tensor, goal: Classify, success: bool) -> Opinion:
    predicted = int(_named(answers, replace(goal, confidence=None)).argmax())
    confidence = float(answers.softmax(1)[:, predicted].mean())
    return Opinion(success, float(goal.margin(mean_of(answers))), predicted, confidence)
