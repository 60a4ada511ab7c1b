"""A look at the model before it is attacked: what speaks against its gradients, which stages that calls for, what can be proved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..attacks import parse_attack
from ..attacks.combine.through import Through
from ..attacks.fixed.recipes import apgd, apgdt
from ..attacks.remedies import Remedy
from ..core.access import Access
from ..core.chance import MOST as MOST_ANSWERS
from ..core.problem import Attack, Threat
from ..core.victim import Victim
from ..data.samples import Samples
from ..diagnosis.checks.randomness import draws_needed
from ..diagnosis.diagnose import Diagnosis, diagnose_victim
from ..diagnosis.probe import Probe
from ..diagnosis.remedy import try_remedies
from ..findings import Finding
from ..runs.identity import content_hash, source_digest
from ..runs.plan import AttackEntry
from ..runs.store import Store
from ..runs.values import decode, encode
from .asking import crowd
from .chain import fitted, names_in
from .efforts import BALLS, RAYS, SQUARES
from .progress import Progress
from .prove import Provability, provability

FEWEST, MOST, PART = 8, 32, 4  # samples that are looked at: one in so many, and no fewer and no more than these
CROWD = 1000  # further samples, for what a few cannot show
GRADIENTS = 32  # that an attack averages at most
PARTS = ("diagnosis", "proofs", "remedies")  # of an examination, one after another; the last where something was found


@dataclass(frozen=True)
class Examination:
    """What was found, the stages that it calls for, and the proof worth looking for. `key`: of all that this rests on; `seconds`: of the
    whole look."""

    key: str
    diagnosis: Diagnosis
    stages: tuple[AttackEntry, ...]
    proof: Provability
    seconds: float

    @property
    def blind(self) -> bool:
        """Whether autograd never comes back to the input, so that attacks by gradient cannot run on the model as it is."""
        return "no-gradient" in self.diagnosis.kinds

    @property
    def judged(self) -> int:
        """Answers that the judge hears about a point, at most."""
        return MOST_ANSWERS if "random" in self.diagnosis.kinds else 1

    def noted(self) -> dict[str, Any]:
        """As plain data, for diagnosis.json."""
        own = {"stages": _plain(self.stages), "proof": asdict(self.proof), "seconds": self.seconds}
        return {"key": self.key, **asdict(self.diagnosis), **own}


def examined(
    victim: Victim,
    data: Samples,
    threat: Threat,
    *,
    goal: str,
    count: int,
    seed: int,
    prove: bool,
    folder: Path | None,
    on_progress: Progress | None = None,
) -> Examination:
    """Look at a few of the first `count` samples; what the run's folder knows of the same question already is not asked again.

    The cheap checks come first; where they find something, the dear ones follow, and remedies are tried.
    """
    asked = [victim.digest, data.digest, encode(threat, "threat"), goal, count, seed, prove, source_digest()]
    key = content_hash([*asked, source_digest(("diagnosis", "app"))])
    known = _recalled(folder, key)
    if known is not None:
        return known
    begun, say = time.perf_counter(), on_progress or (lambda *_: None)
    closed = victim.access is not Access.GRADIENT  # it is asked little: each question may have its price
    few = min(FEWEST if closed else max(FEWEST, min(count // PART, MOST)), len(data))
    x, labels = data.batch(range(few))
    others = crowd(data, few, CROWD)
    say(0, len(PARTS), PARTS[0])
    diagnosis = diagnose_victim(victim, x, labels, threat, others=others, dear=None, seed=seed)
    say(1, len(PARTS), PARTS[1])
    if closed:
        proof = Provability(None, "a certificate looks into the layers, which are not shown")
        return Examination(key, diagnosis, (), proof, time.perf_counter() - begun)
    proof = provability(victim, data, threat, goal) if prove else Provability(None, "none was asked for")
    if not diagnosis.suspicious:
        return Examination(key, diagnosis, (), proof, time.perf_counter() - begun)
    say(2, len(PARTS), PARTS[2])
    x = victim.clamp(x.to(victim.device, victim.dtype))
    labels = labels.to(victim.device).long()
    mending = try_remedies(victim, x, labels, threat, diagnosis.findings, seed)
    draws = _draws(victim, x, labels, threat, seed) if "random" in diagnosis.kinds else 1
    stages = _called_for(mending.remedies, draws, threat)
    return Examination(key, diagnosis, stages, proof, time.perf_counter() - begun)


def _draws(victim: Victim, x: Tensor, labels: Tensor, threat: Threat, seed: int) -> int:
    """Gradients that an attack averages on a model that answers at random."""
    with victim.undisturbed(seed):
        probe = Probe(victim, x, labels, threat, torch.arange(len(x)), seed)
        return min(max(draws_needed(probe), 2), GRADIENTS) if probe.differentiable else GRADIENTS


def _called_for(remedies: tuple[Remedy, ...], draws: int, threat: Threat) -> tuple[AttackEntry, ...]:
    """Stages beyond those of the effort: through the remedies, over the draws, and without gradients."""
    norms = names_in(threat)
    stages: dict[str, tuple[Attack, Sequence[str], str]] = {}
    if remedies or draws > 1:
        name = "mended gradients" if remedies else "averaged gradients"
        how = (
            "the gradients of the model with what hides them mended"
            if remedies
            else f"means of {draws} random gradients"
        )
        climb, each = apgd(40, loss="margin", draws=draws), apgdt(20, loss="margin", draws=draws)
        stages[name] = _through(climb, remedies), norms, f"forty steps along {how}"
        stages[f"{name}, to each class"] = _through(each, remedies), norms, f"steps along {how} to each likely class"
    if {*norms} & {*BALLS}:
        stages["without gradients"] = parse_attack("square:queries=2000"), BALLS, SQUARES
    if "linf" in norms:
        stages["by labels alone"] = parse_attack("rays:queries=1000"), ("linf",), RAYS
    return tuple(
        AttackEntry(name=name, role="stage", value=encode(fitted(attack, threat, meant, name), name), about=about)
        for name, (attack, meant, about) in stages.items()
    )


def _through(attack: Attack, remedies: tuple[Remedy, ...]) -> Attack:
    return Through(attack, remedies) if remedies else attack


def within(access: Access, entries: tuple[AttackEntry, ...]) -> tuple[AttackEntry, ...]:
    """Those whose attacks need no more than this."""
    return tuple(entry for entry in entries if access.gives(decode(entry.value, entry.name).access))


def _recalled(folder: Path | None, key: str) -> Examination | None:
    """What diagnosis.json of the folder holds, if it is of the same question and whole."""
    if folder is None or not (folder / "diagnosis.json").is_file():
        return None
    try:
        noted = dict(Store(folder).noted())
        if noted.pop("key") != key:
            return None
        stages = tuple(AttackEntry(**entry) for entry in noted.pop("stages"))
        proof, seconds = noted.pop("proof"), float(noted.pop("seconds"))
        entry = AttackEntry(**proof["entry"]) if proof["entry"] else None
        findings = tuple(Finding(**finding) for finding in noted.pop("findings"))
        if any(
            finding.kind == "unmeasured" for finding in findings
        ):  # a check that failed is tried again by the next start
            return None
        diagnosis = Diagnosis(findings=findings, **{**noted, "checks": tuple(noted["checks"])})
        return Examination(key, diagnosis, stages, Provability(entry, proof["why_none"]), seconds)
    except (ValueError, KeyError, TypeError):
        return None


def _plain(entries: tuple[AttackEntry, ...]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in entries]
