"""The checks put to one model: what was found, and what it cost."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from ..core.access import Access
from ..core.checks import check_labels, check_outputs
from ..core.problem import Threat
from ..core.victim import Victim, refuse_training_mode
from ..errors import Unreachable
from ..findings import Finding
from ..report.screen import Screen
from ..report.words import counted
from ..threats import Box, Union
from .checks import CHECKS, Check
from .probe import Probe

MOST = 64  # samples of a probe
ELSEWHERE = {"training-mode", "normalisation", "bounds", "batch", "chance"}  # findings that say nothing of gradients
SHORT = {"not-converged"}  # of attacks that were too short, for true gradients too: what mends them is more steps


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Findings, in the order of the checks, each at most once; what was charged a sample; how many samples and which checks were run."""

    findings: tuple[Finding, ...]
    forwards: float
    backwards: float
    samples: int
    checks: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the findings."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def suspicious(self) -> bool:
        """Whether something was found that may hide adversarial examples from gradients."""
        return _suspicious(self.findings)

    def __repr__(self) -> str:
        found = ", ".join(self.kinds) or "nothing found"
        return f"Diagnosis({found}; {counted(len(self.checks), 'check')} on {counted(self.samples, 'sample')})"

    def show(self, console: Console | None = None) -> None:
        """Print every finding: what was measured, why it matters, what to do."""
        console = console or Screen()
        show_findings(self.findings, console)
        if not self.findings:
            console.print(
                "[green]nothing found[/green] that would make attacks by gradient look weaker than they are",
                highlight=False,
                markup=True,
            )
        console.print(
            f"{counted(len(self.checks), 'check')} on {counted(self.samples, 'sample')}: {self.forwards:,.0f} forwards and "
            f"{self.backwards:,.0f} backwards a sample",
            style="dim",
            highlight=False,
        )


def show_findings(findings: Iterable[Finding], console: Console) -> None:
    """Print of each what was measured, why it matters, what to do."""
    for finding in findings:
        console.print(
            f"[bold yellow]{escape(finding.kind)}[/bold yellow]  {escape(finding.measured)}",
            highlight=False,
            markup=True,
        )
        console.print(f"  {escape(finding.why)}", style="dim", highlight=False, markup=True)
        console.print(f"  [bold]What to do:[/bold] {escape(finding.mend)}\n", highlight=False, markup=True)


def diagnose_victim(
    victim: Victim,
    x: Tensor,
    labels: Tensor,
    threat: Threat | None,
    *,
    ids: Tensor | None = None,
    others: tuple[Tensor, Tensor] | None = None,
    dear: bool | None = False,
    seed: int = 0,
) -> Diagnosis:
    """Put the checks to a victim on x (B, *S) with labels (B,) under the threat; the victim comes back as it was.

    Under a union the checks that rest on the threat are put for one ball after the other, until one finds something; under None they are
    left out.
    ids: (B,) the samples' names, on which their random numbers rest. others: further samples (x, labels) of the same data. dear: the dear
    checks too; None: where the cheap ones found something that may hide adversarial examples. A victim in training mode is looked at in
    evaluation mode, on a copy. One that gives no gradient is asked little: only what needs none, and about x alone.
    """
    others = others if victim.access is Access.GRADIENT else None
    ids = torch.arange(len(x)) if ids is None else ids
    training = (
        tuple(name or "the model" for name, m in victim.module.named_modules() if m.training) if victim.module else ()
    )
    if training and victim.module is not None and victim.forward is not victim.module:
        refuse_training_mode(victim.module)  # of a forward of its own there is no copy in evaluation mode
    as_given, victim = (_copy(victim), _copy(victim, evaluate=True)) if training else (None, victim)
    balls = threat.balls if isinstance(threat, Union) else (threat or Box(),)
    probe = Probe(victim, x, labels, balls[0], ids, seed, others, training, as_given)
    with probe.victim.undisturbed(seed):
        classes = check_outputs(
            probe.outputs.nan_to_num() if isinstance(probe.outputs, Tensor) else probe.outputs, len(x)
        ).shape[1]
        for given in (labels, *(others or ())[1:]):
            check_labels(given, len(given), classes)
        found = list(_broken(probe))
        probes = [probe, *(probe.under(ball) for ball in balls[1:])]
        tried: list[str] = []
        for late in (False, True):
            if "non-finite" in [finding.kind for finding in found] or (
                late and not (_suspicious(found) if dear is None else dear)
            ):
                break
            for kind, check in CHECKS.items():
                if check.dear is late and victim.access.gives(check.needs) and (threat is not None or not check.threat):
                    found += _first(_look(kind, check, one) for one in (probes if check.threat else probes[:1]))
                    tried.append(kind)
    count = max(len(x), 1)
    return Diagnosis(tuple(found), probe.spent.forwards / count, probe.spent.backwards / count, len(x), tuple(tried))


def _suspicious(findings: Iterable[Finding]) -> bool:
    return any(finding.kind not in ELSEWHERE | SHORT for finding in findings)


def _first(findings: Iterable[list[Finding]]) -> list[Finding]:
    """Those of the first ball under which there are any."""
    return next(filter(None, findings), [])


def _look(kind: str, check: Check, probe: Probe) -> list[Finding]:
    try:
        return list(check.look(probe))
    except Unreachable:
        raise
    except Exception as error:  # of the model's own, whatever it is: the other checks go on
        if "use_reentrant" in str(error):
            raise  # no check that follows a gradient can be made
        return [
            Finding(
                "unmeasured",
                f"The check {kind} ended in {type(error).__name__}: {error}",
                "What it would have found is not known; attacks by gradient may end in the same error.",
                "Mend the cause, and diagnose again.",
            )
        ]


def _broken(probe: Probe) -> Iterator[Finding]:
    """Outputs with which nothing can be measured."""
    bad = ~probe.outputs.isfinite().all(1)
    if bool(bad.any()):
        yield Finding(
            "non-finite",
            f"The outputs for {int(bad.sum())} of {counted(len(bad), 'sample')} are NaN or infinite.",
            "No verdict is possible there, and no other check was made.",
            "Look for a division by zero, a log of zero or an overflow in the model.",
        )
    elif not len(probe.rows):
        yield Finding(
            "chance",
            f"The model gets none of {counted(len(bad), 'untouched sample')} right.",
            "There is nothing to attack, so nothing about its gradients was measured.",
            "Check the input range, the preprocessing inside the model and the order of the labels, or give other samples.",
        )


def _copy(victim: Victim, evaluate: bool = False) -> Victim:
    """The victim with a module of its own, in evaluation mode if asked: what training mode does to its statistics, it does to the copy."""
    module = copy.deepcopy(victim.module)
    assert module is not None
    return replace(victim, forward=module.eval() if evaluate else module, module=module)
