"""`brittle.attack`: one call from a model and a batch to judged adversarial examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ..core.access import Access
from ..core.bounds import Given
from ..core.chance import MOST
from ..core.checks import (
    check_confidence,
    check_indices,
    check_inputs,
    check_labels,
    check_logits,
    check_outputs,
)
from ..core.context import Context, Extra
from ..core.drawn import FEW, Draws, answers_at_random, heard, settled
from ..core.goal import Classify
from ..core.problem import Attack, Threat
from ..core.recording import followed, recording
from ..core.trial import attempt
from ..core.victim import Victim, as_victim, refuse_training_mode
from ..data.rows import Array
from ..errors import InputError
from ..files import make_folder, write_whole
from ..ranges import check_counts, check_seed
from ..threats import as_threat
from .given import as_attack, as_batch, as_indices
from .progress import Progress, progress_bar
from .trying import explained


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attack did to B samples, measured by the judge. All but x_adv have shape (B,).

    random: the model answers at random. Then `predicted` is the class that it names most often, a success is what fresh answers prove
    against luck (`core/chance.py`), margins and confidence are those of their mean probabilities.
    """

    x_adv: Tensor  # (B, *S), the dtype and device of x
    success: Tensor  # bool: the goal is reached and the point is feasible
    feasible: Tensor  # bool: inside the threat and the bounds
    size: Tensor  # float64, in the threat's norm
    margin: Tensor  # the goal's margin, > 0 is won
    predicted: Tensor  # int64 class at x_adv
    confidence: Tensor  # softmax probability of `predicted`
    clean_correct: Tensor  # bool: x itself is classified as its label
    forwards: Tensor  # int64, charged to each sample
    backwards: Tensor  # int64
    aside_forwards: Tensor  # int64, what a surrogate was asked; the model knows nothing of it
    aside_backwards: Tensor  # int64
    random: bool = False  # the same input got other outputs the second time

    @property
    def robust_accuracy(self) -> float:
        """Share of samples that are right before the attack and not won by it."""
        return float((self.clean_correct & ~self.success).double().mean())

    def save(self, path: str | Path) -> Path:
        """Write every field as a tensor of that name into a .safetensors file, which `safetensors.torch.load_file` reads."""
        path = Path(path)
        if path.suffix != ".safetensors":
            raise InputError(f"{str(path)!r} does not end in .safetensors, the format it is saved in; add the ending")
        tensors = {name: getattr(self, name).detach().cpu().contiguous() for name in _OF_SAMPLES}
        tensors["random"] = torch.tensor(self.random)
        make_folder(path.parent)
        write_whole(path, to_safetensors(tensors))
        return path

    def __repr__(self) -> str:
        from ..report.shares import share  # here, because figures and pages come with it
        from ..report.words import percent

        won, count = int(self.success.sum()), len(self.success)
        robust = share(int((self.clean_correct & ~self.success).sum()), count)
        asked = f"{self.forwards.double().mean():.1f} forwards, {self.backwards.double().mean():.1f} backwards"
        if bool((self.aside_forwards > 0).any()):
            aside = [count.double().mean() for count in (self.aside_forwards, self.aside_backwards)]
            asked += f", and of a surrogate {aside[0]:.1f} forwards, {aside[1]:.1f} backwards"
        chance = ", judged by many answers a sample because the model answers at random" if self.random else ""
        return f"Outcome({won} of {count} won, robust accuracy {percent(robust)}, a sample: {asked}{chance})"


