"""`brittle.evaluate`: from a model and data to robust accuracy over a grid of perturbation sizes, resumable."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn

from .. import __version__
from ..attacks import Noise, Restarts, TransferStart, parse_attack
from ..attacks.registry import entry_of
from ..core.access import Access
from ..core.bounds import Given, plain
from ..core.chance import MOST
from ..core.problem import Attack, Threat
from ..core.recording import recording
from ..core.trial import check_access
from ..core.victim import Victim
from ..data.samples import Samples, as_data
from ..errors import InputError
from ..ranges import check_counts, check_seed
from ..report.numbers import Summary
from ..report.read import read_run
from ..report.screen import Screen
from ..report.terminal import chain_table, footnote, stage_notes, summary_table
from ..report.words import interval, percent
from ..runs.cells import cells
from ..runs.classify import build, cells_of
from ..runs.identity import source_digest
from ..runs.plan import AttackEntry, Plan, expand
from ..runs.rows import Row
from ..runs.runner import run
from ..runs.store import Store, refuse_another
from ..runs.values import decode, encode
from ..tasks.classification import Classification, parse_goal
from ..threats import as_threat, parse_threat
from ..victims.open import opened, with_output
from ..victims.preprocess import as_taken
from .chain import fitted, names_in, stages_of
from .examine import Examination, examined, within
from .forecast import Forecast
from .given import as_attack
from .names import names_of
from .progress import Progress, log, progress_bar
from .start import transfer_start
from .trying import try_out

BESIDE = ("uniform_noise", "fgsm")  # what everybody knows, beside the chain where no attacks are given
BASELINE = "uniform_noise"  # what every attack is compared with, also where it is not asked for
FRACTIONS = (0.25, 0.5, 0.75, 1.0, 1.5)  # of the question's eps: the grid where none is given

Attacks = str | Attack | Sequence[str | Attack] | Mapping[str, str | Attack]


@dataclass(frozen=True, repr=False)
class Report:
    """What an evaluation found. Its numbers are computed from the rows in its folder."""

    plan: Plan
    summary: Summary
    folder: Path
    _temporary: Any = None  # keeps a temporary folder alive as long as the report

    @property
    def rows(self) -> list[Row]:
        """One record for each sample, attack and eps, read from the folder; see docs/architecture.md for the columns."""
        return Store(self.folder).rows(self.plan)

    @property
    def robust_accuracy(self) -> float:
        """Share of samples that are right and that nothing tried here fools at the question's eps: an upper bound on the truth."""
        return self.summary.headline.robust.value

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % Clopper-Pearson interval over the choice of samples."""
        return self.summary.headline.robust.low, self.summary.headline.robust.high

    @property
    def clean_accuracy(self) -> float:
        """Share of samples that are right untouched."""
        return self.summary.clean.value

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt these numbers, in words."""
        return [f"{doubt.measured} {doubt.why} {doubt.mend}" for doubt in self.summary.doubts]

    def __repr__(self) -> str:
        robust = self.summary.headline.robust
        return (
            f"Report(robust accuracy {percent(robust)} {interval(robust)} at {self.summary.threat} "
            f"eps={self.plan.eps:g}, clean {percent(self.summary.clean)}, {len(self.warnings)} warnings)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the table of `show`, and the warnings."""
        from ..report.notebook import summary_html

        return summary_html(self.summary)

    def frame(self) -> Any:
        """The rows as a pandas DataFrame. MissingPackage where pandas is not installed."""
        from ..report.export import frame

        return frame(self.folder)

    def examples(self, attack: str | None = None, eps: float | None = None) -> dict[str, Tensor]:
        """The adversarial examples that were kept, of the first `keep` samples: `x_adv` (K, *S) float32, `id`, `label` and `predicted`
        (K,) int64, and `success` (K,) bool.

        attack: the name of an attack or stage; None: of each sample one that fooled the model, by whatever attack, or else its last. eps:
        a radius of the grid; None: that of the question. InputError where there is no such attack or radius.
        """
        from .kept import kept_examples

        return kept_examples(self.folder, attack, self.plan.eps if eps is None else eps)

    def show(self, console: Console | None = None) -> None:
        """Print the table of accuracies with their intervals, and the warnings."""
        console = console or Screen()
        console.print(summary_table(self.summary))
        console.print(footnote(self.summary), style="dim", highlight=False)
        if self.summary.chain:
            console.print(chain_table(self.summary))
            console.print(stage_notes(self.summary))
        if self.summary.added:
            console.print(f"[bold]{escape(self.summary.added.sentence)}[/bold]", highlight=False, markup=True)
        for warning in self.warnings:
            console.print(f"[yellow]warning[/yellow] {escape(warning)}", highlight=False, markup=True)

    def save(self, path: str | Path) -> Path:
        """Write the HTML report: one file, no network needed."""
        from ..report.page import write_report  # here: matplotlib comes with it, and most runs are read on the terminal

        return write_report(self.folder, Path(path))


@recording
def evaluate(
    model: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object,
    threat: str | Threat,
    *,
    attacks: Attacks | None = None,
    effort: str | None = None,
    start_from: str | None = None,
    start_attack: str | Attack = "mifgsm",
    prove: bool = True,
    grid: Sequence[float] | None = None,
    samples: int | None = None,
    goal: str = "untargeted",
    out: str | Path | None = None,
    seed: int = 0,
    batch_size: int = 256,
    shard: int = 500,
    workers: int = 1,
    keep: int = 12,
    bounds: Given | None = None,
    device: str | None = None,
    trust: bool = False,
    output: str | int | None = None,
    progress: Progress | bool = True,
) -> Report:
    """Robust accuracy of `model` on `data` under `threat` for each attack, for random noise, and for all of them together.

    model: a module, callable, Victim or VICTIM string. data: a pair (x, labels), Dataset, DataLoader or DATA string. threat: a value or
    a string such as "linf:8/255"; its eps is the question. effort: quick, standard (where no attacks are given) or exhaustive: a chain of
    attacks from cheap to dear, each on what those before it left open, see `app/efforts.py`. The model is looked at first; where its
    gradients cannot be believed, remedies that were seen to help and attacks that need no gradient join the chain. prove: look for proofs
    too (`brittle.certify`), on what the first stage left open, if on a few samples one is found. attacks: values, strings or a dict from
    name to either, each on every sample, beside the chain if an effort is given too; uniform noise is added where no noise is among them.
    start_from: a VICTIM string of a surrogate with gradients; what only asks the model begins where `start_attack` ends on it.
    grid: the eps to try (default: quarters of the question's eps up to it, and 1.5 times it, where that still means something). samples:
    the first so many. goal: untargeted, least-likely, second, random or class:N. out: the run's folder; run again with the same arguments
    it does only what is missing (default: a temporary folder). workers: processes; more than one needs model and data as strings. keep:
    samples whose adversarial examples are kept for the gallery. bounds: the model's input range (default: the data's). output: which
    part of what the model returns is the logits (a key, an attribute, an index), or `logit` or `probability` for two classes, or both as in
    `score:logit`. progress: a bar on
    the terminal, or a function (done, in all, what: first the parts of the look at the model, then rows and the name of the attack).
    """
    check_counts(workers=workers, samples=samples, batch_size=batch_size, shard=shard)
    check_counts(0, keep=keep)
    check_seed(seed)
    threat = as_threat(threat)
    parse_goal(goal)
    samples_of = as_data(data, bounds or (0.0, 1.0))
    if isinstance(model, str) and output is not None:
        model, output = with_output(model, output), None  # a plan that holds the string reads the same outputs
    victim = opened(model, device, trust, bounds or samples_of.bounds, output)
    samples_of = as_taken(samples_of, victim)
    if workers > 1 and not (isinstance(model, str) and isinstance(data, str)):
        raise InputError(
            f"workers={workers} needs the model and the data as strings, which each process opens for itself; "
            "give for example 'py:module:function' and 'mnist', or workers=1"
        )
    radii, looked_at = _grid(threat, grid, samples_of, victim), None
    entries = _entries(BESIDE if attacks is None else attacks, threat)
    if attacks is None:
        entries = within(victim.access, entries)
    start = None if start_from is None else _start(start_from, start_attack, victim, effort, attacks, device, trust)
    entries = tuple(_begun(entry, start) for entry in entries)
    for entry in entries:
        check_access(decode(entry.value, entry.name), victim)
    plan = Plan(
        victim=model if isinstance(model, str) else victim.name,
        data=data if isinstance(data, str) else samples_of.name,
        threat=encode(threat, "threat"),
        eps=float(threat.eps),
        grid=radii,
        attacks=entries,
        goal=goal,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        shard=shard,
        keep=keep,
    )
    if effort or attacks is None:
        stages = tuple(_begun(stage, start) for stage in stages_of(effort or "standard", threat, victim.access))
        try_out(victim, samples_of)
        if out is not None:
            refuse_another(Path(out), resolve(plan, victim, samples_of))
        with progress_bar(progress, lambda *_: None) as advance:  # how long the run takes is known once it has begun
            looked_at = examined(
                victim,
                samples_of,
                threat,
                goal=goal,
                count=min(samples or len(samples_of), len(samples_of)),
                seed=seed,
                prove=prove,
                folder=Path(out) if out is not None else None,
                on_progress=advance,
            )
        proof = (looked_at.proof.entry,) if looked_at.proof.entry else ()
        chain = (*stages[:1], *proof, *stages[1:])
        entries = within(Access.SCORES, entries) if looked_at.blind else entries + chain
        plan = replace(plan, attacks=entries + looked_at.stages, draws=looked_at.judged)
    return run_plan(
        plan,
        victim,
        samples_of,
        out=out,
        looked_at=looked_at,
        workers=workers,
        device=device,
        trust=trust,
        progress=progress,
    )


@recording
def run_plan(
    plan: Plan,
    victim: Victim,
    data: Samples,
    *,
    out: str | Path | None = None,
    looked_at: Examination | None = None,
    workers: int = 1,
    device: str | None = None,
    trust: bool = False,
    progress: Progress | bool = True,
) -> Report:
    """Run what is missing of a plan in the folder `out`, on an opened victim and data; `looked_at` is noted there."""
    random = try_out(victim, data, twice=looked_at is None and plan.draws == 1)
    plan = resolve(replace(plan, draws=MOST) if random else plan, victim, data)
    cells(plan)  # what cannot run is said before anything is written
    task = cells_of(plan, Classification(victim, data, plan.goal, plan.batch_size, draws=plan.draws))
    temporary = tempfile.TemporaryDirectory(prefix="brittle-") if out is None else None
    folder = Path(temporary.name if temporary else str(out))
    started, clock = datetime.now().astimezone(), time.perf_counter()
    with Store(folder).open(plan) as store:
        if looked_at:
            store.note(looked_at.noted())
        try:
            maker = partial(build, device=device, trust=trust)
            forecast = Forecast.of(plan, store)
            log.info("evaluating %s on %s at eps %g, rows in %s", plan.victim, plan.data, plan.eps, folder)
            with progress_bar(progress, forecast.left) as advance:
                run(plan, store, task, workers=workers, build=maker, on_progress=advance)
        finally:
            store.invocation(
                command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                started=started,
                seconds=time.perf_counter() - clock,
                workers=workers,
                device=str(victim.device),
            )
    report = Report(plan, read_run(folder).summary, folder, temporary)
    for warning in report.warnings:
        log.warning("%s", warning)
    log.info("finished: %r", report)
    return report


def resolve(plan: Plan, victim: Victim, data: Samples) -> Plan:
    """The plan with its texts expanded and with what its names stand for, by content."""
    plan = expand(plan, parse_attack, parse_threat)
    resolved = {
        "victim_digest": victim.digest,
        **({"victim_hidden": victim.hidden} if victim.hidden else {}),
        "data_digest": data.digest,
        "source_digest": source_digest(),
        "count": len(data),
        "classes": list(data.classes),
        "shape": list(data.shape),
        "bounds": plain(data.bounds),
        "version": __version__,
    }
    return replace(plan, resolved=resolved)


def _grid(threat: Threat, grid: Sequence[float] | None, data: Samples, victim: Victim) -> tuple[float, ...]:
    """Ascending, with the question's eps, and checked against the input range before anything runs."""
    x, _ = data.batch([0])
    if grid is not None:
        chosen = sorted({*map(float, grid), float(threat.eps)})
        for eps in chosen:
            threat.with_eps(eps).around(x, victim.lower, victim.upper)
        return tuple(chosen)
    threat.around(x, victim.lower, victim.upper)
    if threat.with_eps(0.0) == threat:  # a threat without a size, or of size zero
        return (float(threat.eps),)
    chosen = []
    for fraction in FRACTIONS:
        eps = threat.eps * fraction if threat.name != "l0" else float(round(threat.eps * fraction))
        try:
            threat.with_eps(eps).around(x, victim.lower, victim.upper)
        except InputError:
            continue  # beyond the input range: 1.5 times the question's eps may be
        chosen.append(eps)
    return tuple(sorted({*chosen, float(threat.eps)} - {0.0}))


def _entries(attacks: Attacks, threat: Threat) -> tuple[AttackEntry, ...]:
    """Name, role and value of each attack, under a union for each ball, and of the noise baseline; a string is its own name."""
    if isinstance(attacks, str | Attack):
        attacks = [attacks]
    pairs = [*attacks.items()] if isinstance(attacks, Mapping) else [*zip(names_of(attacks), attacks, strict=True)]
    if not pairs:
        raise InputError("no attack is given; name at least one, such as 'pgd'")
    entries = []
    for name, value in pairs:
        attack = as_attack(value)
        about = entry_of(value).about if isinstance(value, str) else ""
        if _is_noise(attack):
            entries.append(AttackEntry(name=name, role="noise", value=encode(attack, name), about=about))
            continue
        norms = entry_of(value).norms.split() if isinstance(value, str) else names_in(threat)
        fit = encode(fitted(attack, threat, norms, name), name)
        entries.append(AttackEntry(name=name, role="attack", value=fit, about=about))
    if all(entry.role != "noise" for entry in entries):
        value = encode(parse_attack(BASELINE), BASELINE)
        entries.insert(0, AttackEntry(name=BASELINE, role="noise", value=value, about=entry_of(BASELINE).about))
    return tuple(entries)


def _start(
    surrogate: str,
    attack: str | Attack,
    victim: Victim,
    effort: str | None,
    attacks: Attacks | None,
    device: str | None,
    trust: bool,
) -> TransferStart:
    """What lacks its second attack yet. InputError where the chain would follow the model's own gradients."""
    if victim.access is Access.GRADIENT and (effort or attacks is None):
        raise InputError(
            f"{victim.name} gives gradients, which the chain follows; to begin from a surrogate name attacks that only ask, such as square"
        )
    bounds = victim.bounds
    return transfer_start(surrogate, parse_attack(BASELINE), first=attack, bounds=bounds, device=device, trust=trust)


def _begun(entry: AttackEntry, start: TransferStart | None) -> AttackEntry:
    """The entry, begun where the surrogate was fooled; noise is as it is."""
    if start is None or entry.role == "noise":
        return entry
    value = replace(start, then=decode(entry.value, entry.name))
    return replace(entry, value=encode(value, entry.name))


def _is_noise(attack: Attack) -> bool:
    return isinstance(attack, Noise) or (isinstance(attack, Restarts) and _is_noise(attack.attack))
