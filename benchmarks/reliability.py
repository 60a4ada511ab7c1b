"""Robust accuracy by our stages and by the original AutoAttack, on the same samples of published networks, with what each costs.

    python benchmarks/reliability.py --samples 200 --out FOLDER
    python benchmarks/reliability.py --cases "mnist_kw_eps01 l2 1.2,cifar10_resnet2b_adv2 linf 2/255" --effort standard --out FOLDER
    python benchmarks/reliability.py --table FOLDER

Needs BRITTLE_DATA with weights/ beside data/. Networks called trained_... are those of trained.py, made when they are first asked for and
kept in OUT/trained. auto-attack (fra31) is read from the folders inside --checkouts, or inside what
BRITTLE_CHECKOUTS names: a copy of its repository. It runs as published: version standard, seed 0.

A case is a network, a norm and a radius; its samples are the first of the test set that the network classifies correctly. Every cell
(case, evaluator, samples, seed) leaves one JSON file, and a cell that has its file is not run again; after a change of the stages give
another --version. The table is over all files of the folder. A wrapper around the network counts rows forwards and backwards, the same
for both; of ours the stages are counted apart from what `brittle.evaluate` does beside them: the diagnosis, noise, FGSM and the judge's
own look at every answer. Both get all samples that are left in one batch.

The table: robust accuracy in % of the correctly classified; `only AA` counts samples that AutoAttack alone breaks, `only we` the others; F
and B are forwards and backwards a sample in the mean, `median` those of the sample in the middle, `of robust` the mean of those that
nothing broke, `beside` what is no stage; then how many times more AutoAttack takes than the stages. Seconds are those of the processor,
which a loaded machine does not stretch, ours of the whole evaluation; the files have those of the wall too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import brittle
from brittle.app.efforts import EFFORTS
from brittle.data.open import open_data
from brittle.specs import parse_number
from optimality_peers import use_checkouts
from published import loader
from trained import RECIPES, trained

PIXEL = 1 / 255
CASES = (
    ("mnist_kw_eps01", "linf", 0.1),
    ("mnist_madry_tiny", "linf", 0.3),
    ("cifar10_convsmall_pgd2_eran", "linf", 2 * PIXEL),
    ("mnist_fastadv_fgsm_eps03", "linf", 0.3),
    ("cifar10_oval_base_kw2", "linf", 2 * PIXEL),
    ("mnist_fc_vnncomp_256x2", "linf", 0.03),
    ("mnist_mlp_6x100_nat_eran", "linf", 0.05),
    ("cifar10_resnet2b_adv2", "linf", 2 * PIXEL),
    ("cifar10_marabou_small", "linf", 2 * PIXEL),
    ("mnist_colt_eps01", "linf", 0.1),
    ("cifar10_kw_small_eps8_c0", "linf", 8 * PIXEL),
    ("mnist_convsmall_nat_eran", "linf", 0.15),
    ("mnist_smallcnn_trades", "linf", 0.3),
    ("mnist_mlp_9x100_nat_eran", "linf", 0.05),
    ("mnist_fc_vnncomp_256x4", "linf", 0.05),
    ("mnist_convnet_maxpool_verivital", "linf", 0.03),
    ("mnist_convnet_avgpool_verivital", "linf", 0.06),
    ("cifar10_oval_deep_kw2", "linf", 2 * PIXEL),
    ("cifar10_sri_resnet_a", "linf", PIXEL),
    ("mnist_lenet5_adversarialbox_adv", "linf", 0.3),
    ("mnist_lenet5_advertorch_clean", "linf", 0.1),
    ("cifar10_resnet20", "linf", 0.5 * PIXEL),
    ("mnist_kw_eps01", "l2", 1.2),
    ("mnist_madry_tiny", "l2", 1.0),
    ("mnist_fc_vnncomp_256x2", "l2", 0.5),
    ("cifar10_convsmall_pgd2_eran", "l2", 0.3),
    ("mnist_smallcnn_trades", "l2", 1.5),
    ("mnist_kw_eps01", "l1", 3.0),
    ("mnist_madry_tiny", "l1", 2.5),
    ("mnist_fc_vnncomp_256x2", "l1", 3.0),
    ("cifar10_convsmall_pgd2_eran", "l1", 6.0),
)
HELD_OUT = (  # see trained.py; nothing was chosen on them
    ("trained_plain_mnist", "linf", 0.1),
    ("trained_fgsm_mnist", "linf", 0.3),
    ("trained_pgd_mnist", "linf", 0.3),
    ("trained_trades_mnist", "linf", 0.3),
    ("trained_l2_mnist", "l2", 1.5),
    ("trained_plain_cifar10", "linf", PIXEL),
    ("trained_fgsm_cifar10", "linf", 4 * PIXEL),
    ("trained_pgd_cifar10", "linf", 4 * PIXEL),
    ("trained_trades_cifar10", "linf", 4 * PIXEL),
)
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # as AutoAttack writes them
SHARD = 500  # samples looked at together for those that are classified correctly


@dataclass(frozen=True)
class Task:
    """A case with its samples, all classified correctly: x (B, *S), labels and ids (B,)."""

    network: nn.Module
    norm: str
    eps: float
    x: Tensor
    labels: Tensor
    ids: Tensor
    seed: int


class Counted(nn.Module):
    """The network, and how many rows went forwards and backwards through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards, self.backwards = network, 0, 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        outputs: Tensor = self.network(x)
        if outputs.requires_grad:
            outputs.register_hook(self._came_back)
        return outputs

    def _came_back(self, grad: Tensor) -> None:
        self.backwards += len(grad)


