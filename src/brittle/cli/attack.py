"""`brittle attack`: adversarial examples as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..ranges import check_counts, check_seed
from . import options
from .screen import console, print_json, say, working

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from ..app.examples import Example
    from ..core.problem import Threat
    from ..tasks.classification import Results

ROWS = 20  # shown on the terminal; all are in examples.csv


def attack(
    victim: options.VICTIM,
    data: options.DATA,
    threat: options.THREAT,
    out: Annotated[Path, typer.Option(help="folder of the pictures and the exact floats")],
    attack: options.ATTACK = "fgsm",
    targeted: Annotated[
        str | None,
        typer.Option(help="a class by name or number, least-likely, second or random; default: any wrong class"),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="softmax probability that the wrong class must reach, such as 0.98")
    ] = None,
    start_from: options.START_FROM = None,
    start_attack: options.START_ATTACK = "mifgsm",
    budget: Annotated[int | None, typer.Option(help="at most so many forwards plus backwards a sample")] = None,
    samples: Annotated[int, typer.Option(help="the first so many")] = 16,
    batch_size: options.BATCH = 256,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Make adversarial examples: PNG pictures beside the originals, exact floats, and whether they survive 8 bits."""
    from ..app.examples import craft, save_examples
    from ..app.trying import try_out
    from ..attacks import parse_attack
    from ..core.chance import MOST
    from ..data.open import open_data
    from ..tasks.classification import Classification
    from ..threats import parse_threat
    from ..victims.open import open_victim
    from ..victims.preprocess import as_taken

    check_counts(samples=samples, batch_size=batch_size, budget=budget)
    check_seed(seed)
    parsed, ball, source = parse_attack(attack), parse_threat(threat), open_data(data)
    model = open_victim(victim, device=device, trust=trust, bounds=source.bounds, output=output)
    source = as_taken(source, model)
    try_out(model, source)
    if start_from is not None:
        from ..app.start import transfer_start

        parsed = transfer_start(
            start_from, parsed, first=start_attack, bounds=source.bounds, device=device, trust=trust
        )
    ids = range(min(samples, len(source)))
    draws = MOST if try_out(model, source, twice=True) else 1
    task = Classification(model, source, _goal(targeted, source.classes), batch_size, confidence, budget, draws)
    with working("attacking", quiet):
        clean, attacked = craft(parsed, task, ball, ids, seed)
        examples = save_examples(clean, attacked, task, ball, ids, out)
    if as_json:
        print_json({**_counts(examples), "folder": str(out), "examples": [asdict(example) for example in examples]})
    if as_json or quiet:
        return
    if parsed.minimises:
        console.print(_sizes(examples, ball))
    else:
        console.print(_table(examples[:ROWS]))
    say(*_lines(examples, len(source), parsed.minimises), f"Written to {out}")
    if start_from is not None:
        say(_asked(attacked))


def _asked(attacked: Results) -> str:
    """What the model was asked, and what the surrogate, in the mean of those that were attacked."""
    right = attacked.clean_correct
    names = ("forwards", "backwards", "aside_forwards", "aside_backwards")
    mean = {name: float(getattr(attacked, name)[right].double().mean()) for name in names}
    return (
        f"a sample: {mean['forwards']:.1f} forwards and {mean['backwards']:.1f} backwards of the model, "
        f"{mean['aside_forwards']:.1f} forwards and {mean['aside_backwards']:.1f} backwards of the surrogate"
    )


def _goal(targeted: str | None, classes: tuple[str, ...]) -> str:
    """The goal that `--targeted` names: a rule, a class number, or a class name."""
    if targeted is None:
        return "untargeted"
    if targeted in ("least-likely", "second", "random"):
        return targeted
    return f"class:{options.class_index(targeted, classes, '--targeted', ' and none of least-likely, second, random')}"


def _counts(examples: list[Example]) -> dict[str, int | None]:
    right = [e for e in examples if e.clean_correct]
    won = [e for e in right if e.success]
    still = None if examples[0].success_8bit is None else sum(bool(e.success_8bit) for e in won)
    return {"samples": len(examples), "right": len(right), "fooled": len(won), "fooled_8bit": still}


def _lines(examples: list[Example], available: int, minimises: bool) -> list[str]:
    """What came of it in all, and what the table leaves out."""
    counts = _counts(examples)
    line = f"{counts['fooled']} of {counts['right']} that were right are fooled"
    if counts["fooled_8bit"] is not None:
        line += (
            f", {counts['fooled_8bit']} of these still, inside the threat, after rounding to 8 bits and reading back"
        )
    lines = [f"{line}."]
    if minimises and counts["fooled"] != counts["right"]:
        lines.append("The others that were right need more than the threat allows, as far as was found.")
    if minimises or len(examples) > ROWS:
        lines.append(f"{'One row each' if minimises else f'The other {len(examples) - ROWS} rows'} in examples.csv.")
    if len(examples) < available:
        lines.append(f"These are the first {len(examples)} of {available:,} samples; --samples takes more.")
    return lines


def _sizes(examples: list[Example], threat: Threat) -> RenderableType:
    """How large the smallest perturbations are that fool: the median and the quantiles beside it."""
    import numpy as np
    from rich.console import Group
    from rich.table import Table

    sizes = [e.size for e in examples if e.clean_correct and e.success]
    title = f"smallest {threat.name} size found that fools, over {len(sizes)} samples"
    table = Table(box=None, pad_edge=False, header_style="bold")
    shares = {"least": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "most": 1.0}
    for name in shares:
        table.add_column(name, justify="right")
    table.add_row(*(f"{np.quantile(sizes, share):.4g}" if sizes else "–" for share in shares.values()))
    return Group(title, table)  # a table's own title is no wider than the table


def _table(examples: list[Example]) -> RenderableType:
    from rich.table import Table

    targeted = any(example.target for example in examples)
    images = examples[0].success_8bit is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("id", "label", *(["target"] if targeted else []), "before", "after", "conf.", "size", "fooled"):
        table.add_column(header, justify="right" if header in ("id", "conf.", "size") else "left")
    if images:
        table.add_column("8-bit PNG")
        table.add_column("its size", justify="right")
    for e in examples:
        cells: list[str | Text] = [
            str(e.id),
            e.label,
            *([e.target] if targeted else []),
            e.before,
            e.after,
            f"{e.confidence:.0%}",
        ]
        cells += [f"{e.size:.4g}", "was wrong" if not e.clean_correct else _mark(e.success)]
        if images:
            cells += ["" if not e.clean_correct else _mark(bool(e.success_8bit)), f"{e.size_8bit:.4g}"]
        table.add_row(*cells)
    return table


def _mark(yes: bool) -> Text:
    from rich.text import Text

    return Text("yes", "green") if yes else Text("no")
