"""The laws of an attack, each a small function that raises `Broken` with a sentence where it does not hold."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.access import Access
from ..core.goal import Classify
from ..core.oracle import Ledger, Oracle
from ..core.problem import Attack, Problem, Threat
from ..core.streams import Streams
from ..core.trial import Trial, attempt
from ..core.victim import Victim
from .findings import Broken
from .references import reach
from .victims import LinearVictim, inputs, linear, network

SHAPES = ((5,), (3, 4), (2, 5, 6))
_MEASURES = ("linf", "l2", "l1", "l0")
_SLACK = 1e-9  # float64 sums come out differently in the last place when the batch is another


@dataclass(frozen=True, eq=False)
class Case:
    """What a check is given: the attack under one threat."""

    attack: Attack
    threat: Threat
    ratio: float = 1.02  # how far above the optimum an attack that minimises may end on a linear victim


Check = Callable[[Case], None]
CHECKS: dict[str, Check] = {}


def _law(sentence: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS[sentence] = check
        return check

    return add


@_law("stays inside the set and the box, and keeps shape and dtype")
def _stays_inside(case: Case) -> None:
    for shape in SHAPES:
        for bounds in ((-1.0, 1.0), (0.0, 255.0)):
            for dtype in (torch.float32, torch.float64):
                model = linear(shape, 3, dtype=dtype, bounds=bounds)
                x = inputs(shape, dtype=dtype, bounds=bounds)
                _inside(case, model.victim, x, _scaled(case.threat, bounds), f"inputs {shape} {dtype} in {bounds}")


@_law("works on one sample and on an empty batch")
def _small_batches(case: Case) -> None:
    model = linear((3, 4), 3)
    for count in (1, 0):
        _inside(case, model.victim, inputs((3, 4))[:count], case.threat, f"a batch of {count}")


@_law("works where every sample is lost already")
def _already_lost(case: Case) -> None:
    model, x = linear((3, 4), 3), inputs((3, 4))
    trial = propose_and_judge(case, model.victim, x, Classify(model.victim(x).argmin(1)))
    need(bool(trial.verdict.feasible.all()), "left the set, on samples that were misclassified from the start")


@_law("returns x where eps is 0")
def _no_room(case: Case) -> None:
    threat = case.threat.with_eps(0.0)
    if threat.eps == 0:
        model, x = linear((2, 5, 6), 3), inputs((2, 5, 6))
        trial = propose_and_judge(replace(case, threat=threat), model.victim, x, untargeted(model.victim, x))
        need(torch.equal(trial.x_adv, x), f"moved x by up to {float((trial.x_adv - x).abs().max()):.3g} with eps=0")


@_law("changes nothing outside the mask")
def _masked(case: Case) -> None:
    if "mask" not in {field.name for field in dataclasses.fields(case.threat)}:  # type: ignore[arg-type]
        return
    from ..threats import Mask

    model, x = linear((3, 4), 3), inputs((3, 4))
    allowed = torch.arange(12).view(3, 4) % 3 == 0
    threat: Threat = replace(case.threat, mask=Mask.of(allowed))  # type: ignore[type-var]
    trial = propose_and_judge(replace(case, threat=threat), model.victim, x, untargeted(model.victim, x))
    need(torch.equal(trial.x_adv[:, ~allowed], x[:, ~allowed]), "changed features that the mask forbids")


@_law("gives the same bits for the same seed")
def _deterministic(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    first, second = (propose_and_judge(case, victim, x, untargeted(victim, x)) for _ in range(2))
    need(torch.equal(first.x_adv, second.x_adv), "two runs with the same seed differ; draw from problem.streams alone")
    need(
        _same_charges(first, second, torch.arange(len(x))),
        "two runs with the same seed ask a different number of queries",
    )


@_law("treats a sample the same whoever is in the batch, and in any order")
def _independent(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    goal, ids = untargeted(victim, x), torch.arange(7) + 40
    whole = propose_and_judge(case, victim, x, goal, ids)
    for rows in ([5, 0, 3], [6], [3, 6, 0, 5, 1, 4, 2]):
        chosen = torch.tensor(rows)
        part = propose_and_judge(case, victim, x[chosen], goal.select(chosen), ids[chosen])
        gap = float((part.x_adv - whole.x_adv[chosen]).abs().max())
        need(gap <= _SLACK, f"rows {rows} of a batch of 7 come out differently on their own, by {gap:.3g}")
        need(_same_charges(part, whole, chosen), f"rows {rows} are charged differently on their own")


@_law("is charged for exactly what it asks")
def _ledger(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    asked, returned = [], []

    def came_back(grad: Tensor) -> None:
        returned.append(len(grad))

    def counted(x: Tensor) -> Tensor:
        asked.append(len(x))
        outputs = victim.forward(x)
        if outputs.requires_grad:
            outputs.register_hook(came_back)  # type: ignore[no-untyped-call]
        return outputs

    ledger = Ledger.empty(7, x.device)
    x_adv = _propose(case, replace(victim, forward=counted), x, untargeted(victim, x), ledger)
    forwards, backwards = int(ledger.forwards.sum()), int(ledger.backwards.sum())
    need(forwards == sum(asked), f"{sum(asked)} rows were sent, {forwards} are charged")
    need(backwards == sum(returned), f"{sum(returned)} rows were differentiated, {backwards} are charged")
    other = _propose(case, network((3, 4), seed=1), x, untargeted(victim, x), Ledger.empty(7, x.device))
    depends = ((x_adv - other).flatten(1) != 0).any(1)
    need(bool((ledger.forwards[depends] > 0).all()), "the answer depends on the victim, and no forward is charged")


@_law("leaves inputs, weights, gradients, mode and random numbers as they are")
def _untouched(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    module = victim.module
    assert module is not None
    last = list(module.parameters())[-1]
    last.grad = torch.full_like(last, 0.25)
    goal, kept = untargeted(victim, x), x.clone()
    before, random_before = _state(module), _random_state()
    _propose(case, victim, x, goal, Ledger.empty(7, x.device))
    need(torch.equal(x, kept) and not x.requires_grad, "the clean inputs were changed in place")
    for what, value in _state(module).items():
        need(value == before[what], f"the model's {what} changed")
    need(_random_state() == random_before, "a global random number generator was used; draw from problem.streams alone")


@_law("wins nothing below the optimum")
def _not_below(case: Case) -> None:
    for shape in SHAPES:
        for classes in (2, 3):
            model, x = linear(shape, classes), inputs(shape)
            labels = untargeted(model.victim, x).labels
            for goal in (Classify(labels), Classify(labels, (labels + 1) % classes)):
                distance = _distance(case, model, x, goal)
                if distance is None:
                    return
                threat = _at(case.threat, float(distance.median()))
                won = propose_and_judge(replace(case, threat=threat), model.victim, x, goal).verdict.success
                wrong = won & (distance > threat.eps * (1 + 1e-9))
                need(
                    not bool(wrong.any()),
                    f"{int(wrong.sum())} linear victims are won at eps={threat.eps:.4g}, less than their distance",
                )


@_law("wins at 1.3 times the optimum on two linear classes (attacks with gradients, linf and l2)")
def _wins(case: Case) -> None:
    if case.attack.access is not Access.GRADIENT or case.threat.name not in ("linf", "l2"):
        return
    for shape in SHAPES:
        model, x = linear(shape, 2), inputs(shape)
        labels = untargeted(model.victim, x).labels
        for goal in (Classify(labels), Classify(labels, 1 - labels)):
            distance = _distance(case, model, x, goal)
            assert distance is not None
            for row in range(len(x)):
                one = torch.tensor([row])
                threat = case.threat.with_eps(1.3 * float(distance[row]))
                trial = propose_and_judge(replace(case, threat=threat), model.victim, x[one], goal.select(one), one)
                kind = "targeted" if goal.targeted else "untargeted"
                need(
                    bool(trial.verdict.success), f"a linear victim {shape} at 1.3 times its distance is not won, {kind}"
                )


@_law("finds the smallest perturbation of linear victims, up to the ratio (attacks that minimise, linf and l2)")
def _smallest(case: Case) -> None:
    if not case.attack.minimises or case.threat.name not in ("linf", "l2"):
        return
    for shape in SHAPES:
        for classes in (2, 3):
            model, x = linear(shape, classes), inputs(shape)
            labels = untargeted(model.victim, x).labels
            goals = [Classify(labels)] if classes > 2 else [Classify(labels), Classify(labels, 1 - labels)]
            for goal in goals:
                distance = _distance(case, model, x, goal)
                assert distance is not None
                threat = case.threat.with_eps(math.inf)
                verdict = propose_and_judge(replace(case, threat=threat), model.victim, x, goal).verdict
                where = f"linear victims {shape} of {classes} classes, {'targeted' if goal.targeted else 'untargeted'}"
                need(
                    bool(verdict.success.all()),
                    f"{int((~verdict.success).sum())} of {len(x)} {where} are not won without a limit",
                )
                ratio = verdict.size / distance
                need(
                    bool((ratio >= 1 - 1e-9).all()),
                    f"a size below the optimum, ratio {float(ratio.min()):.9f}: {where}",
                )
                need(
                    bool((ratio <= case.ratio).all()),
                    f"size / optimum is {float(ratio.max()):.4f}, above {case.ratio:g}: {where}",
                )


@_law(
    "finds the smallest perturbation where features stand at their limits (attacks with gradients that minimise, linf and l2)"
)
def _at_the_limits(case: Case) -> None:
    norm = case.threat.name
    if not case.attack.minimises or case.attack.access is not Access.GRADIENT or norm not in ("linf", "l2"):
        return
    for shape in ((3, 4), (2, 5, 6)):
        model = linear(shape, 2, bounds=(0.0, 1.0))
        x = inputs(shape, bounds=(-1.0, 2.0)).clamp(0, 1)  # two thirds of the features at a limit
        goal = untargeted(model.victim, x)
        rise = (model.weight[1 - goal.labels] - model.weight[goal.labels]).double().numpy()
        gaps = (-goal.margin(model.victim(x))).double().tolist()
        flat = x.flatten(1).double().numpy()
        least = [reach(w, gap, -at, 1 - at, norm) for w, gap, at in zip(rise, gaps, flat, strict=True)]
        optimum = torch.tensor(least, dtype=torch.float64)
        trial = propose_and_judge(replace(case, threat=case.threat.with_eps(math.inf)), model.victim, x, goal)
        lost = optimum.isfinite() & ~trial.verdict.success
        where = f"linear victims {shape} on inputs at their limits"
        need(not bool(lost.any()), f"{int(lost.sum())} of {len(x)} {where} are not won, which the box allows")
        worst = float((trial.verdict.size / optimum)[trial.verdict.success].max())
        need(worst <= case.ratio, f"size / optimum is {worst:.4f}, above {case.ratio:g}: {where}")


def _inside(case: Case, victim: Victim, x: Tensor, threat: Threat, where: str) -> None:
    trial = propose_and_judge(replace(case, threat=threat), victim, x, untargeted(victim, x))
    outside = int((~trial.verdict.feasible).sum())
    need(outside == 0, f"{outside} of {len(x)} points leave the set or the box: {where}, eps={threat.eps:g}")
    need(trial.x_adv.dtype == x.dtype, f"returned {trial.x_adv.dtype} for {x.dtype} inputs")


def propose_and_judge(case: Case, victim: Victim, x: Tensor, goal: Classify, ids: Tensor | None = None) -> Trial:
    return attempt(case.attack, victim, case.threat, x, goal, torch.arange(len(x)) if ids is None else ids, seed=3)


def _propose(case: Case, victim: Victim, x: Tensor, goal: Classify, ledger: Ledger) -> Tensor:
    """The attack's answer without the judge's own queries, and on the caller's own x."""
    region = case.threat.around(x, victim.lower, victim.upper)
    oracle = Oracle(victim, ledger, case.attack.access)
    with torch.no_grad():
        return case.attack(Problem(region, goal, oracle, Streams.seeded(3, torch.arange(len(x)))))