def main() -> None:
    options = arguments()
    if options.table:
        print(table(options.table))
        return
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    for network, norm, eps in options.cases:
        mine = f"{options.effort}-{options.version}"
        for name in (mine,) if options.ours else (mine, "autoattack"):
            path = options.out / f"{network}--{norm}-{eps:.4g}--{name}--{options.samples}-{options.seed}.json"
            if path.exists():
                continue
            task = task_of(opened(network, options.out), network, norm, eps, options.samples, options.seed)
            record = ours(task, options.effort) if name == mine else theirs(task, options.checkouts)
            about = {"network": network, "norm": norm, "eps": eps, "evaluator": name, "ids": task.ids.tolist()}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".tmp").write_text(json.dumps(about | record))
            path.with_suffix(".tmp").rename(path)
            print(f"{path.stem}: {100 * share(record):.2f} %, {record['seconds']:.0f} s", flush=True)


def arguments() -> argparse.Namespace:
    named = os.environ.get("BRITTLE_CHECKOUTS")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, metavar="FOLDER", help="print the table over a folder; measures nothing")
    parser.add_argument(
        "--cases", type=cases_of, default=CASES, help="published, trained, or NETWORK NORM EPS, comma between"
    )
    parser.add_argument("--effort", choices=sorted(EFFORTS), default="standard")
    parser.add_argument("--version", default="1", help="another word where the stages were changed: cells of their own")
    parser.add_argument("--ours", action="store_true", help="our stages alone, where AutoAttack has its files already")
    parser.add_argument("--samples", type=int, default=200, help="the first that are classified correctly")
    parser.add_argument("--seed", type=int, default=0, help="ours; AutoAttack always has 0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/reliability"))
    parser.add_argument("--checkouts", type=Path, default=Path(named) if named else None)
    return parser.parse_args()


def cases_of(text: str) -> tuple[tuple[str, str, float], ...]:
    named = {"published": CASES, "trained": HELD_OUT}
    if text in named:
        return named[text]
    words = [case.split() for case in text.split(",")]
    return tuple((network, norm, parse_number(eps)) for network, norm, eps in words)


