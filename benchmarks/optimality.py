"""How small the perturbations of an attack are: local optimality as AttackBench defines it, ours and our peers' by one yardstick.

    python benchmarks/optimality.py --networks mnist_kw_eps01,cifar10_resnet2b_adv2 --norm l2 --samples 50 --budget 2000 \\
        --attacks "brittle:pgd:loss=margin,advlib:ddn,foolbox:ddn" --out FOLDER
    python benchmarks/optimality.py --table FOLDER

Needs BRITTLE_DATA with weights/ beside data/, and benchmarks/requirements.txt. adversarial-library (jeromerony), auto-attack (fra31) and
sigma-zero (sigma0-advx) are read from the folders inside --checkouts, or inside what BRITTLE_CHECKOUTS names: a copy of each repository.

ATTACKS is a list of LIBRARY:NAME[:key=value,...]; a library alone is all it has for the norm, `peers` is all libraries but brittle. Every
cell (network, norm, attack) leaves one JSON file, and a cell that has its file is not run again unless it failed; --again runs all. The
table is over all files of the folder, so attacks can be added to it later, and every one moves the envelope.

The yardstick (optimality_meter.py) wraps the network. It counts forwards and backwards a sample, and keeps the size of the smallest
perturbation among all points that the attack asked about within its budget, and the one that it returned if it asked for no more than that.
Samples that are misclassified untouched have size 0 and are not attacked. Attacks at a fixed radius, ours too, are searched for
the smallest radius under the same total budget (optimality_search.py). An attack gets the whole batch; one that asks about parts of it
is run again one sample at a time, so that whose a row is is never guessed ("batch" in the file says which; it matters for the seconds).

A file holds, for each sample in order: size (null: nothing found), forwards, backwards; for all together: seconds, of processor time
without the measuring, and wall_seconds with it. The first run of Foolbox's bb in a process compiles for some 25 s.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import re
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.registry import ATTACKS, parse_attack
from brittle.core.goal import Classify
from brittle.core.oracle import Ledger, Oracle
from brittle.core.problem import Attack, Problem
from brittle.core.streams import Streams
from brittle.core.victim import Victim
from brittle.data.open import open_data
from brittle.specs import parse_call
from optimality_meter import SIZES, BudgetSpent, Meter, TooSlow, WhoseRows
from optimality_peers import PEERS, use_checkouts
from optimality_search import ROUNDS, STARTS, AtRadius, smallest_radius
from optimality_table import tables
from published import loader


@dataclass(frozen=True)
class Task:
    """A network's samples, in one norm: x (B, *S), labels (B,)."""

    network: nn.Module
    data: str
    norm: str
    x: Tensor
    labels: Tensor
    ids: Tensor
    budget: int
    seed: int

    def only(self, rows: Tensor) -> Task:
        return replace(self, x=self.x[rows], labels=self.labels[rows], ids=self.ids[rows])


def main() -> None:
    options = arguments()
    if options.table:
        print(tables(options.table))
        return
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    use_checkouts(options.checkouts)
    slow: set[str] = set()
    for network in options.networks.split(","):
        for norm in options.norm.split(","):
            for attack in wanted(options.attacks, norm):
                path = options.out / file_name(network, norm, attack, options)
                if attack in slow or (done(path) and not options.again):
                    continue
                record = measure(task_of(network, norm, options), attack, options.limit)
                if record["error"] and record["error"].startswith("slow"):
                    slow.add(attack)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".tmp").write_text(json.dumps({"network": network, **record}))
                path.with_suffix(".tmp").rename(path)
                print(said(network, record), flush=True)


def arguments() -> argparse.Namespace:
    named = os.environ.get("BRITTLE_CHECKOUTS")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, metavar="FOLDER", help="print the tables over a folder; measures nothing")
    parser.add_argument("--networks", default="mnist_kw_eps01", help="names in weights/, comma between them")
    parser.add_argument("--norm", default="l2", help="linf, l2, l1, l0, comma between them")
    parser.add_argument("--attacks", default="peers")
    parser.add_argument("--samples", type=int, default=50, help="the first of the test set")
    parser.add_argument("--budget", type=int, default=2000, help="forwards + backwards a sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--limit", type=float, default=math.inf, help="processor seconds a cell; a slower attack is left out"
    )
    parser.add_argument("--again", action="store_true", help="run cells that have their file")
    parser.add_argument("--out", type=Path, default=Path("runs/optimality"))
    parser.add_argument("--checkouts", type=Path, default=Path(named) if named else None)
    return parser.parse_args()


