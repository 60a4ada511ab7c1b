"""Try an attack, ours or a stranger's, against every law there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

from ..core.access import Access
from ..core.problem import Attack, Threat
from ..errors import InputError
from ..threats import l0, l1, l2, linf
from .findings import Finding, run_checks
from .laws import CHECKS, Case, need, propose_and_judge, untargeted
from .victims import inputs, network

THREATS: tuple[Threat, ...] = (linf(0.1), l2(0.3), l1(0.5), l0(2))


def check_attack(attack: object, threats: Sequence[Threat] | None = None, ratio: float = 1.02) -> list[Finding]:
    """Try the attack against every law of CHECKS under each threat (default: linf, l2, l1 and l0 balls).

    A law that does not hold is a finding with `passed` False and a sentence, never an exception. A default threat that
    the attack refuses with an InputError is left out. `ratio`: how far above the optimum an attack that minimises may end
    on linear victims. Give threats without a mask: a law of its own tries one. Victims
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
        findings += run_checks(CHECKS, Case(attack, threat, ratio), f"{kind} under {threat.name}")
    return findings


def assert_conforms(attack: object, threats: Sequence[Threat] | None = None, ratio: float = 1.02) -> None:
    """For pytest: raises AssertionError with the sentence of every law that does not hold.

    >>> def test_my_attack():
    ...     assert_conforms(MyAttack(steps=10), [brittle.linf(0.1)])
    """
    failed = [
        f"{finding.name}: {finding.sentence}" for finding in check_attack(attack, threats, ratio) if not finding.passed
    ]
    if failed:
        raise AssertionError("\n".join(failed))


def _is_a_value(attack: object) -> None:
    need(
        dataclasses.is_dataclass(attack) and not isinstance(attack, type), "give a dataclass value, such as MyAttack()"
    )
    need(callable(attack), "it has no __call__(problem) -> x_adv")
    params = type(attack).__dataclass_params__  # type: ignore[attr-defined]
    need(params.frozen, "its fields can change during a run; write @dataclass(frozen=True)")
    for fact, kind in (("access", Access), ("minimises", bool), ("paper", str)):
        need(
            isinstance(getattr(attack, fact, None), kind), f"`{fact}` must be a class attribute of type {kind.__name__}"
        )
    copy = replace(attack)  # type: ignore[type-var]
    need(
        copy == attack and hash(copy) == hash(attack),
        "two values with the same fields are not equal, or hash differently",
    )


def _refuses(attack: Attack, threat: Threat) -> bool:
    victim, x = network((3, 4)), inputs((3, 4), bounds=(0.0, 1.0))
    try:
        propose_and_judge(Case(attack, threat), victim, x, untargeted(victim, x))
    except InputError:
        return True
    except Exception:  # any other error is the checks' to report
        return False
    return False