@recording
def attack(
    attack: str | Attack,
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    x: Tensor | Array,
    labels: Tensor | Array | Sequence[int],
    threat: str | Threat,
    *,
    targets: Tensor | Array | Sequence[int] | int | None = None,
    confidence: float | None = None,
    bounds: Given = (0.0, 1.0),
    seed: int = 0,
    ids: Tensor | Array | Sequence[int] | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    budget: int | None = None,
    starts: Tensor | Array | None = None,
    output: str | int | None = None,
    inputs: Extra | None = None,
    progress: Progress | bool = False,
) -> Outcome:
    """Attack `model` on x (B, *S) with true labels (B,).

    attack: a value such as `pgd(steps=10)`, or a string such as "pgd:steps=10". threat: a value such as `linf(8 / 255)`, or a string
    such as "linf:8/255". x, labels: tensors; arrays and lists are made tensors, arrays of floats of the weights' precision.
    targets: class each sample must be taken for, (B,) or one for all; None: any class but the label. confidence: softmax probability, in
    (0, 1), that the wrong class must reach. bounds: the model's input range. seed, ids: the random numbers of a sample depend on these
    alone (ids default to 0..B-1). batch_size: rows at a time. device: where to compute; the model itself is never moved. budget: the
    most forwards plus backwards a sample may cost; what was found until then counts. starts: inputs (B, *S) from which attacks begin that
    take a start, such as pictures of the target class for a decision-based attack. output: which part of what the model returns is the
    logits (a key, an attribute, an index), or `logit` or `probability` for two classes, or both as in `score:logit`. inputs: what the model
    takes beside x and the adversary does not change, one row a sample: a tensor (B, ...), a tuple of them, or a dict by argument name.
    progress: a bar on the terminal, or a function (samples done, in all, what), told after each batch of batch_size.
    A few inputs are put to the model twice, uncharged; where it answers at random, `Outcome.random` says so and how it is judged.
    Raises InputError, with one sentence, for anything that would make the numbers wrong. The model comes back as it was.
    """
    check_counts(batch_size=batch_size, budget=budget)
    check_seed(seed)
    value, ball = as_attack(attack), as_threat(threat)
    victim = as_victim(model, bounds, device, output=output)
    x, labels = as_batch(x, victim.dtype), as_indices(labels, "labels")
    context = None if inputs is None else Context.of(inputs, len(x), x.device)
    if victim.module is not None:
        refuse_training_mode(victim.module)
    check_inputs(x, victim)
    check_confidence(confidence)
    if targets is not None:
        targets = torch.full((len(x),), targets) if isinstance(targets, int) else as_indices(targets, "targets")
    ids = torch.arange(len(x)) if ids is None else as_indices(ids, "ids")
    starts = None if starts is None else as_batch(starts, x.dtype, "starts")
    for what, given in (("labels", labels), ("targets", targets), ("ids", ids)):
        if given is not None:
            check_indices(given, len(x), what)
    if starts is not None and starts.shape != x.shape:
        raise InputError(f"starts have shape {tuple(starts.shape)}; give one for each sample, {tuple(x.shape)}")
    goal = Classify(labels.long(), None if targets is None else targets.long(), confidence)
    ids, size = ids.cpu().long(), batch_size or max(len(x), 1)
    with victim.undisturbed(seed), progress_bar(progress) as advance:
        few, parts = slice(FEW), list[Outcome]()
        first, begin = victim if context is None else victim.beside(context.select(few)), x[few].to(victim.device)
        with explained(first, begin):
            random = answers_at_random(first, victim.clamp(begin))
        advance(0, len(x), "attack")
        for start in range(0, max(len(x), 1), size):
            rows = slice(start, start + size)
            begun = None if starts is None else starts[rows]
            beside = None if context is None else context.select(rows)
            parts.append(
                _attack_batch(
                    value, victim, x[rows], goal.select(rows), ball, ids[rows], seed, budget, begun, beside, random
                )
            )
            advance(min(start + size, len(x)), len(x), "attack")
    if len(parts) == 1:
        return parts[0]
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in _OF_SAMPLES}
    return Outcome(**joined, random=random)


_OF_SAMPLES = tuple(name for name in Outcome.__dataclass_fields__ if name != "random")


def _attack_batch(
    attack: Attack,
    victim: Victim,
    x: Tensor,
    goal: Classify,
    threat: Threat,
    ids: Tensor,
    seed: int,
    budget: int | None,
    starts: Tensor | None,
    context: Context | None,
    random: bool,
) -> Outcome:
    home, device = x.device, victim.device
    x = victim.clamp(x.detach().to(device))
    asked = victim if context is None else victim.beside(context)
    with torch.no_grad(), explained(asked, x):
        outputs = (check_outputs if victim.access is Access.LABELS else check_logits)(asked(x), len(x))
    goal = _checked(goal, len(x), outputs.shape[1], device)
    if starts is not None:
        starts = victim.clamp(starts.detach().to(x))
    ids, correct, draws = ids.to(device), Classify(goal.labels).margin(outputs) < 0, None
    if random:
        correct, draws = _untouched(victim, x, goal, ids, seed, context)
    trial = attempt(attack, victim, threat, x, goal, ids, seed, budget, starts, draws, context)
    measured = {**trial.measured(), "clean_correct": correct}
    return Outcome(**{name: value.to(home) for name, value in measured.items()}, random=random)


def _untouched(
    victim: Victim, x: Tensor, goal: Classify, ids: Tensor, seed: int, context: Context | None
) -> tuple[Tensor, Draws]:
    """Which of x (B, *S) a model that answers at random gets right (B,) bool, and how it is judged on what is made of them."""
    known = []
    for row in torch.split(torch.arange(len(x), device=x.device), 1):
        one, alone = goal.select(row), victim if context is None else victim.beside(context.select(row))
        known.append(settled(heard(alone, x[row], one.labels, seed, int(ids[row]), MOST), one.labels, one))
    correct = torch.tensor([one.right for one in known], dtype=torch.bool, device=x.device)
    bars = torch.tensor([one.bar for one in known], dtype=torch.float64, device=x.device)
    return correct, Draws(MOST, seed, ids, bars)


def _checked(goal: Classify, count: int, classes: int, device: torch.device) -> Classify:
    """The goal on the model's device, its classes among those that the model has."""
    check_labels(goal.labels, count, classes)
    labels, targets = followed(goal.labels.to(device)), goal.targets
    if targets is not None:
        check_labels(targets, count, classes, "targets")
        targets = followed(targets.to(device))
        if bool((targets == labels).any()):
            raise InputError(
                f"target {int(targets[targets == labels][0])} is the true label of a sample; choose another class"
            )
    return Classify(labels, targets, goal.confidence)