def file_name(network: str, norm: str, attack: str, options: argparse.Namespace) -> str:
    attack = attack.replace(":", "-").replace("/", "_")
    return f"{network}--{norm}--{attack}--{options.samples}-{options.budget}-{options.seed}.json"


def done(path: Path) -> bool:
    """Measured, or too slow to be; what failed is tried again."""
    error = json.loads(path.read_text())["error"] if path.exists() else "not run"
    return error is None or error.startswith("slow")


def wanted(text: str, norm: str) -> list[str]:
    """The attacks of a list that know the norm, in its order."""
    libraries = sorted({name.partition(":")[0] for name in PEERS})
    found = []
    for part in re.split(rf",(?=(?:peers|brittle|{'|'.join(libraries)})\b)", text):
        whole = libraries if part == "peers" else [part]
        for name in whole:
            if name in libraries:
                found += [known for known in PEERS if known.startswith(f"{name}:")]
            elif name == "brittle":
                found += [f"brittle:{known}" for known, entry in ATTACKS.items() if entry.role == "attack"]
            else:
                found.append(name)
    return [name for name in found if norm in norms_of(name)]


def norms_of(attack: str) -> tuple[str, ...]:
    library, _, rest = attack.partition(":")
    name = rest.partition(":")[0]
    if library == "brittle":
        parse_attack(rest)  # says what is wrong with it
        return tuple(ATTACKS[name].norms.split()) if name in ATTACKS else tuple(SIZES)
    if f"{library}:{name}" not in PEERS:
        raise SystemExit(f"{attack!r} is not known; there are {', '.join(PEERS)}")
    return PEERS[f"{library}:{name}"].norms


def task_of(network: str, norm: str, options: argparse.Namespace) -> Task:
    module, _ = loader().load(network)
    module.requires_grad_(False)
    data = network.partition("_")[0]
    ids = torch.arange(options.samples)
    x, labels = open_data(data).batch(ids.tolist())
    x = x.contiguous()  # in-place projections of a peer write into copies of what is not
    return Task(module, data, norm, x, labels, ids, options.budget, options.seed)


def measure(task: Task, attack: str, limit: float = math.inf) -> dict[str, Any]:
    """What the file of a cell holds, but for the network's name. Sizes that were not found are null."""
    with torch.no_grad():
        outputs = task.network(task.x)
    attacked = (Classify(task.labels).margin(outputs) < 0).nonzero().squeeze(1)
    size = torch.zeros(len(task.x), dtype=torch.float64)
    forwards, backwards = torch.zeros(len(task.x), dtype=torch.int64), torch.zeros(len(task.x), dtype=torch.int64)
    began = time.perf_counter()
    seconds, batch, error, deadline = 0.0, len(attacked), None, time.process_time() + limit
    try:
        try:
            meters = [run(task.only(attacked), attack, deadline)]
        except WhoseRows:
            batch = 1
            meters = [run(task.only(row[None]), attack, deadline) for row in attacked]
        size[attacked] = torch.cat([meter.best for meter, _ in meters])
        forwards[attacked] = torch.cat([meter.forwards for meter, _ in meters])
        backwards[attacked] = torch.cat([meter.backwards for meter, _ in meters])
        seconds = sum(took - meter.seconds_own for meter, took in meters)
    except TooSlow:
        error = f"slow: over {limit:g} processor seconds"
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return {
        "norm": task.norm,
        "attack": attack,
        "samples": len(task.x),
        "budget": task.budget,
        "seed": task.seed,
        "batch": batch,
        "seconds": round(seconds, 3),
        "wall_seconds": round(time.perf_counter() - began, 3),
        "error": error,
        "size": [None if math.isinf(value) else value for value in size.tolist()],
        "forwards": forwards.tolist(),
        "backwards": backwards.tolist(),
    }