def share(record: dict[str, Any]) -> float:
    return statistics.mean(record["robust"])


def opened(network: str, out: Path) -> nn.Module:
    module: nn.Module = trained(network, out / "trained") if network in RECIPES else loader().load(network)[0]
    return module.eval().requires_grad_(False)


def task_of(module: nn.Module, network: str, norm: str, eps: float, samples: int, seed: int) -> Task:
    data, found = open_data(RECIPES[network].data if network in RECIPES else network.partition("_")[0]), []
    for first in range(0, len(data), SHARD):
        ids = torch.arange(first, min(first + SHARD, len(data)))
        x, labels = data.batch(ids.tolist())
        with torch.no_grad():
            right = module(x).argmax(1) == labels
        found.append((x[right], labels[right], ids[right]))
        if sum(len(part[2]) for part in found) >= samples:
            break
    x, labels, ids = (torch.cat(parts)[:samples] for parts in zip(*found, strict=True))
    return Task(module, norm, eps, x.contiguous(), labels, ids, seed)


def measured(network: Counted, began: tuple[float, float]) -> dict[str, Any]:
    return {
        "forwards": network.forwards,
        "backwards": network.backwards,
        "seconds": round(time.perf_counter() - began[0], 3),
        "processor_seconds": round(time.process_time() - began[1], 3),
    }


def ours(task: Task, effort: str) -> dict[str, Any]:
    """`brittle.evaluate` on the one radius, without proofs, which spare work that AutoAttack has no means to spare."""
    network, began = Counted(task.network), (time.perf_counter(), time.process_time())
    threat, count = getattr(brittle, task.norm)(task.eps), len(task.x)
    report = brittle.evaluate(
        network, (task.x, task.labels), threat, effort=effort, prove=False, grid=(task.eps,), seed=task.seed,
        batch_size=count, shard=count, progress=False,
    )  # fmt: skip
    taken = measured(network, began)
    robust, spent = torch.ones(count, dtype=torch.bool), torch.zeros(2, count, dtype=torch.int64)
    asked: Counter[str] = Counter()
    for row in report.rows:
        if row.success and row.role != "clean":
            robust[row.id] = False
        if row.role == "stage":
            spent[:, row.id] += torch.tensor([row.forwards, row.backwards])
            asked[row.attack] += row.forwards > 0
    beside = (taken["forwards"] - int(spent[0].sum()), taken["backwards"] - int(spent[1].sum()))
    return {
        "robust": robust.tolist(),
        "spent": spent.tolist(),
        "of_robust": [round(float(kind[robust].double().mean()), 1) if robust.any() else 0.0 for kind in spent],
        "beside": [round(kind / count, 1) for kind in beside],
        "warnings": report.warnings,
        "asked": asked,
        **taken,
        "forwards": int(spent[0].sum()),
        "backwards": int(spent[1].sum()),
    }


def theirs(task: Task, checkouts: Path | None) -> dict[str, Any]:
    """The original, one attack after the other on what is left, as its own loop does it."""
    evaluator = original(checkouts)
    network, began = Counted(task.network), (time.perf_counter(), time.process_time())
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        attack = evaluator(network, norm=NORMS[task.norm], eps=task.eps, seed=0, device="cpu", verbose=False)
        x_adv = attack.run_standard_evaluation(task.x, task.labels, bs=len(task.x))
    with torch.no_grad():
        robust = task.network(x_adv).argmax(1) == task.labels
    return {"robust": robust.tolist(), "of_robust": None, **measured(network, began)}


@cache
def original(checkouts: Path | None) -> Any:
    use_checkouts(checkouts)
    try:
        from autoattack import AutoAttack
    except ImportError:
        raise SystemExit(
            "auto-attack is in no folder of --checkouts; copy fra31/auto-attack there, or give --ours"
        ) from None
    return AutoAttack


