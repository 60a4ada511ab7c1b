"""The laws of an attack, each a small function that raises `Broken` with a sentence where the law does not hold."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.goal import Classify
from ..core.oracle import Access, Ledger, Oracle
from ..core.problem import Attack, Problem, Threat
from ..core.streams import Streams
from ..core.trial import Trial, attempt
from ..core.victim import Victim
from ..errors import InputError
from ..threats import l0, l1, l2, linf
from .findings import Broken, Finding, run_checks
from .victims import LinearVictim, inputs, linear, network

SHAPES = ((5,), (3, 4), (2, 5, 6))
THREATS: tuple[Threat, ...] = (linf(0.1), l2(0.3), l1(0.5), l0(2))
_MEASURES = ("linf", "l2", "l1", "l0")
_SLACK = 1e-9  # float64 sums come out differently in the last place when the batch is another


@dataclass(frozen=True, eq=False)
class Case:
    """What a check is given: the attack under one threat."""

    attack: Attack
    threat: Threat


Check = Callable[[Case], None]
CHECKS: dict[str, Check] = {}


def check_attack(attack: object, threats: Sequence[Threat] | None = None) -> list[Finding]:
    """Try the attack against every law of CHECKS under each threat (default: linf, l2, l1 and l0 balls).

    A law that does not hold is a finding with `passed` False and a sentence, never an exception. A default threat that
    the attack refuses with an InputError is left out. Give threats without a mask: a law of its own tries one. Victims
    are small, and the attack's steps are taken as given: choose few, but long enough to cross the ball. An attack
    needs no base class:

        @dataclass(frozen=True)
        class Halfway:
            access, minimises, paper = Access.GRADIENT, False, "none"

            def __call__(self, problem: Problem) -> Tensor:
                ...

        for finding in check_attack(Halfway()):
            print(finding.passed, finding.name, finding.sentence)
    """
    kind = type(attack).__name__
    findings = run_checks({"is a frozen value with access, minimises and paper": _is_a_value}, attack, kind)
    if not findings[0].passed:
        return findings
    assert isinstance(attack, Attack)
    accepted = [threat for threat in THREATS if not _refuses(attack, threat)] if threats is None else threats
    if not accepted:
        names = ", ".join(threat.name for threat in THREATS)
        law = f"{kind}: works under a threat"
        return [*findings, Finding(law, False, f"it refuses {names}; name the threats it is made for")]
    for threat in accepted:
        findings += run_checks(CHECKS, Case(attack, threat), f"{kind} under {threat.name}")
    return findings


def assert_conforms(attack: object, threats: Sequence[Threat] | None = None) -> None:
    """For pytest: raises AssertionError with the sentence of every law that does not hold.

    >>> def test_my_attack():
    ...     assert_conforms(MyAttack(steps=10), [brittle.linf(0.1)])
    """
    failed = [f"{finding.name}: {finding.sentence}" for finding in check_attack(attack, threats) if not finding.passed]
    if failed:
        raise AssertionError("\n".join(failed))


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
    trial = _attempt(case, model.victim, x, Classify(model.victim(x).argmin(1)))
    _need(bool(trial.verdict.feasible.all()), "left the set, on samples that were misclassified from the start")


@_law("returns x where eps is 0")
def _no_room(case: Case) -> None:
    threat = case.threat.with_eps(0.0)
    if threat.eps == 0:
        model, x = linear((2, 5, 6), 3), inputs((2, 5, 6))
        trial = _attempt(replace(case, threat=threat), model.victim, x, _untargeted(model.victim, x))
        _need(torch.equal(trial.x_adv, x), f"moved x by up to {float((trial.x_adv - x).abs().max()):.3g} with eps=0")


@_law("changes nothing outside the mask")
def _masked(case: Case) -> None:
    if "mask" not in {field.name for field in dataclasses.fields(case.threat)}:  # type: ignore[arg-type]
        return
    from ..threats import Mask

    model, x = linear((3, 4), 3), inputs((3, 4))
    allowed = torch.arange(12).view(3, 4) % 3 == 0
    threat: Threat = replace(case.threat, mask=Mask.of(allowed))  # type: ignore[type-var]
    trial = _attempt(replace(case, threat=threat), model.victim, x, _untargeted(model.victim, x))
    _need(torch.equal(trial.x_adv[:, ~allowed], x[:, ~allowed]), "changed features that the mask forbids")


@_law("gives the same bits for the same seed")
def _deterministic(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    first, second = (_attempt(case, victim, x, _untargeted(victim, x)) for _ in range(2))
    _need(torch.equal(first.x_adv, second.x_adv), "two runs with the same seed differ; draw from problem.streams alone")
    _need(
        _same_charges(first, second, torch.arange(len(x))),
        "two runs with the same seed ask a different number of queries",
    )


@_law("treats a sample the same whoever is in the batch, and in any order")
def _independent(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    goal, ids = _untargeted(victim, x), torch.arange(7) + 40
    whole = _attempt(case, victim, x, goal, ids)
    for rows in ([5, 0, 3], [6], [3, 6, 0, 5, 1, 4, 2]):
        chosen = torch.tensor(rows)
        part = _attempt(case, victim, x[chosen], goal.select(chosen), ids[chosen])
        gap = float((part.x_adv - whole.x_adv[chosen]).abs().max())
        _need(gap <= _SLACK, f"rows {rows} of a batch of 7 come out differently on their own, by {gap:.3g}")
        _need(_same_charges(part, whole, chosen), f"rows {rows} are charged differently on their own")


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
    x_adv = _propose(case, replace(victim, forward=counted), x, _untargeted(victim, x), ledger)
    forwards, backwards = int(ledger.forwards.sum()), int(ledger.backwards.sum())
    _need(forwards == sum(asked), f"{sum(asked)} rows were sent, {forwards} are charged")
    _need(backwards == sum(returned), f"{sum(returned)} rows were differentiated, {backwards} are charged")
    other = _propose(case, network((3, 4), seed=1), x, _untargeted(victim, x), Ledger.empty(7, x.device))
    depends = ((x_adv - other).flatten(1) != 0).any(1)
    _need(bool((ledger.forwards[depends] > 0).all()), "the answer depends on the victim, and no forward is charged")


@_law("leaves inputs, weights, gradients, mode and random numbers as they are")
def _untouched(case: Case) -> None:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    module = victim.module
    assert module is not None
    last = list(module.parameters())[-1]
    last.grad = torch.full_like(last, 0.25)
    goal, kept = _untargeted(victim, x), x.clone()
    before, random_before = _state(module), _random_state()
    _propose(case, victim, x, goal, Ledger.empty(7, x.device))
    _need(torch.equal(x, kept) and not x.requires_grad, "the clean inputs were changed in place")
    for what, value in _state(module).items():
        _need(value == before[what], f"the model's {what} changed")
    _need(
        _random_state() == random_before, "a global random number generator was used; draw from problem.streams alone"
    )


@_law("wins nothing below the optimum")
def _not_below(case: Case) -> None:
    for shape in SHAPES:
        for classes in (2, 3):
            model, x = linear(shape, classes), inputs(shape)
            labels = _untargeted(model.victim, x).labels
            for goal in (Classify(labels), Classify(labels, (labels + 1) % classes)):
                distance = _distance(case, model, x, goal)
                if distance is None:
                    return
                threat = _at(case.threat, float(distance.median()))
                won = _attempt(replace(case, threat=threat), model.victim, x, goal).verdict.success
                wrong = won & (distance > threat.eps * (1 + 1e-9))
                _need(
                    not bool(wrong.any()),
                    f"{int(wrong.sum())} linear victims are won at eps={threat.eps:.4g}, less than their distance",
                )


@_law("wins at 1.3 times the optimum on two linear classes (attacks with gradients, linf and l2)")
def _wins(case: Case) -> None:
    if case.attack.access is not Access.GRADIENT or case.threat.name not in ("linf", "l2"):
        return
    for shape in SHAPES:
        model, x = linear(shape, 2), inputs(shape)
        labels = _untargeted(model.victim, x).labels
        for goal in (Classify(labels), Classify(labels, 1 - labels)):
            distance = _distance(case, model, x, goal)
            assert distance is not None
            for row in range(len(x)):
                one = torch.tensor([row])
                threat = case.threat.with_eps(1.3 * float(distance[row]))
                trial = _attempt(replace(case, threat=threat), model.victim, x[one], goal.select(one), one)
                kind = "targeted" if goal.targeted else "untargeted"
                _need(
                    bool(trial.verdict.success), f"a linear victim {shape} at 1.3 times its distance is not won, {kind}"
                )


def _is_a_value(attack: object) -> None:
    _need(
        dataclasses.is_dataclass(attack) and not isinstance(attack, type), "give a dataclass value, such as MyAttack()"
    )
    _need(callable(attack), "it has no __call__(problem) -> x_adv")
    params = type(attack).__dataclass_params__  # type: ignore[attr-defined]
    _need(params.frozen, "its fields can change during a run; write @dataclass(frozen=True)")
    for fact, kind in (("access", Access), ("minimises", bool), ("paper", str)):
        _need(
            isinstance(getattr(attack, fact, None), kind), f"`{fact}` must be a class attribute of type {kind.__name__}"
        )
    copy = replace(attack)  # type: ignore[type-var]
    _need(
        copy == attack and hash(copy) == hash(attack),
        "two values with the same fields are not equal, or hash differently",
    )


def _refuses(attack: Attack, threat: Threat) -> bool:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    try:
        _attempt(Case(attack, threat), victim, x, _untargeted(victim, x))
    except InputError:
        return True
    except Exception:  # any other error is the checks' to report
        return False
    return False


def _inside(case: Case, victim: Victim, x: Tensor, threat: Threat, where: str) -> None:
    trial = _attempt(replace(case, threat=threat), victim, x, _untargeted(victim, x))
    outside = int((~trial.verdict.feasible).sum())
    _need(outside == 0, f"{outside} of {len(x)} points leave the set or the box: {where}, eps={threat.eps:g}")
    _need(trial.x_adv.dtype == x.dtype, f"returned {trial.x_adv.dtype} for {x.dtype} inputs")


def _attempt(case: Case, victim: Victim, x: Tensor, goal: Classify, ids: Tensor | None = None) -> Trial:
    return attempt(case.attack, victim, case.threat, x, goal, torch.arange(len(x)) if ids is None else ids, seed=3)


def _propose(case: Case, victim: Victim, x: Tensor, goal: Classify, ledger: Ledger) -> Tensor:
    """The attack's answer without the judge's own queries, and on the caller's own x."""
    region = case.threat.around(x, victim.lower, victim.upper)
    oracle = Oracle(victim, ledger, case.attack.access)
    with torch.no_grad():
        return case.attack(Problem(region, goal, oracle, Streams.seeded(3, torch.arange(len(x)))))


def _untargeted(victim: Victim, x: Tensor) -> Classify:
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


def _need(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)