def untargeted(victim: Victim, x: Tensor) -> Classify:
    with torch.no_grad():
        return Classify(victim(x).argmax(1))


def _distance(case: Case, model: LinearVictim, x: Tensor, goal: Classify) -> Tensor | None:
    if case.threat.name not in _MEASURES:
        return None
    return model.distance(x, goal.labels, case.threat.name, goal.targets)


def _at(threat: Threat, eps: float) -> Threat:
    """For l0, one feature less than is needed."""
    return threat.with_eps(max(eps - 1, 0.0) if threat.name == "l0" else eps * 0.999)


def _scaled(threat: Threat, bounds: tuple[float, float]) -> Threat:
    """An eps given for [0, 1] in other units; l0 counts and a fixed eps stay."""
    return threat if threat.name == "l0" else threat.with_eps(threat.eps * (bounds[1] - bounds[0]))


def _same_charges(part: Trial, whole: Trial, rows: Tensor) -> bool:
    return torch.equal(part.forwards, whole.forwards[rows]) and torch.equal(part.backwards, whole.backwards[rows])


def _state(module: torch.nn.Module) -> dict[str, object]:
    return {
        "weights or buffers": [value.tolist() for value in module.state_dict().values()],
        "requires_grad flags": [parameter.requires_grad for parameter in module.parameters()],
        "mode": [part.training for part in module.modules()],
        ".grad": [None if p.grad is None else p.grad.tolist() for p in module.parameters()],
        "hooks": [(len(part._forward_hooks), len(part._backward_hooks)) for part in module.modules()],
    }


def _random_state() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), repr(np.random.get_state()), hash(random.getstate())


def need(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)