def run(task: Task, attack: str, deadline: float) -> tuple[Meter, float]:
    """One run over all samples of the task; the meter afterwards, and the processor seconds."""
    meter = Meter(task.network, task.x, task.labels, task.norm, task.budget, deadline).eval()
    random.seed(task.seed)
    np.random.seed(task.seed)
    torch.manual_seed(task.seed)
    start = time.process_time()
    returned = None
    with contextlib.suppress(BudgetSpent), contextlib.redirect_stdout(io.StringIO()):
        returned = (ours if attack.startswith("brittle:") else theirs)(meter, task, attack)
    took = time.process_time() - start
    if returned is not None:
        meter.offer(returned, torch.arange(len(task.x)))
    return meter, took


def searched(meter: Meter, task: Task, attack: AtRadius, together: bool) -> Tensor:
    start = STARTS[task.data][task.norm]
    return smallest_radius(meter, task.x.clone(), task.labels.clone(), attack, start, task.norm, together)


def theirs(meter: Meter, task: Task, attack: str) -> Tensor:
    library, _, rest = attack.partition(":")
    call = parse_call(rest)
    peer = PEERS[f"{library}:{call.name}"]
    options = {key: value_of(text) for key, text in call.named.items()}
    if not peer.at_radius:
        return peer.run(meter, task.x.clone(), task.labels.clone(), task.norm, task.budget, **options)
    queries = task.budget // ROUNDS

    def at_radius(x: Tensor, labels: Tensor, radius: Tensor) -> Tensor:
        return peer.run(meter, x, labels, task.norm, queries, radius, **options)

    return searched(meter, task, at_radius, peer.together)


def value_of(text: str) -> Any:
    """`3` -> 3, `0.1` -> 0.1, `none`, `true`, and what is none of these as it stands."""
    with contextlib.suppress(ValueError):
        return json.loads({"none": "null", "inf": "Infinity"}.get(text.lower(), text.lower()))
    return text


@dataclass(frozen=True, eq=False)
class Telling(Oracle):
    """An oracle that tells the meter whose rows it asks about."""

    meter: Meter | None = None

    def __call__(self, x: Tensor) -> Tensor:
        assert self.meter is not None
        with self.meter.telling(torch.arange(len(self.meter.x)) if self.rows is None else self.rows):
            return super().__call__(x)


def ours(meter: Meter, task: Task, attack: str) -> Tensor:
    value = parse_attack(attack.partition(":")[2])
    if value.minimises:
        return posed(value, meter, task, None)

    def at_radius(x: Tensor, labels: Tensor, radius: Tensor) -> Tensor:
        whole = torch.zeros(len(task.x))
        whole[meter.told] = radius
        return posed(value, meter, task, whole)[meter.told]

    return searched(meter, task, at_radius, together=True)


@torch.no_grad()
def posed(attack: Attack, meter: Meter, task: Task, radius: Tensor | None) -> Tensor:
    """The attack's answer to all samples, each within its own radius (B,) if any; asked of those only that the meter was told of."""
    victim = Victim(meter, module=task.network)
    region = getattr(brittle, task.norm)(math.inf).around(task.x.clone(), 0.0, 1.0)
    oracle = Telling(victim, Ledger.empty(len(task.x), task.x.device), attack.access, meter=meter)
    problem = Problem(region, Classify(task.labels), oracle, Streams.seeded(task.seed, task.ids))
    problem = problem if radius is None else problem.within(radius)
    rows, answer = meter.told, task.x.clone()
    if rows is None or len(rows) == len(task.x):
        return attack(problem)
    answer[rows] = attack(problem.select(rows))
    return answer


def said(network: str, record: dict[str, Any]) -> str:
    sizes = [math.inf if value is None else value for value in record["size"]]
    queries = sum(record["forwards"] + record["backwards"]) / max(np.count_nonzero(record["forwards"]), 1)
    return (
        f"{network} {record['norm']} {record['attack']}: "
        + (record["error"] or f"median {np.median(sizes):.4g}, mean {np.mean(sizes):.4g}, {queries:.0f} queries")
        + f", {record['seconds']:.1f} s, batch {record['batch']}"
    )


if __name__ == "__main__":
    main()