def table(folder: Path) -> str:
    """One row a case and kind of ours, beside AutoAttack on the same samples; the medians and means below."""
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    theirs = {(r["network"], r["norm"], r["eps"]): r for r in records if r["evaluator"] == "autoattack"}
    lines = [
        "| network | norm | eps | samples | ours | AutoAttack | only AA | only we | F + B | median | of robust | beside "
        "| AutoAttack F + B | seconds | fewer F | fewer B | less time |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    kinds: dict[str, list[dict[str, float]]] = {}
    spent: dict[str, list[tuple[int, int]]] = {}
    for record in records:
        other = theirs.get((record["network"], record["norm"], record["eps"]))
        if record["evaluator"] == "autoattack" or other is None:
            continue
        line, numbers = compared(record, other)
        lines.append(line)
        kinds.setdefault(record["evaluator"], []).append(numbers)
        spent.setdefault(record["evaluator"], []).extend(each(record))
    for kind, rows in kinds.items():
        middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        gaps, (f, b) = [row["gap"] for row in rows], medians(spent[kind])
        lines.append(
            f"\n{kind}, {len(rows)} cases: {statistics.mean(gaps):+.2f} points beside AutoAttack in the mean, {max(gaps):+.2f} at worst; "
            f"the case in the middle has {middle['f']:.0f} F + {middle['b']:.0f} B ({middle['beside']:.0f} F beside), "
            f"the sample in the middle of all {len(spent[kind])} has {f:.0f} F + {b:.0f} B; in the median over cases "
            f"{middle['fewer_f']:.1f} times fewer forwards, "
            f"{middle['fewer_b']:.1f} times fewer backwards, {middle['faster']:.1f} times less time"
        )
    return "\n".join(lines)


def each(record: dict[str, Any]) -> list[tuple[int, int]]:
    """Forwards and backwards of every sample."""
    return list(zip(*record["spent"], strict=True))


def medians(spent: list[tuple[int, int]]) -> tuple[float, float]:
    return statistics.median(f for f, _ in spent), statistics.median(b for _, b in spent)


def compared(record: dict[str, Any], other: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """On the samples that both have."""
    count = min(len(record["robust"]), len(other["robust"]))
    mine, other_robust = record["robust"][:count], other["robust"][:count]
    f, b = (record[kind] / len(record["robust"]) for kind in ("forwards", "backwards"))
    of, ob = (other[kind] / len(other["robust"]) for kind in ("forwards", "backwards"))
    seconds, others = (kind["processor_seconds"] / len(kind["robust"]) for kind in (record, other))
    beside = " + ".join(f"{kind:.0f}" for kind in record.get("beside", ()))
    middle = " + ".join(f"{kind:.0f}" for kind in medians(each(record)))
    gap = 100 * (sum(mine) - sum(other_robust)) / count
    only_aa = sum(m and not o for m, o in zip(mine, other_robust, strict=True))
    only_we = sum(o and not m for m, o in zip(mine, other_robust, strict=True))
    line = (
        f"| {record['network']} | {record['norm']} | {record['eps']:.4g} | {count} | {100 * sum(mine) / count:.1f} "
        f"| {100 * sum(other_robust) / count:.1f} | {only_aa} | {only_we} | {f:.0f} + {b:.0f} "
        f"| {middle} | {record['of_robust'][0]:.0f} + {record['of_robust'][1]:.0f} | {beside} | {of:.0f} + {ob:.0f} "
        f"| {seconds * count:.1f}, {others * count:.1f} "
        f"| {of / f:.0f} | {ob / max(b, 1):.0f} | {others / seconds:.0f} |"
    )
    numbers = {
        "gap": gap,
        "f": f,
        "b": b,
        "beside": sum(record.get("beside", ())[:1]),
        "fewer_f": of / f,
        "fewer_b": ob / max(b, 1),
        "faster": others / seconds,
    }
    return line, numbers


if __name__ == "__main__":
    main()
