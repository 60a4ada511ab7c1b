"""`brittle.extract`: a surrogate that has learnt from nothing but the target's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.access import Access
from ..core.bounds import Given
from ..core.recording import recording
from ..core.victim import Victim
from ..data.samples import Samples, as_data, slices
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..report.shares import Share, share
from ..victims.extraction import FromNothing, Learner, Lessons, Method, OnBackbone, Pool, Teacher, parse_method
from ..victims.open import opened
from ..victims.preprocess import as_taken
from .progress import Progress, progress_bar
from .train import splits, writable
from .trying import answers_to


@dataclass(frozen=True, eq=False)
class Extraction:
    """A surrogate, and how well it knows the target; the shares are of the held-out samples."""

    surrogate: Victim  # with gradients
    learnt: int  # answers that it was trained on
    queries: int  # what the target was asked in all; of a model behind HTTP the rows that were sent
    agreement: Share  # the surrogate names the class that the target names
    accuracy: Share  # the surrogate names the label
    target_accuracy: Share  # the target names the label

    def __repr__(self) -> str:
        from ..report.words import interval, percent

        return (
            f"Extraction({self.queries:,} queries, {self.learnt:,} learnt from; agreement {percent(self.agreement)} "
            f"{interval(self.agreement)}, accuracy {percent(self.accuracy)}, the target's {percent(self.target_accuracy)})"
        )


@recording
def extract(
    model: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    *,
    queries: int,
    method: str | Method = "knockoff",
    held_out: int = 1000,
    test: object | None = None,
    labels: bool = False,
    net: str | None = None,
    epochs: int | None = None,
    backbone: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    bounds: Given | None = None,
    device: str | None = None,
    trust: bool = False,
    output: str | int | None = None,
    progress: Progress | bool = True,
) -> Extraction:
    """Train a surrogate on `queries` answers of the target, and measure on `held_out` more how often the two agree.

    model: the target, which is asked for scores, or for labels where it gives nothing else or `labels` is true; never for gradients. data:
    what the method may ask about; its labels are not learnt from. method: `knockoff` (any pictures in random order), `adaptive` (more of
    those of the data's classes that are rewarding) or `jacobian` (a few pictures, and steps along the surrogate's Jacobian), with options.
    test: data of the target's classes to hold out; default: the test split, or where there is none samples that are not learnt from. net,
    epochs: of a small network trained from nothing; backbone: a VICTIM string, whose last layer alone is trained. out: a file that
    `net:FILE` opens. output: of the target, as in `brittle.attack`. No more than queries + held_out answers are asked for, and
    from a model behind HTTP no more rows are sent.
    """
    method = parse_method(method) if isinstance(method, str) else method
    check_counts(queries=queries, held_out=held_out, epochs=epochs)
    check_seed(seed)
    if backbone is not None and (net or epochs):
        raise InputError("net and epochs are of networks trained from nothing; leave them away with a backbone")
    path = None if out is None else writable(out)
    learnt, tested = _sources(data, test, bounds)
    victim = opened(model, device, trust, bounds or learnt.bounds, output)
    pool, exam = _apart(as_taken(learnt, victim), as_taken(tested, victim), held_out, seed)
    if victim.module is not None:  # what is here has no budget that its first answers could come from
        answers_to(victim, pool.data)
    learner: Learner = (
        FromNothing(net=net, epochs=epochs, seed=seed)
        if backbone is None
        else OnBackbone.of(backbone, pool.data, device=device, trust=trust)
    )
    access = Access.LABELS if labels or victim.access is Access.LABELS else Access.SCORES
    with victim.undisturbed(seed), progress_bar(progress) as advance:
        teacher = Teacher.of(victim, queries, access, progress=advance)
        lessons = method(teacher, pool, learner, torch.Generator().manual_seed(seed))
        spent, surrogate = teacher.spent, learner.fit(lessons)
        examiner = Teacher.of(victim, len(exam), Access.LABELS, progress=advance, width=len(lessons.classes))
        told = examiner.teach(exam.inputs(torch.arange(len(exam))))
    found = _measured(surrogate, lessons, told, exam, spent + examiner.spent)
    if path is not None:
        facts = {"queries": float(found.queries), "answers": float(found.learnt)}
        if found.agreement.n:
            facts |= {"agreement": found.agreement.value, "test_accuracy": found.accuracy.value}
        learner.save(surrogate, lessons, path, facts)
    return found


def _sources(data: object, test: object | None, bounds: Given | None) -> tuple[Samples, Samples]:
    """What to learn from and what to measure on; the same object where the data have no second split."""
    edges = bounds or (0.0, 1.0)
    if test is not None:
        return as_data(data, edges), as_data(test, edges)
    if isinstance(data, str):
        first, second = splits(data)
        if first != second:
            return as_data(first, edges), as_data(second, edges)
    whole = as_data(data, edges)
    return whole, whole


def _apart(learnt: Samples, tested: Samples, held_out: int, seed: int) -> tuple[Pool, Pool]:
    """What may be asked about, and what is held out of it; of data that serve for both a quarter at most."""
    order = torch.randperm(len(tested), generator=torch.Generator().manual_seed(seed)).tolist()
    if learnt.digest != tested.digest:
        return Pool(learnt, tuple(range(len(learnt)))), Pool(tested, tuple(order[:held_out]))
    count = min(held_out, len(tested) // 4)
    if count < 1:
        raise InputError(f"{tested.name} has {len(tested)} samples, too few to hold some out; name others with test=")
    return Pool(learnt, tuple(order[count:])), Pool(tested, tuple(order[:count]))


def _measured(surrogate: Victim, lessons: Lessons, told: Lessons, exam: Pool, queries: int) -> Extraction:
    x, labels = told.x, exam.labels[: len(told)]
    target = told.answers.argmax(1)
    with torch.no_grad():
        answers = [
            surrogate(x[part].to(surrogate.device, surrogate.dtype)).argmax(1).cpu() for part in slices(len(x), 256)
        ]
    own = torch.cat([*answers, target[:0]])

    def alike(one: Tensor, other: Tensor) -> Share:
        return share(int((one == other).sum()), len(x))

    return Extraction(surrogate, len(lessons), queries, alike(own, target), alike(own, labels), alike(target, labels))
