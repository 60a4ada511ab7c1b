"""`brittle.inspect`: what a victim is, what it answers, what it costs, and what looks wrong, before anything attacks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from ..core.access import Access
from ..core.bounds import Bounds, Given
from ..core.bounds import interval as range_of
from ..core.recording import recording
from ..core.victim import Victim
from ..data.samples import Samples, as_data
from ..diagnosis.diagnose import MOST, diagnose_victim, show_findings
from ..errors import InputError
from ..findings import Finding
from ..ranges import check_counts, check_seed
from ..report.screen import Screen
from ..report.shares import Share, share
from ..report.words import amount, counted, interval, percent, several
from ..victims.preprocess import Prepared, as_taken
from .asking import answers, seconds_of
from .diagnose import open_as_it_is, widened
from .mistakes import failed, mistakes, refused, too_few

TIMED = 8  # samples whose forward and backward are timed together
GIVES = {Access.GRADIENT: "scores and gradients", Access.SCORES: "scores", Access.LABELS: "labels alone"}


@dataclass(frozen=True, repr=False)
class Inspection:
    """What was found. accuracy, outputs (least, largest) and seconds a sample (forward, backward) are None where nothing was asked."""

    name: str
    architecture: str
    parameters: int
    weights: str  # their type, and where they are
    access: str
    shape: tuple[int, ...]  # of one input; empty: any, or not known
    bounds: Bounds
    preparation: str  # what happens to an input inside; empty: nothing that is known of
    classes: int  # 0: not known
    names: tuple[str, ...]
    asked: str  # about what the model was asked; empty: about nothing
    accuracy: Share | None
    outputs: tuple[float, float] | None
    seconds: tuple[float, float | None] | None
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        found = ", ".join(finding.kind for finding in self.findings) or "nothing wrong"
        return f"Inspection({self.architecture} of {counted(self.parameters, 'parameter')}; {found})"

    def lines(self) -> dict[str, str]:
        """What a table says, line by line."""
        low, high = self.bounds
        within = range_of(low, high)
        if isinstance(low, float) and isinstance(high, float):
            within = f"[{amount(low)}, {amount(high)}]"
        size = " x ".join(map(str, self.shape)) if self.shape else "any size" if self.preparation else "not known"
        said = {
            "victim": self.name,
            "network": self.architecture
            + (f", {counted(self.parameters, 'parameter')} ({self.weights})" if self.parameters else ""),
            "gives": self.access,
            "inputs": f"{size}, in {within}",
            "inside": self.preparation or "no preparation that is known of",
            "classes": self._classes(),
        }
        if self.asked:
            said["asked about"] = self.asked
        if self.accuracy is not None:
            said["accuracy"] = f"{percent(self.accuracy)} {interval(self.accuracy)}"
        if self.outputs is not None:
            said["outputs"] = f"{amount(self.outputs[0])} to {amount(self.outputs[1])}"
        if self.seconds is not None:
            forward, backward = self.seconds
            said["a sample costs"] = f"{_milliseconds(forward)} forward" + (
                f", {_milliseconds(backward)} forward and backward" if backward is not None else ""
            )
        return said

    def show(self, console: Console | None = None) -> None:
        """Print the table, and what looks wrong."""
        console = console or Screen()
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for what, text in self.lines().items():
            table.add_row(what, Text(text))
        console.print(table, highlight=False)
        console.print()
        show_findings(self.findings, console)
        if not self.asked and not self.findings:
            console.print(
                "[yellow]nothing was asked[/yellow] of the model; give DATA, of which a few samples are enough",
                markup=True,
            )
        elif not self.findings:
            console.print("[green]nothing looks wrong[/green]", markup=True)

    def _classes(self) -> str:
        if not self.classes:
            return "not known"
        return f"{self.classes:,}" + (f": {several(self.names)}" if self.names else "")


@recording
def inspect(
    model: str | Victim | nn.Module | Callable[[Tensor], Tensor],
    data: object = None,
    *,
    samples: int = 32,
    seed: int = 0,
    bounds: Given | None = None,
    device: str | None = None,
    trust: bool = False,
    output: str | int | None = None,
) -> Inspection:
    """What `model` is and what it answers to the first `samples` (1 to 64) of `data`, or to noise where none are given.

    model, data: as `brittle.evaluate` takes them; a module may be in training mode. bounds: the model's input range (default: the
    data's). output: as in `brittle.attack`.
    What is wrong with how model and data fit together becomes a finding. Raises InputError for what cannot be opened.
    """
    check_counts(samples=samples)
    check_seed(seed)
    if samples > MOST:
        raise InputError(f"samples={samples} is out of range; an inspection looks at 1 to {MOST}")
    given = None if data is None else as_data(data, widened(data, bounds or (0.0, 1.0)))
    own = given.bounds if given is not None and not isinstance(data, tuple | list) else (0.0, 1.0)
    victim = open_as_it_is(model, bounds or own, device, trust, output)
    given = None if given is None else as_taken(given, victim)
    findings: list[Finding] = []
    x, labels, asked = _samples(victim, given, samples, seed)
    outputs, seconds, accuracy = None, None, None
    if x is not None:
        try:
            outputs = answers(victim, x, seed)
            if labels is None:
                labels = outputs.argmax(1)
            elif given is not None and len(given.classes) > outputs.shape[1]:
                findings.append(too_few(outputs.shape[1], given))
                labels = outputs.argmax(1)
            else:
                accuracy = share(int((outputs.argmax(1) == labels).sum()), len(labels))
            seconds = seconds_of(victim, x[:TIMED], seed)
            findings += diagnose_victim(victim, x, labels, None, seed=seed).findings
        except InputError as error:
            findings.append(refused(error))
        except Exception as error:  # the model's own, whatever it is
            findings.append(failed(error, victim, x, seed))
    if given is not None and x is not None and labels is not None and outputs is not None and accuracy is not None:
        found = mistakes(victim, given, x, labels, outputs, accuracy, seed)
        told = {finding.kind for finding in found}
        explained = {"accuracy"} if "normalisation" in {finding.kind for finding in findings} else set()
        findings = [finding for finding in findings if finding.kind not in told]
        findings += [finding for finding in found if finding.kind not in explained]
    classes = outputs.shape[1] if outputs is not None else len(victim.classes)
    return Inspection(
        name=victim.name,
        architecture=_architecture(victim),
        parameters=sum(p.numel() for p in victim.module.parameters()) if victim.module is not None else 0,
        weights=f"{str(victim.dtype).removeprefix('torch.')}, {victim.device}",
        access=GIVES[victim.access],
        shape=victim.shape
        or (tuple(x.shape[1:]) if outputs is not None and x is not None and not _framed(victim) else ()),
        bounds=victim.bounds,
        preparation=_preparation(victim),
        classes=classes,
        names=victim.classes,
        asked=asked,
        accuracy=accuracy,
        outputs=None if outputs is None else (float(outputs.min()), float(outputs.max())),
        seconds=seconds,
        findings=tuple(findings),
    )


def _samples(victim: Victim, data: Samples | None, count: int, seed: int) -> tuple[Tensor | None, Tensor | None, str]:
    """x (B, *S), labels (B,) if there are any, and what they are in words."""
    if data is not None:
        few = min(count, len(data))
        x, labels = data.batch(range(few))
        return x, labels, f"{'the first ' if few < len(data) else ''}{counted(few, 'sample')} of {data.name}"
    if not victim.shape:
        return None, None, ""
    draws = torch.rand((TIMED, *victim.shape), generator=torch.Generator().manual_seed(seed))
    return victim.between(draws), None, counted(TIMED, "picture") + " of noise"


def _architecture(victim: Victim) -> str:
    """The class of the innermost network that brittle did not write."""
    module = victim.module
    while module is not None and type(module).__module__.startswith("brittle.victims"):
        inner = next(module.children(), None)
        if inner is None or isinstance(module, nn.Sequential):
            break
        module = inner
    return type(module).__name__ if module is not None else "a function"


def _framed(victim: Victim) -> bool:
    return isinstance(victim.module, Prepared) and victim.module.inside


def _preparation(victim: Victim) -> str:
    module = victim.module
    if not isinstance(module, Prepared):
        return ""
    prepared = module.preparation
    mean, std = (_brief(values) for values in (prepared.mean, prepared.std))
    parts = [f"(x - {mean}) / {std}"]
    if module.upper != 1:
        parts.insert(0, f"divided by {module.upper:g}")
    if module.inside:
        parts.insert(0, str(prepared.framing))
    if prepared.backwards:
        parts.append("blue, green, red")
    outside = "" if module.inside else f"; pictures of a folder before it: {prepared.framing}"
    return ", then ".join(parts) + outside


def _brief(values: tuple[float, ...]) -> str:
    short = tuple(dict.fromkeys(amount(value) for value in values))
    return short[0] if len(short) == 1 else f"({', '.join(amount(value) for value in values)})"


def _milliseconds(seconds: float) -> str:
    return f"{amount(1000 * seconds)} ms" if seconds < 1 else f"{amount(seconds)} s"
