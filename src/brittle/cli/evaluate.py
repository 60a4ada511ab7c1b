"""`brittle evaluate` and `brittle report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import options
from .exits import Exit
from .screen import aside, interruptible, print_json, say, show_report

if TYPE_CHECKING:
    from ..app.evaluate import Report


def evaluate(
    victim: options.MAYBE_VICTIM = None,
    data: options.MAYBE_DATA = None,
    threat: options.MAYBE_THREAT = None,
    attack: options.ATTACKS = None,
    effort: Annotated[
        str | None, typer.Option(help="quick, standard or exhaustive; default: standard, without --attack")
    ] = None,
    prove: Annotated[bool, typer.Option(help="look for proofs too, where the model's layers are known")] = True,
    start_from: options.START_FROM = None,
    start_attack: options.START_ATTACK = "mifgsm",
    grid: Annotated[str | None, typer.Option(help="perturbation sizes, such as 2/255,4/255,8/255")] = None,
    goal: Annotated[str, typer.Option(help="untargeted, least-likely, second, random or class:N")] = "untargeted",
    samples: Annotated[int | None, typer.Option(help="the first so many; default: all")] = None,
    out: options.OUT = None,
    plan: Annotated[
        Path | None, typer.Option(help="a .toml or .json plan instead of VICTIM, DATA and --threat")
    ] = None,
    workers: Annotated[int, typer.Option(help="processes side by side")] = 1,
    batch_size: options.BATCH = 256,
    shard: Annotated[int, typer.Option(help="samples in a unit of work, which is what a crash can cost")] = 500,
    keep: Annotated[int, typer.Option(help="samples whose adversarial examples are kept")] = 12,
    seed: options.SEED = 0,
    device: options.DEVICE = None,
    output: options.OUTPUT = None,
    trust: options.TRUST = False,
    fail_under: Annotated[
        float | None,
        typer.Option(help="exit with 3 where robust accuracy, a share in [0, 1], is smaller: a gate for CI"),
    ] = None,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Robust accuracy over a grid of perturbation sizes, for each attack and for random noise of the same size.

    Interrupted and run again with the same --out, it does only what is missing.
    """
    from ..app import evaluate as work

    if fail_under is not None and not 0 <= fail_under <= 1:
        raise InputError(f"--fail-under {fail_under:g} is no share; give a number between 0 and 1, such as 0.4")
    with interruptible():
        if plan is not None:
            said = (goal, batch_size, shard, keep, seed) != ("untargeted", 256, 500, 12, 0) or start_from
            if victim or data or threat or attack or effort or grid or samples or output or said:
                raise InputError(
                    "a --plan says all but --out, --workers, --device and --trust; put the rest into the plan"
                )
            report = _run_file(plan, out, workers, device, trust, not quiet)
        else:
            if not (victim and data and threat):
                raise InputError(
                    "brittle evaluate needs VICTIM, DATA and --threat, such as: "
                    "brittle evaluate py:mymodels:net mnist --threat linf:0.1 (or --plan FILE)"
                )
            from ..specs import parse_number

            report = work.evaluate(
                victim,
                data,
                threat,
                attacks=attack,
                effort=effort,
                start_from=start_from,
                start_attack=start_attack,
                prove=prove,
                grid=[parse_number(part) for part in grid.split(",")] if grid else None,
                samples=samples,
                goal=goal,
                out=out or _folder(victim, data, threat),
                seed=seed,
                batch_size=batch_size,
                shard=shard,
                workers=workers,
                keep=keep,
                device=device,
                trust=trust,
                progress=not quiet,
                output=output,
            )
    show_report(report, as_json, quiet)
    if report.summary.failed:
        aside.print(_unmeasured(report), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(Exit.TROUBLE)
    if fail_under is not None and not report.robust_accuracy >= fail_under:
        aside.print(_under(report, fail_under), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(Exit.FINDING)


def report(
    run: Annotated[Path, typer.Argument(help="the folder of an evaluation")],
    out: Annotated[Path | None, typer.Option(help="the page to write; default: report.html in the run")] = None,
    as_json: options.JSON = False,
    quiet: options.QUIET = False,
) -> None:
    """Write the HTML report of a run again; an unfinished run is reported as far as it got."""
    from ..report.page import write_report
    from ..report.plain import plain
    from ..report.read import read_run

    page = write_report(run, out)
    if as_json:
        print_json({**plain(read_run(run).summary), "folder": str(run), "report": str(page)})
    elif not quiet:
        say(f"report: {page}")


def _run_file(path: Path, out: Path | None, workers: int, device: str | None, trust: bool, progress: bool) -> Report:
    from ..app.evaluate import run_plan
    from ..data.open import open_data
    from ..runs.plan import load_plan
    from ..victims.open import open_victim
    from ..victims.preprocess import as_taken

    plan = load_plan(path)
    data = open_data(plan.data)
    victim = open_victim(plan.victim, device=device, trust=trust, bounds=data.bounds)
    folder = out or Path("runs") / path.stem
    return run_plan(
        plan,
        victim,
        as_taken(data, victim),
        out=folder,
        workers=workers,
        device=device,
        trust=trust,
        progress=progress,
    )


def _unmeasured(report: Report) -> str:
    """Why the answer is not known."""
    return (
        f"brittle: {report.summary.failed:,} of {report.summary.expected:,} rows have no verdict, for an error came in between; "
        "run the same command again, which tries each of them once more"
    )


def _under(report: Report, least: float) -> str:
    from ..report.words import interval, percent

    found = report.summary.headline.robust
    return f"brittle: robust accuracy {percent(found)} {interval(found)} is under the {least:g} of --fail-under"


def _folder(victim: str, data: str, threat: str) -> Path:
    """runs/NAME from what is evaluated, so that the same command finds its run again."""
    words = "-".join(part.partition("?")[0] for part in (victim, data, threat))
    return Path("runs") / "".join(c if c.isalnum() or c in "-._" else "-" for c in words).strip("-")
