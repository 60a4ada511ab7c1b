"""A look at the model before it is attacked: what speaks against its gradients, and which stages that calls for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..attacks import parse_attack
from ..attacks.combine.through import Through
from ..attacks.fixed.recipes import apgd, apgdt
from ..attacks.remedies import Remedy
from ..core.oracle import Access
from ..core.problem import Attack, Threat
from ..core.victim import Victim
from ..data.samples import Samples
from ..diagnosis.checks.randomness import draws_needed
from ..diagnosis.diagnose import Diagnosis, diagnose_victim
from ..diagnosis.probe import Probe
from ..diagnosis.remedy import try_remedies
from ..runs.plan import AttackEntry
from ..runs.values import decode, encode

FEWEST, MOST_SAMPLES, PART = 8, 32, 4  # that are looked at: one in so many, and no fewer and no more than these
CROWD = 1000  # further samples, for what a few cannot show
JUDGED = 32  # answers that the judge averages where the model answers at random
MOST = 32  # gradients that an attack averages at most


@dataclass(frozen=True)
class Examination:
    """What was found, the remedies that were seen to help, and how many gradients an attack should average (1: the model is not random)."""

    diagnosis: Diagnosis
    remedies: tuple[Remedy, ...] = ()
    draws: int = 1

    @property
    def suspicious(self) -> bool:
        """Whether something was found that may hide adversarial examples from gradients."""
        return self.diagnosis.suspicious

    @property
    def blind(self) -> bool:
        """Whether autograd never comes back to the input, so that attacks by gradient cannot run on the model as it is."""
        return "no-gradient" in self.diagnosis.kinds

    @property
    def judged(self) -> int:
        """Answers that the judge averages."""
        return JUDGED if "random" in self.diagnosis.kinds else 1

    def noted(self, threat: Threat) -> dict[str, Any]:
        """As plain data, for the run's folder."""
        return {
            "findings": [asdict(finding) for finding in self.diagnosis.findings],
            "checks": list(self.diagnosis.checks),
            "samples": self.diagnosis.samples,
            "forwards": self.diagnosis.forwards,
            "backwards": self.diagnosis.backwards,
            "remedies": [repr(remedy) for remedy in self.remedies],
            "draws": self.draws,
            "stages": [entry.name for entry in called_for(self, threat)],
        }


def examine(victim: Victim, data: Samples, threat: Threat, count: int, seed: int) -> Examination:
    """Put the cheap checks to a few of the first `count` samples; where they find something, the dear ones too, and try remedies."""
    few = min(max(FEWEST, min(count // PART, MOST_SAMPLES)), len(data))
    x, labels = data.batch(range(few))
    others = data.batch(range(few, min(few + CROWD, len(data))))
    diagnosis = diagnose_victim(victim, x, labels, threat, others=others, dear=None, seed=seed)
    if not diagnosis.suspicious:
        return Examination(diagnosis)
    x = x.to(victim.device, victim.dtype).clamp(victim.lower, victim.upper)
    labels = labels.to(victim.device).long()
    mending = try_remedies(victim, x, labels, threat, diagnosis.findings, seed)
    draws = 1
    if "random" in diagnosis.kinds:
        with victim.undisturbed(seed):
            probe = Probe(victim, x, labels, threat, torch.arange(few), seed)
            draws = min(max(draws_needed(probe), 2), MOST) if probe.differentiable else MOST
    return Examination(diagnosis, mending.remedies, draws)


def called_for(found: Examination, threat: Threat) -> tuple[AttackEntry, ...]:
    """Stages beyond those of the effort: through the remedies, over the draws, and without gradients."""
    if not found.suspicious:
        return ()
    stages: dict[str, Attack] = {}
    if found.remedies or found.draws > 1:
        name = "mended" if found.remedies else "averaged"
        stages[name] = _through(apgd(40, loss="margin", draws=found.draws), found.remedies)
        stages[f"{name} to each class"] = _through(apgdt(20, loss="margin", draws=found.draws), found.remedies)
    if threat.name in ("linf", "l2", "l1"):
        stages["without gradients"] = parse_attack("square:queries=2000")
    if threat.name == "linf":
        stages["by labels alone"] = parse_attack("rays:queries=1000")
    return tuple(AttackEntry(name=name, role="stage", value=encode(attack, name)) for name, attack in stages.items())


def without_gradients(entries: tuple[AttackEntry, ...]) -> tuple[AttackEntry, ...]:
    """Those whose attacks need no gradient."""
    return tuple(entry for entry in entries if decode(entry.value, entry.name).access is not Access.GRADIENT)


def _through(attack: Attack, remedies: tuple[Remedy, ...]) -> Attack:
    return Through(attack, remedies) if remedies else attack
